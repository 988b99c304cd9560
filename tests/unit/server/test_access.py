"""Revocations and API keys: whom they hit, what survives, and how the file is read while it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import InvalidName, StoreCorrupted
from server.auth.access import Access, AccessBook
from server.auth.access_file import FILE_NAME, REWRITE_ENTRIES_MIN
from server.auth.api_keys import NEVER_S, ApiKey, make_api_key, redeem_api_key
from server.auth.grants import RELAY_SUBJECT, CredentialRefused, DocumentPattern, Grant, Role
from server.auth.revocations import Revocation

NOW_S = 1_800_000_000
CLAIMS = {"sub": "billing", "tenant": "acme", "role": "operator", "docs": ["inventory/*"]}


def grant(subject: str = "shop", *, issued_at_s: int = NOW_S, which: str = "t1", tenant: str = "acme") -> Grant:
    return Grant(subject, tenant, (DocumentPattern("*"),), Role.OPERATOR, NOW_S + 900, which, issued_at_s)


def book(folder: Path, *, life_s: float = 3_600, now_s: float = NOW_S) -> AccessBook:
    return AccessBook(folder, token_life_s=life_s, wall_s=lambda: now_s)


# Whom a revocation hits


@pytest.mark.parametrize(
    ("revocation", "hit", "missed"),
    [
        (Revocation("acme", NOW_S), grant(), grant(tenant="globex")),
        (Revocation("acme", NOW_S), grant(issued_at_s=NOW_S), grant(issued_at_s=NOW_S + 1)),
        (Revocation("acme", NOW_S, user="shop"), grant("shop"), grant("shop2")),
        (Revocation("acme", NOW_S, user="shop"), grant("shop/ada"), grant("sho")),
        (Revocation("acme", NOW_S, user="shop/ada"), grant("shop/ada"), grant("shop")),
        (Revocation("acme", NOW_S, user="shop"), grant("shop"), grant("shop", issued_at_s=NOW_S + 1)),
        (Revocation("acme", NOW_S, token="t1"), grant(issued_at_s=NOW_S + 9), grant(which="t2")),
        (Revocation("acme", NOW_S, user="shop", token="t1"), grant("shop"), grant("ada")),
        (Revocation("acme", NOW_S), grant("relays"), grant(RELAY_SUBJECT)),
    ],
)
def test_P30_a_revocation_hits_whom_it_means(revocation: Revocation, hit: Grant, missed: Grant) -> None:
    access = Access.parse([revocation.to_entry()])
    assert access.is_revoked(hit)
    assert not access.is_revoked(missed)
    with pytest.raises(CredentialRefused, match="revoked") as caught:
        access.check(hit)
    assert caught.value.reason == "revoked"


def test_P30_a_revocation_of_documents_takes_just_those() -> None:
    access = Access.parse([Revocation("acme", NOW_S, user="shop", document=DocumentPattern("pii/*")).to_entry()])
    assert access.is_revoked(grant(), "pii/ada")
    assert not access.is_revoked(grant(), "inventory/catalog")
    assert not access.is_revoked(grant())


NAMES = st.none() | st.sampled_from(["shop", "shop/ada", "shop/ada/x", "sho", "/", "a/"])


@given(NAMES, st.none() | st.sampled_from(["t1", "t2"]), st.integers(-1, 1), NAMES.filter(bool))
def test_P30_whom_the_index_finds_is_whom_the_revocation_hits(
    user: str | None, token: str | None, later_s: int, subject: str
) -> None:
    revocation = Revocation("acme", NOW_S + later_s, user=user, token=token)
    found = Access.parse([revocation.to_entry()])
    assert found.is_revoked(grant(subject)) == revocation.hits(grant(subject))


TEXTS = st.none() | st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5)


@given(TEXTS, TEXTS, st.none() | st.sampled_from(["*", "a", "a/*"]), st.integers(0, 1 << 37), st.booleans())
def test_a_revocation_is_read_as_it_was_written(
    user: str | None, token: str | None, document: str | None, until_s: int, of_key: bool
) -> None:
    pattern = None if document is None else DocumentPattern.parse(document)
    revocation = Revocation("acme", until_s, user, token, pattern, of_key)
    assert "acme" in str(revocation)
    assert Revocation.parse(revocation.to_entry()) == revocation


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb"])
def test_a_revocation_of_what_no_token_can_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        Revocation("acme", NOW_S, user=name)


@pytest.mark.parametrize(
    "entry", [{}, {"act": "revoke"}, {"act": "key"}, {"act": "party"}, {**Revocation("acme", 1).to_entry(), "user": 7}]
)
def test_an_entry_that_makes_no_sense_is_strange_and_the_others_count(entry: dict[str, Any]) -> None:
    access = Access.parse([entry, Revocation("acme", NOW_S).to_entry()])
    assert len(access.strange) == 1
    assert access.is_revoked(grant())


# Keys


def test_a_key_opens_what_its_claims_say_until_it_ends() -> None:
    key, shown = make_api_key(CLAIMS, ttl_s=60, now_s=NOW_S + 0.7)
    keys = {key.id: ApiKey.parse(key.to_entry())}
    redeemed = redeem_api_key(keys, shown, now_s=NOW_S + 59)
    assert redeemed == Grant(
        "billing", "acme", (DocumentPattern("inventory/*"),), Role.OPERATOR, NOW_S + 60, key.id, NOW_S
    )
    with pytest.raises(CredentialRefused, match="expired"):
        redeem_api_key(keys, shown, now_s=NOW_S + 60)


def test_a_key_without_an_end_has_none_that_anybody_sees() -> None:
    key, shown = make_api_key(CLAIMS, ttl_s=None, now_s=NOW_S)
    assert redeem_api_key({key.id: key}, shown, now_s=NEVER_S - 1).expires_at_s == NEVER_S


def test_neither_the_file_nor_a_repr_holds_the_secret_of_a_key(tmp_path: Path) -> None:
    key, shown = make_api_key(CLAIMS, ttl_s=None, now_s=NOW_S)
    book(tmp_path).add(key, by="test")
    secret = shown.split("_", 2)[2]
    assert secret not in (tmp_path / FILE_NAME).read_text()
    assert secret not in repr(key)
    assert key.digest.hex() not in repr(key)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda shown: shown[:-1] + ("A" if shown[-1] != "A" else "B"), "untrusted"),
        (lambda shown: "csk_" + "0" * 16 + shown[20:], "untrusted"),
        (lambda shown: shown + "x", "malformed"),
        (lambda shown: shown[:-1], "malformed"),
        (lambda _: "csk_", "malformed"),
        (lambda shown: shown.upper(), "malformed"),
    ],
)
def test_a_key_that_is_not_quite_the_one_is_refused_without_saying_why(change: Any, reason: str) -> None:
    key, shown = make_api_key(CLAIMS, ttl_s=None, now_s=NOW_S)
    with pytest.raises(CredentialRefused) as caught:
        redeem_api_key({key.id: key}, change(shown), now_s=NOW_S)
    assert caught.value.reason == reason
    assert shown[21:40] not in str(caught.value)


@pytest.mark.parametrize("change", [{"sub": "relay"}, {"role": "king"}, {"tenant": "A"}, {"docs": ["a*"]}, {"sub": ""}])
def test_a_key_is_never_made_for_what_no_token_may_be(change: dict[str, Any]) -> None:
    with pytest.raises((CredentialRefused, ValueError)):
        make_api_key({**CLAIMS, **change}, ttl_s=None, now_s=NOW_S)


def test_P30_a_key_is_revoked_like_a_token() -> None:
    key, _ = make_api_key(CLAIMS, ttl_s=None, now_s=NOW_S)
    for revocation in (
        Revocation("acme", NOW_S, token=key.id),
        Revocation("acme", NOW_S, user="billing"),
        Revocation("acme", NOW_S),
    ):
        assert Access.parse([key.to_entry(), revocation.to_entry()]).is_revoked(key.grant)


# The file of a running relay


def test_P30_what_another_process_puts_down_is_seen_at_the_next_look(tmp_path: Path) -> None:
    relay, command = book(tmp_path), book(tmp_path)
    relay.open()
    assert not relay.look()
    command.add(Revocation("acme", NOW_S, user="shop"), by="test")
    assert relay.look()
    assert not relay.look()
    assert relay.now.is_revoked(grant())


def test_a_relay_does_not_start_on_a_damaged_file(tmp_path: Path) -> None:
    command = book(tmp_path)
    command.add(Revocation("acme", NOW_S, user="shop"), by="test")
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b"shop", b"shed"))
    with pytest.raises(StoreCorrupted, match="line 1"):
        book(tmp_path).open()


@pytest.mark.parametrize("harm", ["change", "remove", "empty"])
def test_what_was_taken_back_stays_taken_back_when_the_file_is_harmed(harm: str, tmp_path: Path) -> None:
    relay, path = book(tmp_path), tmp_path / FILE_NAME
    relay.add(Revocation("acme", NOW_S, user="shop"), by="test")
    relay.open()
    match harm:
        case "change":
            path.write_bytes(path.read_bytes().replace(b"shop", b"shed"))
        case "remove":
            path.unlink()
        case _:
            path.write_bytes(b"")
    relay.look()
    assert relay.now.is_revoked(grant())
    book(tmp_path).add(Revocation("acme", NOW_S, user="ada"), by="test")
    relay.look()
    assert relay.now.is_revoked(grant("ada"))
    assert relay.now.is_revoked(grant())


def test_what_can_hit_nothing_any_more_is_forgotten_and_what_hits_a_key_is_not(tmp_path: Path) -> None:
    early, late = book(tmp_path), book(tmp_path, now_s=NOW_S + 5_000)
    lasting, _ = make_api_key(CLAIMS, ttl_s=None, now_s=NOW_S)
    ending, _ = make_api_key({**CLAIMS, "sub": "guest"}, ttl_s=60, now_s=NOW_S)
    for key in (lasting, ending):
        early.add(key, by="test")
    early.add(Revocation("acme", NOW_S, token=lasting.id), by="test")
    early.add(Revocation("acme", NOW_S, token=ending.id), by="test")
    for number in range(REWRITE_ENTRIES_MIN):
        early.add(Revocation("acme", NOW_S, user=f"user-{number}"), by="test")
    fresh = Revocation("acme", NOW_S + 5_000, user="shop")
    late.add(fresh, by="test")
    late.open()
    assert set(late.now.keys) == {lasting.id}
    left = [revocation for found in late.now.revocations.values() for revocation in found]
    assert left == [Revocation("acme", NOW_S, token=lasting.id), fresh]
