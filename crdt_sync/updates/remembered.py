"""One client's part of an admitted update, kept so that single elements of it can be read again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from crdt_sync.limits import Limits
from crdt_sync.updates.decode import Cursor, Struct, read_struct
from crdt_sync.updates.pieces import Span
from crdt_sync.values import Clock

_MARK_BYTES = 512


class Remembered:
    """Holds the bytes by reference. The first reading walks over all of them and leaves marks, so that a small
    update which repeats one element of a large one does not cost a walk each time that it is sent."""

    __slots__ = ("_marks", "_span", "raw")

    def __init__(self, raw: bytes, span: Span) -> None:
        self.raw = raw
        self._span = span
        self._marks: list[tuple[Clock, int]] = []

    @property
    def clock(self) -> Clock:
        return self._span.clock

    @property
    def end_clock(self) -> Clock:
        return self._span.end_clock

    def mark(self, clock: Clock, limits: Limits) -> int:
        """The number of the last mark at or before ``clock``."""
        if not self._marks:
            self._marks = list(self._lay_marks(limits))
        return bisect_right(self._marks, clock, key=lambda mark: mark[0]) - 1

    def structs(self, mark: int, limits: Limits) -> Iterator[Struct]:
        """The structs from ``mark`` on."""
        clock, position = self._marks[mark]
        return self._walk(clock, position, limits)

    def _lay_marks(self, limits: Limits) -> Iterator[tuple[Clock, int]]:
        due = self._span.start
        for struct in self._walk(self._span.clock, self._span.start, limits):
            if struct.start >= due:
                yield struct.clock, struct.start
                due = struct.start + _MARK_BYTES

    def _walk(self, clock: Clock, position: int, limits: Limits) -> Iterator[Struct]:
        cursor = Cursor(self.raw, limits, position)
        while cursor.pos < self._span.end:
            struct = read_struct(cursor, clock)
            clock += struct.length
            yield struct
