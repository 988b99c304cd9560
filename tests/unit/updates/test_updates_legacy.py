"""Content of kind JSON is rewritten as values; everything around it stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc

from crdt_sync.errors import LimitExceeded, MalformedUpdate, ProtocolError
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.wire import text, uint
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.legacy import convert_legacy

BY_YJS = "0101070002010161030131052274776f22077b2278223a337d00"
"""Client 7 pushes 1, "two" and {"x": 3} to the array "a", as Yjs 13.0.0-88 wrote it."""


def converted(raw: bytes | str) -> bytes:
    raw = bytes.fromhex(raw) if isinstance(raw, str) else raw
    return convert_legacy(raw, DEFAULT_LIMITS).update


def pushed(*written: str) -> bytes:
    """An update that pushes elements of kind JSON to the array "a"."""
    return b"\x01\x01\x07\x00\x02\x01\x01a" + uint(len(written)) + b"".join(map(text, written)) + b"\x00"


def test_an_update_of_old_yjs_says_the_same_in_values() -> None:
    assert convert_legacy(bytes.fromhex(BY_YJS), DEFAULT_LIMITS).elements == 3
    assert converted(BY_YJS).hex() == "0101070008010161037d01770374776f760101787d0300"


def test_origin_right_parent_and_key_stay_as_they_are() -> None:
    places = (
        "0201016101",
        "22010161016b01",
        "0200070501",
        "8207050" + "1",
        "4207050" + "1",
        "c20705070601",
        "a2070501",
    )
    for place in places:
        raw = bytes.fromhex("01010700" + place) + text("null") + b"\x00"
        expected = bytes([raw[4] - 2 + 8]) + raw[5:-6] + b"\x7e\x00"
        assert converted(raw) == raw[:4] + expected


def test_an_update_without_such_content_is_what_it_was() -> None:
    raw = bytes.fromhex("0101070008010161037d017d027e00")
    assert convert_legacy(raw, DEFAULT_LIMITS) == (raw, 0)
    assert convert_legacy(b"\x00\x00", DEFAULT_LIMITS) == (b"\x00\x00", 0)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("undefined", "7f"),
        ("null", "7e"),
        ("true", "78"),
        ("false", "79"),
        ("0", "7d00"),
        ("-0", "7d40"),
        ("63", "7d3f"),
        ("64", "7d8001"),
        ("-65", "7dc101"),
        ("2147483647", "7dbfffffff0f"),
        ("2147483648", "7b41e0000000000000"),
        ("0.1", "7b3fb999999999999a"),
        ('""', "7700"),
        ("[]", "7500"),
        ('{"":[{}]}', "76010075017600"),
    ],
)
def test_each_value_is_spelled_as_yjs_does(written: str, value: str) -> None:
    assert converted(pushed(written)).hex() == f"010107000801016101{value}00"


@pytest.mark.parametrize(
    "written", ['"\\ud800"', '{"\\udc00":1}', "NaN", "1e999", "9" * 400, "{", "", "[" * 60 + "]" * 60, "undefine"]
)
def test_what_has_no_counterpart_is_refused_in_a_sentence(written: str) -> None:
    with pytest.raises(MalformedUpdate, match="content of kind JSON"):
        converted(pushed(written))


@pytest.mark.parametrize("cut", range(1, len(BY_YJS) // 2))
def test_an_update_that_ends_too_early_is_malformed(cut: int) -> None:
    with pytest.raises(MalformedUpdate):
        converted(bytes.fromhex(BY_YJS)[:cut])


def test_what_else_is_wrong_in_the_update_is_found() -> None:
    for raw in (
        bytes.fromhex(BY_YJS) + b"\x00",
        b"\x01\x01\x07\x00\x02\x01\x01a\xff\xff\xff\xff\x07\x00",
        b"\x01\x00\x07\x00\x00",
    ):
        with pytest.raises(MalformedUpdate):
            converted(raw)
    with pytest.raises(LimitExceeded):
        converted(b"\x01\x01\x07\x00\x02\x01" + text("r" * 300) + b"\x01" + text("1") + b"\x00")


@given(st.binary(max_size=80))
def test_any_bytes_are_converted_or_refused(raw: bytes) -> None:
    try:
        update = converted(b"\x01\x01\x07\x00\x02\x01\x01a" + raw)
    except ProtocolError:
        return
    decode_update(update)


@given(
    st.lists(
        st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.text()), min_size=1
    )
)
def test_values_read_as_they_were_written(values: list[float | str]) -> None:
    doc: Doc[Any] = Doc()
    doc.apply_update(converted(pushed(*(json.dumps(value) for value in values))))
    assert doc.get("a", type=Array).to_py() == values
