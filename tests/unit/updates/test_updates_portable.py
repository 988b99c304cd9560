"""JSON of embeds and formats: what passes is what yrs reads. A store may hold more, from before the gate knew."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc

from crdt_sync.errors import MalformedUpdate
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.wire import text as text_of
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import join
from crdt_sync.updates.gate import KNOWN, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import whole
from crdt_sync.updates.portable import unreadable


def embed(json_text: str) -> bytes:
    return b"\x01\x01\x01\x00\x05\x01\x01t" + text_of(json_text) + b"\x00"


def formatted(json_text: str) -> bytes:
    return b"\x01\x01\x01\x00\x06\x01\x01t\x01b" + text_of(json_text) + b"\x00"


def yrs_loads(update: bytes) -> bool:
    doc: Doc[Any] = Doc()
    try:
        doc.apply_update(update)
    except ValueError:
        return False
    return True


escapes = st.sampled_from(
    (r"\ud83d", r"\ude00", r"\uD83D\uDE00", r"\\", r"\"", r"\u0000", r"\/", "x", "u", "d800", "1e999", "9" * 400, "😀")
)
strings = st.lists(escapes, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
digits = (
    st.integers(0, 10**22).map(str)
    | st.integers(1, 330).map("9".__mul__)
    | st.integers(1, 330).map(lambda zeros: "1" + "0" * zeros)
)
fractions = (
    st.just("")
    | st.integers(0, 10**6).map(".{}".format)
    | st.integers(1, 340).map(lambda zeros: "." + "0" * zeros + "1")
)
exponents = st.just("") | st.tuples(st.sampled_from(("e", "E", "e+", "e-")), st.integers(0, 700)).map(
    lambda parts: f"{parts[0]}{parts[1]}"
)
numbers = st.tuples(st.sampled_from(("", "-")), digits, fractions, exponents).map("".join)
near_bounds = st.sampled_from([2**63, 2**64, 10**19]).flatmap(lambda n: st.integers(n - 2, n + 2)).map(str)
scalars = strings | numbers | near_bounds | st.sampled_from(("null", "true", "1.7976931348623157e+308"))
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]")
        | st.lists(st.tuples(strings, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=5,
)


@settings(max_examples=1_000)
@given(values)
def test_the_gate_takes_exactly_the_json_that_yrs_reads(json_text: str) -> None:
    json.loads(json_text)
    for update in (embed(json_text), formatted(json_text)):
        try:
            decode_update(update)
        except MalformedUpdate:
            assert not yrs_loads(update)
        else:
            assert yrs_loads(update)


@settings(max_examples=500)
@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_a_double_that_is_spelled_as_one_is_taken(value: float) -> None:
    spelled = repr(value)
    assert unreadable(spelled) is None
    assert yrs_loads(embed(spelled))


@pytest.mark.parametrize(
    ("json_text", "why"),
    [
        (r'"\ud800"', "half of a surrogate pair at character 1"),
        (r'{"a":"\udc00","a":1}', "half of a surrogate pair at character 6"),
        ("[1,1e999]", "a number that it can't hold, 1e999"),
        ("-" + "9" * 400, "a number that it can't hold, -9999999999999999999"),
        ("9223372036854775808", "a number that it can't hold, 9223372036854775808"),
        ("1.7976931348623158e308", "a number that it can't hold, 1.797693134862315"),
    ],
)
def test_the_sentence_names_what_and_where(json_text: str, why: str) -> None:
    for update in (embed(json_text), formatted(json_text)):
        with pytest.raises(MalformedUpdate) as refusal:
            decode_update(update)
        assert why in str(refusal.value)
        assert str(refusal.value).endswith("(client 1, clock 0)")
        assert not yrs_loads(update)


def test_a_hook_is_refused_by_name() -> None:
    with pytest.raises(MalformedUpdate, match=r"XML hook .*\(client 7, clock 0\)"):
        decode_update(bytes.fromhex("010107000701017805016800"))


@pytest.mark.parametrize("first", ["07010178050168", r"0501017408225c756438303022", "05010178053165393939"])
def test_what_a_store_holds_is_read_and_what_stands_beside_it_may_come_twice(first: str) -> None:
    stored = DEFAULT_LIMITS.for_stored()
    before, beside = bytes.fromhex(f"01010700{first}00"), bytes.fromhex("0101070108010174017e00")
    with pytest.raises(MalformedUpdate):
        decode_update(before)
    ledger = Ledger(remembers=True)
    for raw in (before, beside):
        fresh = judge(decode_update(raw, stored), ledger, stored).fresh
        assert fresh is not None
        ledger.admit(fresh)
    joined = join([whole(decode_update(raw, stored)) for raw in (before, beside)])
    ledger.forget_admitted([whole(decode_update(joined[0], stored))])
    assert judge(decode_update(beside), ledger, DEFAULT_LIMITS) == KNOWN
