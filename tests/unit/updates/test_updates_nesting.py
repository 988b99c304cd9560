"""What may lie in what: the gate takes a child where yrs does, and a ledger remembers it through snapshots."""

from __future__ import annotations

from typing import Any, Final

import pytest
from pycrdt import Doc

from crdt_sync.errors import MalformedUpdate
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import state_vector, wire
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import write_deletes
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from tests.laws.histories import admit, judged, ledger_of

CONTENTS: Final = {
    "collected": "0001",
    "deleted": "0101017401",
    "binary": "030101740178",
    "text": "040101740178",
    "embed": "050101740131",
    "format": "06010174016b0131",
    "array": "0701017400",
    "map": "0701017401",
    "shared text": "0701017402",
    "XML element": "07010174030170",
    "XML fragment": "0701017404",
    "XML text": "0701017406",
    "value": "08010174017e",
    "document": "090101740167" + "7600",
}
PARENTS: Final = ("collected", "deleted", "array", "map", "shared text", "XML element", "XML fragment", "XML text")
CHILDREN: Final = {"in a list": "08000100017e", "under a key": "28000100016b017e", "a type": "0700010000"}
DELETE: Final = bytes.fromhex("000101010001")


def first(content: str) -> bytes:
    return bytes.fromhex(f"01010100{content}00")


def child(how: str) -> bytes:
    return bytes.fromhex(f"01010101{CHILDREN[how]}00")


def both(content: str, how: str, *, deleted: bool) -> bytes:
    return bytes.fromhex(f"01020100{content}{CHILDREN[how]}" + ("0101010001" if deleted else "00"))


def yrs_loads(*updates: bytes) -> bool:
    doc: Doc[Any] = Doc()
    try:
        for update in updates:
            doc.apply_update(update)
    except (RuntimeError, ValueError):
        return False
    return True


def takes(update: bytes, ledger: Ledger) -> bool:
    try:
        verdict: Verdict = judged(update, ledger)
    except MalformedUpdate:
        return False
    assert verdict.fresh is not None
    return True


@pytest.mark.parametrize("how", CHILDREN)
@pytest.mark.parametrize("content", CONTENTS)
def test_the_gate_takes_a_child_exactly_where_yrs_does(content: str, how: str) -> None:
    parent = first(CONTENTS[content])
    expected = content in PARENTS
    assert takes(child(how), ledger_of(parent)) == yrs_loads(parent, child(how)) == expected
    for deleted in (False, True):
        together = both(CONTENTS[content], how, deleted=deleted)
        assert takes(together, Ledger()) == yrs_loads(together) == expected


@pytest.mark.parametrize("content", CONTENTS)
def test_a_snapshot_has_no_content_of_what_is_deleted_and_its_ledger_takes_children_of_it(content: str) -> None:
    doc: Doc[Any] = Doc()
    for update in (first(CONTENTS[content]), DELETE):
        doc.apply_update(update)
    snapshot = doc.get_update()
    ledger = ledger_of(snapshot)
    for one in (ledger, Ledger.decode(ledger.encode())):
        assert takes(child("in a list"), one)
    assert yrs_loads(snapshot, child("in a list"))


@pytest.mark.parametrize("content", CONTENTS)
def test_a_ledger_comes_back_from_its_bytes_with_what_may_be_a_parent(content: str) -> None:
    ledger = Ledger.decode(ledger_of(first(CONTENTS[content])).encode())
    # Collected elements that no delete names are remembered, too.
    assert takes(child("in a list"), ledger) == (content in PARENTS)


def test_what_is_deleted_after_the_snapshot_still_has_its_content_in_it() -> None:
    """A newcomer may get the delete and the child in one update, and yrs applies deletes last."""
    snapshot = ledger_of(first(CONTENTS["value"]))
    admit(bytes.fromhex("01010101" + CONTENTS["deleted"] + "0101010101"), snapshot)
    ledger = Ledger.decode(snapshot.encode())
    admit(DELETE, ledger)
    assert not takes(child("in a list")[:3] + b"\x02" + child("in a list")[4:], ledger)
    joined = bytes.fromhex(f"01010101{CHILDREN['in a list']}0101010001")
    assert not yrs_loads(first(CONTENTS["value"]), joined)


def test_a_type_under_a_known_id_is_no_parent_because_what_came_first_counts() -> None:
    ledger = ledger_of(first(CONTENTS["value"]))
    assert not takes(both(CONTENTS["array"], "in a list", deleted=False), ledger)


def test_of_a_run_that_is_partly_known_only_the_new_elements_may_be_parents() -> None:
    ledger = ledger_of(first(CONTENTS["value"]))
    admit(bytes.fromhex("01010100" + "0101017403" + "00"), ledger)
    assert ledger.clocks == {1: 3}
    assert [ledger.may_be_parent((1, clock)) for clock in range(3)] == [False, True, True]


def test_a_child_may_come_before_its_parent_in_the_bytes() -> None:
    sections = "0108000200017e", "01020007010174" + "00"
    update = bytes.fromhex("02" + "010100" + sections[0][2:] + "010200" + sections[1][6:] + "00")
    assert takes(update, Ledger())
    assert yrs_loads(update)


def test_a_ledger_of_an_earlier_version_does_not_say_and_then_nothing_is_refused() -> None:
    known = ledger_of(first(CONTENTS["value"]))
    old = wire.blob(state_vector.encode(known.clocks)) + wire.blob(b"\x00" + write_deletes(known.deleted))
    ledger = Ledger.decode(old)
    assert ledger == known
    assert ledger.encode() == old
    assert takes(child("in a list"), ledger)
    # Nor does it begin to say, for it would know of some only.
    admit(child("a type"), ledger)
    assert ledger.encode()[len(old) :] == b""


def test_what_a_store_holds_is_not_refused() -> None:
    stored = DEFAULT_LIMITS.for_stored()
    ledger = ledger_of(first(CONTENTS["value"]))
    assert judge(decode_update(child("in a list"), stored), ledger, stored).fresh is not None
    whole_state = both(CONTENTS["value"], "in a list", deleted=True)
    assert judge(decode_update(whole_state, stored), ledger, stored).fresh is not None


def test_the_sentence_names_the_child_and_the_parent() -> None:
    with pytest.raises(MalformedUpdate, match=r"client 1, clock 1 lies in .* no shared type \(client 1, clock 0\)"):
        judged(child("in a list"), ledger_of(first(CONTENTS["value"])))
