"""200,000 hostile inputs against the serving path: nothing but our own errors, rooms serve on, no history is deadly.

Not every history that the gate takes can be loaded by yrs: see :data:`YRS_REFUSES`. Such a document is served on from
its log. It is not compacted, and peers of ours that load it with yrs are told that it is broken.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from crdt_sync.errors import ReplicaBroken, SnapshotMismatch
from crdt_sync.protocol.messages import NewUpdate, StateRequest
from server.scribes.pool import open_scribes
from tests.laws.serving_path import AttackedRoom, attack
from tests.unit.rooms.members import absorb, arrive, kept, make_room, said, told

INPUTS = int(os.environ.get("CRDT_SYNC_HOSTILE_INPUTS", "50000"))
"""For each seed."""
PER_ROOM = 200
LOADED = 15
"""Rooms of each seed whose history is loaded by a scribe."""
YRS_REFUSES = {
    "a child of an element that is no type": ("0101070004010174017800", "0101080004000700017900"),
    "a hook, whose name yrs does not read": ("010107000701017805016800",),
    "half of a surrogate pair in an embed": ("010107000501017408225c75643830302200",),
    "a number beyond a double in an embed": ("010107000501017405316539393900",),
}
"""What stock Yjs reads, the gate takes, and yrs refuses. Whoever teaches the gate one of them takes it out here."""


async def loaded_by_scribes(logs: list[list[bytes]]) -> Counter[str]:
    """A scribe makes a snapshot of each log and proves it equal; what became of them. None may end the scribe."""
    outcomes: Counter[str] = Counter()
    async with open_scribes(count=1, memory_bytes_max=1 << 30, timeout_s=60.0, on_death=print) as scribes:
        for log in logs:
            try:
                await scribes.compact(None, log)
            except (ReplicaBroken, SnapshotMismatch):
                outcomes["refused by a scribe"] += 1
            else:
                outcomes["loaded by a scribe"] += 1
    return outcomes


def sample(rooms: list[AttackedRoom], seed: int, most: int = LOADED) -> list[list[bytes]]:
    return [room.log for room in Random(seed).sample(rooms, min(most, len(rooms)))]


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
    assert outcomes["loaded by a scribe"] > LOADED / 3


@pytest.mark.parametrize("what", YRS_REFUSES)
async def test_what_yrs_can_not_read_ends_no_scribe_and_is_served_on(what: str) -> None:
    room, updates = make_room(), [bytes.fromhex(one) for one in YRS_REFUSES[what]]
    arrive(room, 1, author="attacker")
    for update in updates:
        assert kept(absorb(room, said(1, NewUpdate(update)))) == [update]
    arrive(room, 2, author="newcomer")
    answer = absorb(room, said(2, StateRequest({})))
    assert sum(map(len, told(answer, 2))) > 2
    assert await loaded_by_scribes([updates]) == {"refused by a scribe": 1}
