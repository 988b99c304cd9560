"""Finds two contents under one (client, clock): the trace of a client id that two writers share, or that one forged.

Replicas that took different ones differ for good while their state vectors agree, so this must be loud.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any, Final

from crdt_sync.errors import ClientIdReused
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.updates.content import GONE, elements
from crdt_sync.updates.decode import COLLECTED, DELETED, SKIP, DecodedUpdate, Section, Struct
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.remembered import Remembered
from crdt_sync.values import Clock

_WITHOUT_CONTENT: Final = (COLLECTED, DELETED, SKIP)
_STORED: Final = DEFAULT_LIMITS.for_stored()
_REPLACEMENT: Final = 0xFFFD
_SURROGATES: Final = range(0xD800, 0xE000)


def check_reuse(update: DecodedUpdate, ledger: Ledger) -> None:
    """Raise :class:`ClientIdReused` when ``update`` gives a remembered element another content.

    Compares contents, not bytes: the same value is encoded in many ways, runs are cut and merged, and deleted
    content is gone on one side or the other.
    """
    for section in update.sections:
        known_to = ledger.clocks.get(section.client, 0)
        if section.structs[0].clock < known_to:
            remembered = ledger.remembered(section.client)
            if remembered:
                _check_section(update.raw, section, known_to, Recall(remembered, _STORED))


def _check_section(raw: bytes, section: Section, known_to: Clock, recall: Recall) -> None:
    for struct in section.structs:
        if struct.clock >= known_to:
            return
        if struct.kind in _WITHOUT_CONTENT or recall.holds(raw, struct):
            continue
        for clock, content in enumerate(elements(raw, struct), struct.clock):
            if clock >= known_to:
                return
            kept = recall.at(clock)
            if kept is not GONE and not is_same(content, kept):
                raise ClientIdReused(section.client, clock)


class Recall:
    """Reads what is remembered of one client, element by element. Clocks may only rise: that makes it linear."""

    def __init__(self, remembered: Sequence[Remembered], limits: Limits) -> None:
        self._remembered = remembered
        self._limits = limits
        self._entry: Remembered | None = None
        self._mark = -1
        self._structs: Iterator[Struct] = iter(())
        self._struct: Struct | None = None
        self._elements: Iterator[Any] = iter(())
        self._next = 0
        self._content: Any = GONE

    def holds(self, raw: bytes, struct: Struct) -> bool:
        """Whether the very same bytes are remembered for ``struct``: the quick answer to an update sent twice."""
        kept = self._find(struct.clock)
        return (
            kept is not None
            and self._entry is not None
            and (kept.clock, kept.length, kept.kind) == (struct.clock, struct.length, struct.kind)
            and self._entry.raw[kept.content : kept.end] == raw[struct.content : struct.end]
        )

    def at(self, clock: Clock) -> Any:
        """The remembered content of ``clock``, or GONE."""
        if self._find(clock) is None:
            return GONE
        while self._next <= clock:
            self._content = next(self._elements)
            self._next += 1
        return self._content

    def _find(self, clock: Clock) -> Struct | None:
        if self._struct is None or clock >= self._struct.clock + self._struct.length:
            self._struct = self._seek(clock)
            if self._struct is not None and self._entry is not None:
                self._elements = elements(self._entry.raw, self._struct)
                self._next = self._struct.clock
        return self._struct

    def _seek(self, clock: Clock) -> Struct | None:
        entry = self._entry
        if entry is None or clock >= entry.end_clock:
            index = bisect_right(self._remembered, clock, key=lambda kept: kept.end_clock)
            if index == len(self._remembered) or self._remembered[index].clock > clock:
                return None
            entry = self._entry = self._remembered[index]
            self._mark = -1
        mark = entry.mark(clock, self._limits)
        if mark != self._mark:
            self._mark, self._structs = mark, entry.structs(mark, self._limits)
        return next(struct for struct in self._structs if struct.clock + struct.length > clock)


def is_same(left: Any, right: Any) -> bool:
    """Whether two elements, as :func:`~crdt_sync.updates.content.elements` gives them, hold the same."""
    if isinstance(left, float) and isinstance(right, float):
        # NaN is the same content as NaN.
        return left == right or (isnan(left) and isnan(right))
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(is_same(left[key], right[key]) for key in left)
    return left == right or (isinstance(left, int) and _halves(left, right))


def _halves(left: int, right: int) -> bool:
    # Yjs puts U+FFFD in the place of both halves of a character that an edit cut in two.
    return (left == _REPLACEMENT and right in _SURROGATES) or (right == _REPLACEMENT and left in _SURROGATES)
