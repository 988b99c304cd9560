"""Cuts an update into parts that can be applied, or sent, one after the other.

yrs squashes neighbours of one transaction in quadratic time and memory: 6,000 array elements in one update cost it
a second and 860 MB. Part by part it costs milliseconds. Every part is causally ready once those before it are in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crdt_sync.updates.decode import DecodedUpdate, Deletes
from crdt_sync.updates.encode import write_update
from crdt_sync.updates.order import Run
from crdt_sync.updates.pieces import EMPTY_UPDATE, Span, span
from crdt_sync.values import ClientId


def cut(
    update: DecodedUpdate, runs: Sequence[Run], deletes: Deletes, *, structs_max: int, bytes_max: int
) -> Iterator[bytes]:
    """Yield updates of at most ``structs_max`` structs and about ``bytes_max`` bytes: the ``runs`` of ``update`` in
    their order, then ``deletes``. A single struct is never cut, so a large one makes a large part."""
    part = _Part(update)
    for run in runs:
        structs = update.sections[run.section].structs
        for index in range(run.first, run.end):
            size = structs[index].end - structs[index].start
            if part.count and (part.count >= structs_max or part.size + size > bytes_max):
                yield part.write({})
                part = _Part(update)
            part.add(run.section, index, size)
    last = part.write(deletes)
    if last != EMPTY_UPDATE:
        yield last


class _Part:
    def __init__(self, update: DecodedUpdate) -> None:
        self._update = update
        # Within one part the structs of a section are consecutive: runs pass each section from front to back.
        self._bounds: dict[int, tuple[int, int]] = {}
        self.count = 0
        self.size = 0

    def add(self, section: int, index: int, size: int) -> None:
        first, _ = self._bounds.get(section, (index, index))
        self._bounds[section] = first, index + 1
        self.count += 1
        self.size += size

    def write(self, deletes: Deletes) -> bytes:
        raw = self._update.raw
        spans = [self._span(section, *bounds) for section, bounds in self._bounds.items()]
        return write_update([(s, raw[s.start : s.end]) for s in spans], deletes)

    def _span(self, section: int, first: int, end: int) -> Span:
        client: ClientId = self._update.sections[section].client
        return span(client, self._update.sections[section].structs[first:end])
