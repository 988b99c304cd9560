"""A page's token is worth no more than the token that it was got with (P28)."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import AccessError, Forbidden, MalformedMessage
from server.auth.client_tokens import TTL_S, ClientRequest, ClientTokens
from server.auth.grants import RELAY_SUBJECT, DocumentPattern, Grant, Role
from server.auth.keys import KeyRing, secret_key
from server.auth.tokens import TokenIssuer, TokenVerifier
from tests.unit.server.tokens import NOW_S, SECRET

TTL_MAX_S = 3_600
DOCUMENTS = ("notes", "notes.2", "shop/a", "shop/a/b", "shop2/a")
PATTERNS = ("*", "notes", "notes.2", "shop/*", "shop/a")

client_tokens = ClientTokens(TokenIssuer(secret_key(SECRET), ttl_max_s=TTL_MAX_S), ttl_max_s=TTL_MAX_S)
verifier = TokenVerifier(KeyRing([secret_key(SECRET)]))


def bearer(role: Role = Role.MANAGER, *patterns: str, life_s: int = 10_000, subject: str = "shop") -> Grant:
    documents = tuple(map(DocumentPattern.parse, patterns or ("*",)))
    return Grant(subject, "acme", documents, role, int(NOW_S) + life_s, "token-1")


def given_to_page(grant: Grant, request: ClientRequest) -> Grant:
    return verifier.verify(client_tokens.issue(grant, request, NOW_S).token, now_s=NOW_S)


@given(
    st.builds(bearer, st.sampled_from(Role), st.sampled_from(PATTERNS), life_s=st.integers(1, 100_000)),
    st.builds(
        ClientRequest,
        st.sampled_from(DOCUMENTS),
        st.none() | st.sampled_from(Role),
        st.none() | st.sampled_from(["ada", "relay", "a/b"]),
        st.none() | st.integers(-5, 200_000),
    ),
)
def test_P28_no_page_is_given_more_than_its_backend_has(grant: Grant, request: ClientRequest) -> None:
    try:
        page = given_to_page(grant, request)
    except (AccessError, MalformedMessage):
        return
    ranks = list(Role)
    assert page.tenant == grant.tenant
    assert [pattern.text for pattern in page.documents] == [request.document]
    assert all(grant.may_read(document) for document in DOCUMENTS if page.may_read(document))
    assert all(grant.may_write(document) for document in DOCUMENTS if page.may_write(document))
    assert ranks.index(page.role) >= max(ranks.index(grant.role), ranks.index(Role.MANAGER))
    assert page.expires_at_s <= min(grant.expires_at_s, int(NOW_S) + TTL_MAX_S)
    assert page.subject == (grant.subject if request.user is None else f"{grant.subject}/{request.user}")


def test_P28_what_a_backend_does_not_ask_for_is_little() -> None:
    page = given_to_page(bearer(Role.ADMIN), ClientRequest("notes"))
    assert (page.role, page.expires_at_s) == (Role.OPERATOR, int(NOW_S) + TTL_S)
    assert given_to_page(bearer(Role.VIEWER), ClientRequest("notes")).role is Role.VIEWER
    assert given_to_page(bearer(Role.MANAGER), ClientRequest("notes", Role.MANAGER)).role is Role.MANAGER


@pytest.mark.parametrize(
    ("grant", "asked", "error"),
    [
        (bearer(Role.ADMIN), ClientRequest("notes", Role.ADMIN), Forbidden),
        (bearer(Role.VIEWER), ClientRequest("notes", Role.OPERATOR), Forbidden),
        (bearer(Role.OPERATOR, "shop/*"), ClientRequest("notes"), Forbidden),
        (bearer(subject=RELAY_SUBJECT), ClientRequest("notes"), Forbidden),
        (bearer(), ClientRequest("notes", ttl_s=0), MalformedMessage),
        (bearer(), ClientRequest("notes", user=""), MalformedMessage),
        (bearer(), ClientRequest("notes", user="a\nb"), MalformedMessage),
        (bearer(), ClientRequest("notes", user="x" * 300), MalformedMessage),
    ],
    ids=[
        "admin",
        "more than a viewer",
        "foreign document",
        "the steward's",
        "no life",
        "nameless",
        "unprintable",
        "long",
    ],
)
def test_P28_what_no_page_may_have_is_refused(grant: Grant, asked: ClientRequest, error: type[Exception]) -> None:
    with pytest.raises(error):
        client_tokens.issue(grant, asked, NOW_S)


def test_a_pages_token_shares_the_id_and_the_age_of_the_one_that_it_was_got_with() -> None:
    backend = dataclasses.replace(bearer(), issued_at_s=int(NOW_S) - 500)
    page = given_to_page(backend, ClientRequest("notes", user="ada"))
    assert (page.token_id, page.issued_at_s) == ("token-1", int(NOW_S) - 500)
    assert given_to_page(page, ClientRequest("notes")).issued_at_s == int(NOW_S) - 500
