"""Names and JSON text, as they are parsed at the door."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import InvalidName
from crdt_sync.values import RoomId, json_depth, read_json

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(alphabet='[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\a'), inner, max_size=3),
    max_leaves=40,
)


def depth_of(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


@given(JSON)
def test_the_depth_of_json_is_never_underestimated_and_exact_where_it_matters(value: object) -> None:
    text = json.dumps(value)
    estimated = json_depth(text)
    assert estimated >= depth_of(value)
    if text.count("[") + text.count("{") > 8:
        assert estimated == depth_of(value)


def test_brackets_within_strings_are_not_nesting() -> None:
    assert read_json(json.dumps("[" * 1000), 16) == "[" * 1000


@given(st.text(alphabet='[]{}",:\\ a1'))
def test_any_text_is_read_or_refused_as_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        read_json(text, 16)


def test_deep_nesting_is_refused_before_a_parser_recurses() -> None:
    with pytest.raises(ValueError, match="nested 100000 deep"):
        read_json("[" * 100_000 + "]" * 100_000, 16)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity"])
def test_what_javascript_does_not_call_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        read_json(text, 16)


@pytest.mark.parametrize("path", ["acme/a", "acme/inventory/2026-11", "a.b/x/y_z/1"])
def test_a_room_is_parsed_and_spelled_the_same(path: str) -> None:
    assert str(RoomId.parse(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "acme",
        "acme/",
        "/a",
        "acme//a",
        "acme/../a",
        "acme/.",
        "Acme/a",
        "acme/A",
        "acme/a b",
        "acme/\u00e9",
        "a/\x00",
    ],
)
def test_what_is_no_room_is_refused(path: str) -> None:
    with pytest.raises(InvalidName):
        RoomId.parse(path)
