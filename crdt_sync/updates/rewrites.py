"""Finds keys of a write-once root that were written a second time, or deleted, exactly, from the bytes of updates.

A movement is written once under an id of its own and never changed, so in its root every element is the first of its
key: it has no origin, and nothing deletes it. Whatever else comes is *in doubt* and named, for somebody who can look
at contents to judge: an element that follows another one, a second one without an origin, a deleted one. Nothing is in
doubt by coming again, and an element stays known by its id through collection and compaction.

Ids and keys of one writer count up together, ``{client}.{n}``, ``{client}.{n + 1}``, so that they are kept as ranges:
about 600 bytes for a writer, and nothing for its further movements. Any other key costs some 200 bytes.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from crdt_sync.updates.decode import ANY, DecodedUpdate, Deletes, Struct
from crdt_sync.updates.gate import Verdict
from crdt_sync.values import ClientId, Clock, Id

ELEMENTS_MAX: Final = 32
"""A key with more elements is *crowded*, if nothing else is said: what it comes to is not followed any more."""

_COUNTED: Final = re.compile(r"(0|[1-9a-z][0-9a-z]{0,10})\.(0|[1-9a-z][0-9a-z]{0,10})")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class _Run:
    """Where one writer's keys ``{client}.{n}`` stand, as runs in which clock and number count up together."""

    __slots__ = ("_by_number", "clocks", "ends", "numbers")

    def __init__(self) -> None:
        self.clocks = array("I")
        self.ends = array("I")
        self.numbers = array("Q")
        self._by_number = array("I")
        """The runs by rising number; nearly always they are in that order already."""

    def add(self, clock: Clock, number: int) -> None:
        if self.ends and self.ends[-1] == clock and number == self.numbers[-1] + clock - self.clocks[-1]:
            self.ends[-1] = clock + 1
            return
        place = bisect_left(self._by_number, number, key=self.numbers.__getitem__)
        self._by_number.insert(place, len(self.clocks))
        self.clocks.append(clock)
        self.ends.append(clock + 1)
        self.numbers.append(number)

    def clock_of(self, number: int) -> Clock | None:
        """Which element wrote a number first."""
        if not self._by_number:
            return None
        # Nearly always it is the next one: beyond the last run there is nothing.
        run = self._by_number[-1]
        if number < self.numbers[run]:
            place = bisect_right(self._by_number, number, key=self.numbers.__getitem__) - 1
            if place < 0:
                return None
            run = self._by_number[place]
        clock = self.clocks[run] + number - self.numbers[run]
        return clock if clock < self.ends[run] else None

    def between(self, start: Clock, end: Clock) -> Iterator[int]:
        """The numbers that the elements from ``start`` to ``end`` have written."""
        for run in range(max(bisect_right(self.clocks, start) - 1, 0), bisect_left(self.clocks, end)):
            first, last = max(start, self.clocks[run]), min(end, self.ends[run])
            yield from range(self.numbers[run] + first - self.clocks[run], self.numbers[run] + last - self.clocks[run])


class _Writer:
    """What one client has written: its own keys, and whatever else as (first clock, end, key)."""

    __slots__ = ("end", "own", "strays")

    def __init__(self) -> None:
        self.own = _Run()
        self.strays: list[tuple[Clock, Clock, str]] = []
        self.end: Clock = 0

    def strays_between(self, start: Clock, end: Clock) -> Iterator[str]:
        place = max(bisect_right(self.strays, start, key=lambda stray: stray[0]) - 1, 0)
        while place < len(self.strays) and self.strays[place][0] < end:
            if self.strays[place][1] > start:
                yield self.strays[place][2]
            place += 1


