"""Honest edits within nested types pass the gate, whatever snapshot and ledger stand for what came before them."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map

from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.ledger import Ledger
from tests.laws.histories import admit, judged, ledger_of, replayed, write_history

seeds = st.integers(0, 2**32).map(Random)


@settings(max_examples=300)
@given(seeds)
def test_what_follows_a_snapshot_is_taken_as_what_follows_its_log(random: Random) -> None:
    history = write_history(random, steps=30)
    live, doc, ledger = Ledger(remembers=True), replayed([]), Ledger()
    for raw in history.updates:
        if random.random() < 0.2:
            ledger = ledger_of(doc.get_update())
            ledger = ledger if random.random() < 0.5 else Ledger.decode(ledger.encode())
        expected, verdict = judged(raw, live), judged(raw, ledger)
        assert not verdict.gap
        assert (verdict.fresh is None) <= (expected.fresh is None or not expected.fresh.spans)
        for one, found in ((live, expected), (ledger, verdict)):
            if found.fresh is not None:
                one.admit(found.fresh)
        doc.apply_update(raw)
        _check_says_no_less(live, ledger, raw)
    assert live.clocks == ledger.clocks


def _check_says_no_less(live: Ledger, compacted: Ledger, raw: bytes) -> None:
    """What a live ledger takes for a parent, one of a snapshot does, too."""
    for client, structs in decode_update(raw).sections:
        for struct in structs:
            for clock in range(struct.clock, struct.clock + struct.length):
                assert live.may_be_parent((client, clock)) <= compacted.may_be_parent((client, clock))


@given(seeds, st.booleans())
def test_a_late_child_of_a_type_that_was_deleted_and_collected_is_taken(random: Random, is_map: bool) -> None:
    """One client deletes a nested type while another, long offline, writes into it."""
    here: Doc = Doc(client_id=1)
    there: Doc = Doc(client_id=2)
    root = here.get("m", type=Map)
    root["nested"] = Map({"a": 1}) if is_map else Array([1, 2])
    there.apply_update(here.get_update())
    nested = there.get("m", type=Map)["nested"]
    before = there.get_state()
    for number in range(random.randint(1, 4)):
        if is_map:
            nested[f"{number}"] = Map({"deeper": 1}) if random.random() < 0.5 else number
        else:
            nested.append(Array([number]) if random.random() < 0.5 else number)
    late = there.get_update(before)
    if random.random() < 0.5:
        del root["nested"]
    else:
        root["nested"] = "over"
    ledger = ledger_of(here.get_update())
    for one in (ledger, Ledger.decode(ledger.encode())):
        assert admit(late, one) is not None
    here.apply_update(late)
    assert ledger_of(here.get_update()).clocks == {**ledger.clocks, 2: decode_end(late)}


def decode_end(raw: bytes) -> int:
    last = decode_update(raw).sections[0].structs[-1]
    return last.clock + last.length
