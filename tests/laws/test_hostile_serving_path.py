"""200,000 hostile inputs against the serving path: nothing but our own errors, rooms serve on, no history is deadly.

What the gate takes yrs loads. Some of it it reads in another way than it was written, and then no snapshot is proven:
an element between neighbours of two parents, or beside an entry of a map as if that stood in a list, and half of a
character (docs/explanation/scribes.md). Such a document is served on from its log; it is not compacted.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from crdt_sync.errors import MalformedUpdate, ReplicaBroken, SnapshotMismatch
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import NewUpdate, StateReply, StateRequest
from server.rooms.history import History
from server.rooms.room import Room
from server.scribes.pool import open_scribes
from tests.laws.hostile_inputs import NEST
from tests.laws.serving_path import AttackedRoom, attack
from tests.unit.rooms.members import Writer, absorb, arrive, kept, make_room, said, told

INPUTS = int(os.environ.get("CRDT_SYNC_HOSTILE_INPUTS", "50000"))
"""For each seed."""
PER_ROOM = 200
LOADED = 40
"""Rooms of each seed whose history is loaded by a scribe."""
REFUSED_AT_THE_EDGE = {
    "a child of an element that is no type": ("0101070004010174017800", "0101080004000700017900"),
    "a hook, whose name yrs does not read": ("010107000701017805016800",),
    "half of a surrogate pair in an embed": ("010107000501017408225c75643830302200",),
    "half of a surrogate pair in a format": ("0101070006010174016208225c75646330302200",),
    "a number beyond a double in an embed": ("010107000501017405316539393900",),
    "a whole number that no integer of yrs holds": ("010107000501017414313030303030303030303030303030303030303000",),
}
"""What stock Yjs reads and yrs does not. A store may hold it from before the gate knew."""


async def loaded_by_scribes(logs: list[list[bytes]]) -> Counter[str]:
    """A scribe makes a snapshot of each log and proves it equal; what became of them. None may end the scribe."""
    outcomes: Counter[str] = Counter()
    async with open_scribes(count=1, memory_bytes_max=1 << 30, timeout_s=60.0, on_death=print) as scribes:
        for log in logs:
            try:
                await scribes.compact(None, log)
            except ReplicaBroken:
                outcomes["broken"] += 1
            except SnapshotMismatch:
                outcomes["not proven"] += 1
            else:
                outcomes["loaded"] += 1
    return outcomes


def sample(rooms: list[AttackedRoom], seed: int, most: int = LOADED) -> list[list[bytes]]:
    """Logs of some rooms, but for those that hold what is known to end a scribe: that is set aside (P34)."""
    logs = [room.log for room in rooms if NEST not in room.log]
    return Random(seed).sample(logs, min(most, len(logs)))


@pytest.mark.parametrize("seed", [1, 2, 3, 20261120])
async def test_P15_whatever_arrives_the_serving_path_refuses_it_or_serves_on(seed: int) -> None:
    reached: Counter[str] = Counter()
    rooms = attack(seed, INPUTS, PER_ROOM, reached)
    assert reached["inputs"] == INPUTS // PER_ROOM * PER_ROOM
    assert reached["kept"] > INPUTS / 100, "the inputs must reach beyond the gate to prove anything"
    codes = ("malformed-message", "malformed-update", "limit-exceeded", "client-id-reused", "out-of-turn")
    assert all(reached[f"refused as {code}"] for code in codes)
    assert reached["gaps"]
    outcomes = await loaded_by_scribes(sample(rooms, seed))
    assert outcomes["broken"] == 0
    assert outcomes["not proven"] <= LOADED / 8


@pytest.mark.parametrize("what", REFUSED_AT_THE_EDGE)
async def test_what_yrs_can_not_read_costs_its_sender_the_connection(what: str) -> None:
    room, updates = make_room(), [bytes.fromhex(one) for one in REFUSED_AT_THE_EDGE[what]]
    arrive(room, 1, author="attacker")
    *before, last = updates
    for update in before:
        assert kept(absorb(room, said(1, NewUpdate(update)))) == [update]
    for message in (NewUpdate(last), StateReply(last)):
        arrive(room, 2, author="attacker")
        try:
            turn = absorb(room, said(2, message))
        except MalformedUpdate:
            continue
        assert kept(turn) == []
        assert [type(reason) for _, reason in turn.expelled] == [MalformedUpdate]
    assert await loaded_by_scribes([before]) == {"loaded": 1}


@pytest.mark.parametrize("what", REFUSED_AT_THE_EDGE)
async def test_a_store_that_holds_it_already_is_served_on_and_ends_no_scribe(what: str) -> None:
    updates = [bytes.fromhex(one) for one in REFUSED_AT_THE_EDGE[what]]
    room = Room(History.load(b"", 0, b"", updates, DEFAULT_LIMITS, document="acme/old"), DEFAULT_LIMITS)
    arrive(room, 1, author="page")
    answer = absorb(room, said(1, StateRequest({})))
    assert sum(map(len, told(answer, 1))) > 2
    # What is written beside it is kept.
    assert kept(absorb(room, said(1, NewUpdate(beside := Writer(99).set("alive", 1))))) == [beside]
    outcomes = await loaded_by_scribes([updates])
    assert outcomes["broken"] + outcomes["not proven"] == 1
