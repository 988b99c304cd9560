"""Updates that are known to crash, hang, poison or mislead a process which loads documents: what the gate does."""

import pytest

from crdt_sync.errors import ClientIdReused, LimitExceeded, MalformedMessage, MalformedUpdate
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import state_vector, wire, y_websocket
from crdt_sync.protocol.wire import uint
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import write_deletes
from crdt_sync.updates.gate import GAP, Verdict, judge
from crdt_sync.updates.ledger import Ledger


def judged(raw: bytes | str, ledger: Ledger) -> Verdict:
    raw = bytes.fromhex(raw) if isinstance(raw, str) else raw
    return judge(decode_update(raw), ledger, DEFAULT_LIMITS)


def admitted(*updates: bytes | str) -> Ledger:
    ledger = Ledger(remembers=True)
    for raw in updates:
        fresh = judged(raw, ledger).fresh
        assert fresh is not None
        ledger.admit(fresh)
    return ledger


def refused(raw: bytes | str, ledger: Ledger | None = None, match: str | None = None) -> None:
    with pytest.raises(MalformedUpdate, match=match):
        judged(raw, ledger or Ledger())


def test_F1_an_item_that_originates_in_itself_is_a_gap_or_a_circle() -> None:
    """At a clock that is not next it is a gap; where it is next, it depends on itself."""
    item, collected = "01010101a401030361626300", "01010103000100"
    assert judged(item, Ledger()) == GAP
    assert judged(collected, Ledger()) == GAP
    refused(item, admitted("010101000401017201610" + "0"), match="circle")


def test_F2_a_second_section_of_one_client_can_not_bring_other_structs() -> None:
    """Both of its sections are client 1's; Yjs writes one, and yrs joins them wrongly."""
    refused("020301030a0204010174016108010174037e7e7e030100410108038101010344010602616200", match="two sections")


def test_F3_deep_values_empty_sections_and_long_chains_stay_off_the_stack() -> None:
    """Depth is bounded where values nest; sections without structs are no update; nested types are a flat chain."""
    head = b"\x01\x01\x01\x00\x08\x01\x01r\x01"
    with pytest.raises(LimitExceeded):
        judged(head + b"\x75\x01" * 26_268 + b"\x7e\x00", Ledger())
    refused(uint(87_500) + b"".join(b"\x00" + uint(client) + b"\x00" for client in range(87_500)) + b"\x00")
    types = b"".join(b"\x07\x00\x01" + uint(clock) + b"\x00" for clock in range(50_000))
    assert judged(b"\x01" + uint(50_001) + b"\x01\x00\x07\x01\x01r\x00" + types + b"\x00", Ledger()).fresh


def test_F4_a_section_without_structs_is_refused() -> None:
    """Yjs never writes one."""
    refused("0100010000", admitted("01010100000100"), match="without structs|entries are announced")


@pytest.mark.parametrize("raw", ["01010101000000", "01020100040101740161000000"])
def test_F5_F6_a_struct_without_length_is_refused(raw: str) -> None:
    """Every struct holds at least one element."""
    refused(raw, admitted("01010100000100"), match="length 0")


@pytest.mark.parametrize(
    "raw", ["010102010201016d0201310131013100", "0101070002010161030131052274776f22077b2278223a337d00"]
)
def test_F7_content_of_before_yjs_13_is_refused_with_a_hint(raw: str) -> None:
    """yrs can neither read nor write it rightly, so that such a document has to be converted by Yjs."""
    refused(raw, match="convert the document")


def test_F8_two_sections_of_one_client_are_refused_and_a_parent_to_come_is_a_gap() -> None:
    """Yjs writes one section a client; an item whose parent is itself or not there has no place."""
    refused("020101000001010100000200", match="two sections")
    item = "0201010047010700010105000100"
    with pytest.raises(MalformedUpdate):
        judged(item, admitted("010101000401016d016100"))


def test_F9_text_in_an_array_is_accepted_because_nothing_here_reads_it() -> None:
    """It is well-formed, and Yjs shows it; only typed reads of a loaded document go wrong, and those are a scribe's."""
    assert judged("010103000401016106c3a9f09f988000", Ledger()).fresh


@pytest.mark.parametrize("announced", ["8080808001", "8080808040"])
def test_F10_entries_that_the_bytes_cannot_hold_are_refused_before_memory_is_taken(announced: str) -> None:
    """Counts are checked against the bytes that are left, in state vectors, updates and values."""
    with pytest.raises(MalformedMessage):
        state_vector.decode(bytes.fromhex(announced), DEFAULT_LIMITS.clients_max)
    with pytest.raises(MalformedMessage):
        y_websocket.decode(bytes.fromhex("000005" + announced), DEFAULT_LIMITS)
    refused(announced)
    refused("0101010008010172" + "0176" + announced)


def test_F11_an_integer_without_end_is_refused_after_eight_bytes() -> None:
    """Adding up its digits would take quadratic time."""
    reader = wire.Reader(b"\xff" * 400_000)
    with pytest.raises(MalformedMessage):
        reader.uint()
    assert reader.pos <= 9
    refused(b"\xff" * 400_000, match="eight bytes")


def test_F12_many_clients_that_set_one_key_are_bounded_by_the_clients_of_a_document() -> None:
    """Up to that bound it is harmless to a relay that never loads documents: its own work is linear."""
    sets = b"".join(b"\x01" + uint(client) + b"\x00\x28\x01\x01m\x01k\x01\x7e" for client in range(1, 10_002))
    with pytest.raises(LimitExceeded):
        judged(uint(10_001) + sets + b"\x00", Ledger())


def test_F13_a_jump_of_a_clock_is_refused() -> None:
    """No update moves a client by more than was agreed, and no clock beyond what all peers can hold."""
    refused("0101070000ffffffff0f00")
    with pytest.raises(LimitExceeded):
        judged(b"\x01\x01\x07\x00\x00" + uint((1 << 24) + 1) + b"\x00", Ledger())


def test_F14_another_content_under_a_known_id_is_reuse() -> None:
    """The second writer learns that the id is taken; who may write under an id at all is for the room to say."""
    paid = "0101070004010174075041592031303000"
    with pytest.raises(ClientIdReused) as caught:
        judged(paid.replace("313030", "393939"), admitted(paid))
    assert (caught.value.client, caught.value.clock) == (7, 4)


def test_F15_what_waits_for_something_is_not_kept() -> None:
    """A gap is answered by a question, so nothing waits in memory and nothing waits unsaved."""
    assert judged("01010105000100", Ledger()) == GAP
    unknown = b"\x00" + write_deletes({client: [(0, 1)] for client in range(10_000)})
    ledger = Ledger()
    assert judged(unknown, ledger) == GAP
    assert (ledger.clocks, ledger.deleted) == ({}, {})
