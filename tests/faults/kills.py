"""Kills a store's process at chosen calls, or takes its power away, and counts what that cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Final, Self, TypeAlias

from crdt_sync.errors import StoreError
from tests.faults.power import Disk, put
from tests.faults.scratch import emptied
from tests.faults.shim import ANY, Action, Event, Op, Shim, boundary
from tests.faults.workload import ROUNDS, Acked, losses

ROOT: Final = Path(__file__).parents[2]
KILLS: Final = (Action.KILL_BEFORE, Action.KILL_AFTER, Action.KILL_WITHIN)
SESSIONS_PER_STORE: Final = 4
"""So often the same store is killed in a row, without anybody who repairs it between."""
KILLED: Final = -9

Point: TypeAlias = tuple[Op, int, Action]
"""Which call of a session, and how to die there."""


@dataclass
class Toll:
    """What was tried, what it reached, and what was lost."""

    tried: int = 0
    acks: int = 0
    """Acknowledgements that were looked for afterwards, each as often as it was."""
    seen: int = 0
    """Edits that another client had seen; only where there are clients."""
    boundaries: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        reached = ", ".join(f"{name} {times}" for name, times in sorted(self.boundaries.items()))
        return f"{self.tried} tried, {self.acks} acks, {self.seen} seen, {len(self.lost)} losses; reached: {reached}"


class Nursery:
    """Sessions of the workload, each in a process of its own under the shim."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said = ""
        """Why the store of the last session could not do its part."""

    @classmethod
    @contextmanager
    def opened(cls, shim: Shim, *arguments: str) -> Iterator[Self]:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery", *arguments],
            cwd=ROOT,
            env={**os.environ, **shim.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield cls(process)
            finally:
                process.kill()

    def run(self, folder: Path, rounds: int = ROUNDS) -> int:
        """One session; its exit code, or minus the signal that ended it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder} {rounds}\n")
        self._process.stdin.flush()
        code, _, self.said = self._process.stdout.readline().strip().partition(" ")
        return int(code)


def calls_of(events: Sequence[Event]) -> list[str]:
    """The boundary of every call that the shim counts."""
    return [boundary(event.op, event.path) for event in events if not event.path.endswith("/acks")]


def each_boundary(calls: Sequence[str], random: Random) -> list[Point]:
    """The first, the last and another call of every boundary of a session, in all three ways; at random, but one of
    each boundary before the second of any.

    A place is counted among the calls of its kind: sessions differ in how many writes they take, not in the order of
    what is rare."""
    by_name = []
    for name in sorted(set(calls)):
        op = Op[name.partition(" ")[0].upper()]
        alike = [call for call in calls if call.startswith(f"{name.partition(' ')[0]} ")]
        places = [number for number, call in enumerate(alike, 1) if call == name]
        points = {(op, place, action) for action in KILLS for place in (places[0], places[-1], random.choice(places))}
        by_name.append(random.sample(sorted(points), len(points)))
    random.shuffle(by_name)
    return [point for turn in zip_longest(*by_name) for point in turn if point is not None]


async def kill(shim: Shim, nursery: Nursery, count: int, random: Random) -> Toll:
    """Kill ``count`` sessions, and after each read a copy of what is on disk.

    Half of them at every boundary in turn, as far as that goes, each on a new store; the others evenly over a session,
    on stores that were killed before, so that recovering is killed as well."""
    toll = Toll()
    store, copy = shim.folder / "store", shim.folder.parent / "copy"
    calls = calls_of(session(shim, nursery, emptied(store)))
    points = each_boundary(calls, random)[: count // 2]
    on_new = len(points)
    at_last = "nothing"
    while toll.tried < count:
        if toll.tried < on_new or toll.tried % SESSIONS_PER_STORE == 0:
            emptied(store)
        ops, at, action = points.pop(0) if points else (ANY, random.randrange(1, len(calls)), random.choice(KILLS))
        shim.arm(action, after=at, ops=ops)
        code = nursery.run(store)
        # A session on a store that was there already may have fewer calls, and come to its end.
        if code != (KILLED if shim.fired else 0):
            toll.lost.append(f"after {at_last}, the next session ended with {code}: {nursery.said}")
            emptied(store)
        if shim.fired:
            toll.tried += 1
            toll.boundaries[f"{action.name.lower()} {shim.fired_at}"] += 1
        at_last = f"{action.name.lower()} {shim.fired_at}"
        shim.disarm()
        await assess(store, copy, toll, f"{action.name.lower()} at call {at}")
    return toll


async def assess(store: Path, copy: Path, toll: Toll, what: str) -> None:
    emptied(copy)
    lines = (store / "acks").read_text().splitlines() if (store / "acks").exists() else []
    for path in store.iterdir():
        shutil.copy(path, copy)
    await count_losses(copy, Acked.read(lines), toll, what)


async def count_losses(folder: Path, acked: Acked, toll: Toll, what: str) -> None:
    toll.acks += acked.count
    try:
        toll.lost += [f"{what}: {loss}" for loss in await losses(folder, acked)]
    except StoreError as error:
        toll.lost.append(f"{what}: {error.code}: {error}")


def session(shim: Shim, nursery: Nursery, folder: Path) -> list[Event]:
    """The calls of one session that nothing happens to."""
    shim.forget_trace()
    shim.disarm()
    assert nursery.run(folder) == 0
    return list(shim.trace())


async def lose_power(shim: Shim, nursery: Nursery, count: int, random: Random) -> Toll:
    """Make ``count`` images of a disk without power, half of them right after an ack and a quarter while names of files
    are changing, and read each."""
    toll = Toll()
    store, copy = emptied(shim.folder / "store"), shim.folder.parent / "copy"
    # Sessions that follow each other on one disk, one of them begun on what a kill had left.
    events = session(shim, nursery, store)
    shim.forget_trace()
    shim.arm(Action.KILL_AFTER, after=len(events) // 2)
    assert nursery.run(store) == KILLED
    events += shim.trace()
    events += session(shim, nursery, store)
    disk = Disk(store)
    acks = [place for place, event in enumerate(events) if event.path.endswith("/acks") and event.op == Op.WRITE]
    names = [place for place, event in enumerate(events) if event.op in (Op.CREATE, Op.RENAME, Op.UNLINK)]
    chosen = random.choices(acks, k=count // 2) + random.choices(names, k=count // 4)
    places = Counter(chosen + random.choices(range(len(events)), k=count - len(chosen)))
    for place, event in enumerate(events):
        disk.take(event)
        acked = Acked.read(disk.acks()) if places[place] else Acked()
        for _ in range(places[place]):
            toll.tried += 1
            toll.boundaries[f"after {boundary(event.op, event.path)}"] += 1
            put(disk.image(random), emptied(copy))
            await count_losses(copy, acked, toll, f"power lost after call {place} ({boundary(event.op, event.path)})")
    return toll
