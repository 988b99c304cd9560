"""The index of places says of every element what a plain walk through the document says."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.places import PlaceIndex, Trace
from tests.laws.place_histories import Follower, scribbled, walked

seeds = st.integers(0, 2**32 - 1).map(Random)


def trace_of_nothing(index: PlaceIndex) -> Trace:
    return Trace(index, decode_update(b"\x00\x00"), ())


def disagreements(doc: Doc[Any], follower: Follower, index: PlaceIndex) -> list[str]:
    """Where the index says another path than the document, or that another element of a key counts."""
    trace = trace_of_nothing(index)
    found = []
    for glyph, path in walked(doc).items():
        spot = index.spot_of(follower.ids[glyph])
        if trace.path(spot) != path:
            found.append(f"{glyph} stands at {path}, not at {trace.path(spot)}")
        if spot is not None and spot.key is not None and isinstance(spot.container, str):
            winner = index.winner(spot)
            if winner is not None and winner != follower.ids[glyph]:
                found.append(f"{path} is decided by {follower.ids[glyph]}, not by {winner}")
    return found


@given(seeds)
def test_P29_the_index_says_of_every_element_what_a_walk_says(random: Random) -> None:
    updates = scribbled(random)
    follower, doc = Follower(), Doc[Any]()
    for raw in updates:
        follower.hear(raw)
        doc.apply_update(raw)
        assert disagreements(doc, follower, follower.index) == []


@given(seeds)
def test_P29_an_index_of_a_snapshot_or_a_log_says_the_same(random: Random) -> None:
    updates = scribbled(random)
    follower, doc = Follower(), Doc[Any]()
    for raw in updates:
        follower.hear(raw)
        doc.apply_update(raw)
    cut = random.randint(0, len(updates))
    early: Doc[Any] = Doc()
    for raw in updates[:cut]:
        early.apply_update(raw)
    for log in ([doc.get_update()], updates, [early.get_update(), *updates[cut:]]):
        assert disagreements(doc, follower, PlaceIndex.of_log(log)) == []
    assert all(index_end == end for index_end, end in _ends(follower.index, follower.ledger))


def _ends(index: PlaceIndex, ledger: Ledger) -> list[tuple[int, int]]:
    return [(index.end(client), clock) for client, clock in ledger.clocks.items()]


@given(seeds)
def test_P29_what_counts_of_a_key_is_known_unless_a_client_forks_itself(random: Random) -> None:
    updates = scribbled(random)
    follower, doc = Follower(), Doc[Any]()
    for raw in updates:
        follower.hear(raw)
        doc.apply_update(raw)
    for glyph in walked(doc):
        spot = follower.spot(glyph)
        assert spot is not None
        if spot.key is not None:
            assert follower.index.winner(spot) == follower.ids[glyph]


@given(seeds)
def test_P29_a_trace_says_beforehand_what_the_index_says_afterwards(random: Random) -> None:
    updates = scribbled(random)
    ledger, index = Ledger(), PlaceIndex()
    # In one update, so that much of it lies in what the very same update makes.
    doc: Doc[Any] = Doc()
    for raw in updates:
        doc.apply_update(raw)
    for raw in (*updates[:5], doc.get_update()):
        update = decode_update(raw)
        verdict = judge(update, ledger, DEFAULT_LIMITS, keep_ready_part=True)
        trace = Trace(index, update, verdict.runs)
        paths = [(one, trace.path(one.spot)) for one in trace.writes]
        stretches = {client: list(trace.stretches(client, 0, 2**31)) for client, _ in update.sections}
        index.feed(update, verdict.runs)
        if verdict.fresh is not None:
            ledger.admit(verdict.fresh)
        after = trace_of_nothing(index)
        for one, path in paths:
            assert after.path(index.spot_of((one.client, one.clock))) == path
        for client, parts in stretches.items():
            assert parts[0].clock == 0
            assert parts[-1].end == index.end(client)
            for part in parts:
                assert index.spot_of((client, part.clock)) == part.spot == index.spot_of((client, part.end - 1))
