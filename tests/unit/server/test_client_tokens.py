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
from server.auth.patterns import WritePattern
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


WRITES = ("notes", "notes#a/*", "notes#a/b", "shop/*#a/b", "*#*", "location:paris")


def texts(patterns: tuple[WritePattern, ...] | None) -> list[str] | None:
    return None if patterns is None else [pattern.text for pattern in patterns]


@given(
    st.sampled_from(Role),
    st.none() | st.sets(st.sampled_from(WRITES), max_size=2).map(tuple),
    st.none() | st.sets(st.sampled_from(WRITES), max_size=2).map(tuple),
    st.sampled_from([*DOCUMENTS, "inventory/catalog", "inventory/2026-11", "metrics/2026", "pii/a"]),
    st.sets(st.sampled_from(["paris", "lyon"])).map(tuple),
)
def test_P28_a_page_writes_no_path_that_its_backend_may_not(
    role: Role,
    own: tuple[str, ...] | None,
    asked: tuple[str, ...] | None,
    document: str,
    locations: tuple[str, ...],
) -> None:
    write = None if own is None else tuple(map(WritePattern.parse, own))
    grant = dataclasses.replace(bearer(role), write=write, locations=locations)
    try:
        page = given_to_page(grant, ClientRequest(document, write=asked))
    except (AccessError, MalformedMessage):
        return
    # It reads its one document, also where its backend is of a location and reads them all.
    assert page.locations == ()
    assert not page.may_write(document) or grant.may_write(document)
    bounds, least = grant.path_rights(document), page.path_rights(document)
    if page.may_write(document) and bounds is not None:
        assert least is not None
        assert all(any(one.covers(other) for one in bounds.patterns) for other in least.patterns)
        assert set(least.locations) <= set(bounds.locations)
        assert least.keeps_books <= bounds.keeps_books


def test_P28_bounds_of_a_backend_are_its_pages_bounds() -> None:
    clerk = dataclasses.replace(bearer(Role.OPERATOR), write=(WritePattern.parse("notes#a/*"),))
    assert texts(given_to_page(clerk, ClientRequest("notes")).write) == ["notes#a/*"]
    assert texts(given_to_page(clerk, ClientRequest("notes", write=("notes#a/b",))).write) == ["notes#a/b"]
    for wider in ("notes", "notes#*", "*#a/*"):
        with pytest.raises(Forbidden, match="so it can't allow a page to"):
            client_tokens.issue(clerk, ClientRequest("notes", write=(wider,)), NOW_S)
    with pytest.raises(MalformedMessage):
        client_tokens.issue(clerk, ClientRequest("notes", write=("notes#",)), NOW_S)


def test_P28_a_page_that_must_write_is_told_that_it_may_not() -> None:
    reader = bearer(Role.OPERATOR)
    assert not client_tokens.issue(reader, ClientRequest("metrics/2026-11"), NOW_S).may_write
    with pytest.raises(Forbidden):
        client_tokens.issue(reader, ClientRequest("metrics/2026-11", must_write=True), NOW_S)
    # A right to write that comes from the claim alone makes no page's role more.
    with pytest.raises(Forbidden):
        client_tokens.issue(reader, ClientRequest("metrics/2026-11", write=("metrics/*",)), NOW_S)
    page = client_tokens.issue(bearer(Role.ADMIN), ClientRequest("metrics/2026-11", must_write=True), NOW_S)
    assert (page.role, page.may_write) == (Role.MANAGER, True)
