"""Sets of clocks as sorted, merged, half-open ranges in one flat list: ``[start, end, start, end, ...]``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]
"""``start <= clock < end``."""

_FEW = 100


class Ranges:
    """A set of clocks. Adding and subtracting cost a binary search and the ranges that are touched."""

    __slots__ = ("_bounds",)

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._bounds: list[int] = []
        self.update(list(ranges))

    def __iter__(self) -> Iterator[Range]:
        bounds = self._bounds
        return iter([(bounds[i], bounds[i + 1]) for i in range(0, len(bounds), 2)])

    def __len__(self) -> int:
        return len(self._bounds) // 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._bounds == other._bounds

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __contains__(self, clock: object) -> bool:
        return isinstance(clock, int) and bisect_right(self._bounds, clock) % 2 == 1

    def copy(self) -> Ranges:
        twin = Ranges()
        twin._bounds = self._bounds[:]
        return twin

    def add(self, start: int, end: int) -> None:
        """Include ``start`` to ``end``; neighbours that touch are merged."""
        bounds = self._bounds
        # An even index lies between two ranges, an odd one inside a range (or at its touching edge).
        low, high = bisect_left(bounds, start), bisect_right(bounds, end)
        bounds[low:high] = [start] * (low % 2 == 0) + [end] * (high % 2 == 0)

    def update(self, ranges: Sequence[Range]) -> None:
        """Include all of ``ranges``, whatever their order."""
        if len(ranges) <= _FEW:
            for start, end in ranges:
                self.add(start, end)
        else:
            # One by one each would move all bounds behind it: quadratic for a sender that lists them backwards.
            self._bounds = _merged(sorted([*self, *ranges]))

    def missing(self, start: int, end: int) -> Sequence[Range]:
        """The parts of ``start`` to ``end`` that are not in the set."""
        bounds = self._bounds
        low = bisect_right(bounds, start)
        if low % 2:
            if bounds[low] >= end:
                return ()
            start = bounds[low]
            low += 1
        gaps = []
        while low < len(bounds) and bounds[low] < end:
            gaps.append((start, bounds[low]))
            start = bounds[low + 1]
            low += 2
        if start < end:
            gaps.append((start, end))
        return gaps


class DeleteSet:
    """What one update deletes, by client; sorted only when somebody asks, and then once."""

    __slots__ = ("_deletes", "_sorted")

    def __init__(self, deletes: Mapping[int, Sequence[Range]]) -> None:
        self._deletes = deletes
        self._sorted: dict[int, Ranges] = {}

    def __contains__(self, id_: tuple[int, int]) -> bool:
        client, clock = id_
        if client not in self._deletes:
            return False
        ranges = self._sorted.get(client)
        if ranges is None:
            ranges = self._sorted[client] = Ranges(self._deletes[client])
        return not ranges.missing(clock, clock + 1)


def _merged(ranges: Iterable[Range]) -> list[int]:
    """The bounds of sorted ranges; those that touch are merged."""
    bounds: list[int] = []
    for start, end in ranges:
        if bounds and start <= bounds[-1]:
            bounds[-1] = max(bounds[-1], end)
        else:
            bounds += (start, end)
    return bounds
