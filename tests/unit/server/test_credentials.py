"""Where a request may carry its credential, and what is made of anything else."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import AccessError
from server.auth.credentials import Credential, read_credential
from server.auth.grants import CredentialRefused

TOKEN = "eyJh.eyJp.c2ln-_"
Headers = list[tuple[bytes, bytes]]
header_names = st.sampled_from([b"authorization", b"Authorization", b"sec-websocket-protocol", b"cookie"]) | st.binary()
words = st.text("abcXYZ019-_.", min_size=1, max_size=40)


def authorization(value: str) -> Headers:
    return [(b"authorization", value.encode())]


def offers(*values: str) -> Headers:
    return [(b"sec-websocket-protocol", value.encode()) for value in values]


def reason_for(headers: Headers, query: bytes = b"") -> str:
    with pytest.raises(CredentialRefused) as caught:
        read_credential(headers, query)
    assert TOKEN not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("headers", "query", "kind", "subprotocol"),
    [
        (authorization(f"Bearer {TOKEN}"), b"", "token", None),
        (authorization(f"bearer   {TOKEN} "), b"", "token", None),
        ([(b"AUTHORIZATION", f"BEARER {TOKEN}".encode())], b"", "token", None),
        (offers(f"crdt-sync, bearer.{TOKEN}"), b"", "token", "crdt-sync"),
        (offers(f"bearer.{TOKEN}", "crdt-sync"), b"", "token", "crdt-sync"),
        ([], f"token={TOKEN}".encode(), "token", None),
        ([], f"x=1&token={TOKEN}&name=%C3%A4".encode(), "token", None),
        (offers("crdt-sync"), f"token={TOKEN}".encode(), "token", "crdt-sync"),
        (offers("other"), f"token={TOKEN}".encode(), "token", None),
        ([], f"ticket={TOKEN}".encode(), "ticket", None),
    ],
)
def test_a_credential_is_found_in_each_of_its_places(
    headers: Headers, query: bytes, kind: str, subprotocol: str | None
) -> None:
    found = read_credential(headers, query)
    assert (found.kind, found.secret, found.subprotocol) == (kind, TOKEN, subprotocol)


@given(words)
def test_the_same_token_in_every_place_counts_once(word: str) -> None:
    headers = authorization(f"Bearer {word}") + offers(f"crdt-sync, bearer.{word}")
    assert read_credential(headers, f"token={word}&token={quote(word)}".encode()).secret == word


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (authorization(f"Bearer {TOKEN}"), b"token=other"),
        (authorization(f"Bearer {TOKEN}"), f"ticket={TOKEN}".encode()),
        (authorization(f"Bearer {TOKEN}") * 2, b""),
        (offers(f"crdt-sync, bearer.{TOKEN}, bearer.other"), b""),
        ([], f"token={TOKEN}&token=other".encode()),
        ([], f"token={TOKEN}&ticket=other".encode()),
        (offers(f"bearer.{TOKEN}"), b""),
        (offers("crdt-sync, bearer."), b""),
        (authorization(f"Basic {TOKEN}"), b""),
        (authorization(f"Bearer {TOKEN} {TOKEN}"), b""),
        (authorization("Bearer"), b""),
        (authorization(""), b""),
        (authorization(""), f"token={TOKEN}".encode()),
        ([(b"authorization", b"Bearer \xff")], b""),
        ([], b"token="),
        ([], b"token=%ff"),
        ([], b"token=a%00"),
        ([], "token=\u0661".encode()),
        ([], b"token=%D9%A1"),
        ([], b"token=" + b"a" * 8193),
        ([], b"x=" + b"a" * 40_000),
        ([], b"&".join([b"a=1"] * 100)),
    ],
)
def test_two_credentials_or_something_else_in_their_place_are_refused(headers: Headers, query: bytes) -> None:
    assert reason_for(headers, query) == "malformed"


@pytest.mark.parametrize(
    ("headers", "query"), [([], b""), (offers("crdt-sync"), b""), ([(b"cookie", b"token=a")], b"Token=a&name=b")]
)
def test_a_request_without_a_credential_is_told_so(headers: Headers, query: bytes) -> None:
    assert reason_for(headers, query) == "missing"


@given(st.lists(st.tuples(header_names, st.binary() | words.map(str.encode)), max_size=4), st.binary())
def test_any_header_bytes_raise_only_access_errors(headers: Headers, query: bytes) -> None:
    try:
        found = read_credential(headers, query)
    except AccessError:
        return
    assert found.secret.isascii()


@given(st.binary())
def test_any_query_bytes_after_a_name_raise_only_access_errors(value: bytes) -> None:
    for prefix in (b"token=", b"ticket=", b"%74oken="):
        try:
            found = read_credential([], prefix + value)
        except AccessError:
            continue
        assert found.secret.isascii()


@given(words, words)
def test_the_subprotocol_with_the_token_is_never_accepted(token: str, other: str) -> None:
    try:
        found = read_credential(offers(f"{other}, bearer.{token}, crdt-sync"), b"")
    except AccessError:
        return
    assert found.subprotocol == "crdt-sync"


def test_a_credential_does_not_show_its_secret() -> None:
    assert TOKEN not in repr(Credential("token", TOKEN, None))