class RewriteIndex:
    """Which elements stand under the keys of one write-once root. Feed it each update that the gate admits, in that
    order."""

    def __init__(self, root: str, *, elements_max: int = ELEMENTS_MAX) -> None:
        self._root = root
        self._elements_max = elements_max
        self._writers: dict[ClientId, _Writer] = {}
        self._firsts: dict[str, Id] = {}
        """The first elements of keys that are not their writer's own."""
        self._several: dict[str, dict[Id, Id | None]] = {}
        """The elements of keys that have several, each with its origin, in the order in which they came."""
        self._settled: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Nobody has written anything there."""
        return not self._writers

    def feed(self, update: DecodedUpdate, verdict: Verdict) -> set[str]:
        """Take note of what the gate admitted; the keys that are in doubt by it. Feeding twice is feeding once."""
        doubted: set[str] = set()
        for run in verdict.runs:
            client, structs = update.sections[run.section]
            for struct in structs[run.first : run.end]:
                if struct.key is not None:
                    if struct.parent == self._root:
                        self._enter(client, struct, struct.key, doubted)
                elif struct.parent is None and self._writers:
                    neighbour = struct.origin or struct.right
                    key = None if neighbour is None else self._key_of(neighbour)
                    if key is not None:
                        self._enter(client, struct, key, doubted)
        if verdict.fresh is not None and verdict.fresh.deletes:
            doubted.update(self._deleted(verdict.fresh.deletes))
        return doubted - self._settled if doubted else doubted

    def elements(self, key: str) -> Sequence[Id]:
        """The elements of a key, in the order in which they came; of a crowded one the first ones."""
        several = self._several.get(key)
        if several is not None:
            return list(several)
        first = self._first(key, _counted(key))
        return () if first is None else (first,)

    def shown(self, key: str) -> Id | None:
        """The element whose value a map shows, unless that is deleted."""
        several = self._several.get(key)
        if several is None:
            return self._first(key, _counted(key))
        followers: defaultdict[Id | None, list[Id]] = defaultdict(list)
        for id_, origin in several.items():
            followers[origin].append(id_)
        # Of elements that follow the same one, the greatest client's stands last, and what follows that, behind it.
        last = None
        while behind := followers.pop(last, None):
            last = max(behind)
        return last

    def is_crowded(self, key: str) -> bool:
        return len(self._several.get(key, ())) > self._elements_max

    def is_settled(self, key: str) -> bool:
        return key in self._settled

    def settle(self, key: str) -> None:
        """Never name this key again: what it first held was put where nobody changes it."""
        self._settled.add(key)
        self._several.pop(key, None)

    def _enter(self, client: ClientId, struct: Struct, key: str, doubted: set[str]) -> None:
        writer = self._writers.get(client)
        if writer is None:
            writer = self._writers[client] = _Writer()
        clock, end, origin = struct.clock, struct.clock + struct.length, struct.origin
        if clock < writer.end:
            # Of a run that has grown since, the beginning is known.
            if end <= writer.end:
                return
            clock = writer.end
            origin = client, clock - 1
        writer.end = end
        counted = _counted(key)
        first = self._first(key, counted)
        if first is None:
            first = client, clock
            self._begin(writer, client, clock, key, counted)
            if end - clock == 1:
                return
            clock, origin = clock + 1, first
        writer.strays.append((clock, end, key))
        if key in self._settled:
            return
        doubted.add(key)
        several = self._several.setdefault(key, {first: None})
        # What is collected already counts as one: there is nothing to be read of it, and it may be long.
        is_readable = struct.kind == ANY and struct.right is None
        for element in range(clock if is_readable else end - 1, end):
            if len(several) <= self._elements_max:
                several[client, element] = origin if struct.right is None else (client, element)
            origin = client, element

    def _begin(self, writer: _Writer, client: ClientId, clock: Clock, key: str, counted: Id | None) -> None:
        if counted is not None and counted[0] == client:
            writer.own.add(clock, counted[1])
        else:
            writer.strays.append((clock, clock + 1, key))
            self._firsts[key] = client, clock

    def _first(self, key: str, counted: Id | None) -> Id | None:
        first = self._firsts.get(key) if self._firsts else None
        if first is not None or counted is None:
            return first
        writer = self._writers.get(counted[0])
        clock = None if writer is None else writer.own.clock_of(counted[1])
        return None if clock is None else (counted[0], clock)

    def _key_of(self, id_: Id) -> str | None:
        return next(self._keys(*id_, id_[1] + 1), None)

    def _keys(self, client: ClientId, start: Clock, end: Clock) -> Iterator[str]:
        """The keys that the elements from ``start`` to ``end`` stand under."""
        writer = self._writers.get(client)
        if writer is None:
            return
        prefix = to_base36(client)
        for number in writer.own.between(start, end):
            yield f"{prefix}.{to_base36(number)}"
        yield from writer.strays_between(start, end)

    def _deleted(self, deletes: Deletes) -> Iterator[str]:
        for client, ranges in deletes.items():
            for start, end in ranges:
                yield from self._keys(client, start, end)


def _counted(key: str) -> tuple[ClientId, int] | None:
    """The client and the number that a key is made of; none where another key would give the same."""
    found = _COUNTED.fullmatch(key)
    return None if found is None else (int(found[1], 36), int(found[2], 36))


def to_base36(number: int) -> str:
    """As ``number.toString(36)`` writes it."""
    digits = _DIGITS[number % 36]
    while number := number // 36:
        digits = _DIGITS[number % 36] + digits
    return digits
