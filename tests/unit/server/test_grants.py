"""Which documents a grant opens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import Forbidden, InvalidName
from crdt_sync.values import RoomId
from server.auth.grants import DocumentPattern, Grant, Role

segments = st.from_regex(r"[a-z0-9_][a-z0-9._-]{0,5}", fullmatch=True)
documents = st.lists(segments, min_size=1, max_size=4).map("/".join)


def grant(*patterns: str, role: Role = Role.OPERATOR) -> Grant:
    return Grant("till-1", "acme", tuple(map(DocumentPattern.parse, patterns)), role, 1_000, "token-1")


@given(documents, documents)
def test_a_wildcard_matches_exactly_what_is_below_its_prefix(prefix: str, document: str) -> None:
    below = document.split("/")[: prefix.count("/") + 1] == prefix.split("/") and document != prefix
    assert DocumentPattern.parse(f"{prefix}/*").matches(document) == below


@given(documents, documents)
def test_a_wildcard_matches_everything_put_below_its_prefix(prefix: str, rest: str) -> None:
    assert DocumentPattern.parse(f"{prefix}/*").matches(f"{prefix}/{rest}")


@given(documents, documents)
def test_an_exact_pattern_matches_only_itself(pattern: str, document: str) -> None:
    assert DocumentPattern.parse(pattern).matches(document) == (pattern == document)


@given(documents)
def test_a_star_matches_every_document(document: str) -> None:
    assert DocumentPattern.parse("*").matches(document)


@pytest.mark.parametrize(
    "text",
    ["", "/", "/*", "*/a", "a/*/b", "a*", "a/b*", "**", "a/**", "*/*", "a//*", "A/*", "../*", "a/*/*", " *", "*\n"],
)
def test_a_wildcard_elsewhere_than_as_the_last_segment_is_no_pattern(text: str) -> None:
    with pytest.raises(InvalidName, match="document pattern"):
        DocumentPattern.parse(text)


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_an_invalid_name(text: str) -> None:
    try:
        assert str(DocumentPattern.parse(text)) == text
    except InvalidName:
        assert text != "*"


@pytest.mark.parametrize("role", Role)
def test_everyone_but_a_viewer_may_write(role: Role) -> None:
    holder = grant("inventory/*", role=role)
    assert holder.may_read("inventory/2026")
    assert holder.may_write("inventory/2026") == (role is not Role.VIEWER)
    assert not holder.may_write("metrics/2026")


def test_a_grant_without_patterns_opens_nothing() -> None:
    assert not grant().may_read("inventory/2026")


def test_several_patterns_add_up() -> None:
    holder = grant("inventory/*", "notes")
    assert holder.may_read("notes")
    assert holder.may_read("inventory/a/b")
    assert not holder.may_read("notes/a")


@pytest.mark.parametrize("path", ["beta/inventory/1", "acme/metrics/1", "acme/inventory"])
def test_a_foreign_tenant_and_a_foreign_document_are_forbidden_alike(path: str) -> None:
    holder = grant("inventory/*")
    with pytest.raises(Forbidden, match="does not allow to read"):
        holder.check_read(RoomId.parse(path))
    with pytest.raises(Forbidden, match="does not allow to write"):
        holder.check_write(RoomId.parse(path))


def test_a_viewer_may_read_but_not_write() -> None:
    viewer, room = grant("*", role=Role.VIEWER), RoomId("acme", "inventory/1")
    viewer.check_read(room)
    with pytest.raises(Forbidden):
        viewer.check_write(room)
    grant("*").check_write(room)


def test_a_grant_has_expired_from_its_last_second_on() -> None:
    assert not grant("*").has_expired(999.9)
    assert grant("*").has_expired(1_000)
