"""What a closing has covered: enough to tell exactly, ever after, what of a closed document came later.

A **coverage** says for every slot how far it had come when the period was closed. Slots of one writer only grow, so a
single bound does: of a gauge its stamp, of a counter its count, of a histogram how many values it holds, of a distinct
count the sum of its registers, and of a track its last chunk's number and its latest stamp. A sample is covered when
neither its chunk's number nor its stamp is beyond the bound; both are needed, because one edit may fill two chunks
under one stamp and arrive in two parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from crdt_sync.documents.metrics.chunks import CLEARED, Columns, decode_chunk, encode_chunk, read_outline
from crdt_sync.documents.metrics.counters import read_counters
from crdt_sync.documents.metrics.gauges import Series, read_gauges
from crdt_sync.documents.metrics.rollups import parse_row_key, read_rows
from crdt_sync.documents.metrics.sketch_slots import histogram_slots, register_slots
from crdt_sync.documents.metrics.tracks import Chunks, bytes_at, find_tracks, spelled
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import COUNTERS, GAUGES, HISTOGRAMS, REGISTERS, ROLLUPS, SAMPLES, whole
from crdt_sync.errors import InvalidValue

COVERS: Final = "covers"
"""The root of a closed document: ``{closing}/{root}/{metric}/{entity}`` -> ``{slot: bound}``."""


class Reach(NamedTuple):
    """How far a writer's track had come: its last chunk's number, and the latest stamp of its samples."""

    number: int
    stamp: int


_NOTHING: Final = Reach(0, 0)
_SERIES_PARTS: Final = 2


@dataclass(slots=True)
class Coverage:
    """By slot how far each had come. Slots by their keys, tracks by series and writer."""

    slots: dict[str, dict[str, int]] = field(default_factory=dict)
    """By root (``g``, ``c``, ``h``, ``d``) and key."""
    tracks: dict[Series, dict[str, Reach]] = field(default_factory=dict)

    def bound(self, root: str, key: str) -> int:
        """How far a slot had come; -1 for one that was not there."""
        return self.slots.get(root, {}).get(key, -1)

    def reach(self, series: Series, writer: str) -> Reach:
        return self.tracks.get(series, {}).get(writer, _NOTHING)


def take_coverage(view: RootsView) -> Coverage:
    """How far every slot of a document has come by now."""
    coverage = Coverage({root: dict(read(view)) for root, read in _READERS.items()})
    found, _ = find_tracks(view.keys(SAMPLES))
    for series, tracks in found.items():
        coverage.tracks[series] = {writer: _reach(view, keys) for writer, keys in tracks.items()}
    for series, of_series in read_rows(view.entries(ROLLUPS)).rows.items():
        for writer, rows in of_series.items():
            if writer not in found.get(series, {}):
                # As in a fold: rows of a writer that left no chunks here.
                upto = max(row.upto for of_width in rows.values() for row in of_width.values())
                coverage.tracks.setdefault(series, {})[writer] = Reach(upto, 0)
    return coverage


def coverage_entries(coverage: Coverage, closing: str) -> dict[str, Value]:
    """The entries of the ``covers`` root, one for each root and series."""
    entries: dict[str, dict[str, Value]] = {}
    for root, slots in coverage.slots.items():
        for key, bound in slots.items():
            metric, entity, slot = key.split("/", _SERIES_PARTS)
            entries.setdefault(f"{closing}/{root}/{metric}/{entity}", {})[slot] = bound
    for series, tracks in coverage.tracks.items():
        entries[f"{closing}/{SAMPLES}/{spelled(series)}"] = {writer: [*reach] for writer, reach in tracks.items()}
    return {key: dict(entry) for key, entry in entries.items()}


def read_coverage(view: RootsView, closing: str) -> tuple[Coverage, int]:
    """What a closing has covered, and of how many entries that is made."""
    coverage, count = Coverage(), 0
    for key, entry in view.entries(COVERS).items():
        owner, _, rest = key.partition("/")
        root, _, prefix = rest.partition("/")
        if owner != closing or not isinstance(entry, dict):
            continue
        count += 1
        if root == SAMPLES:
            [series] = {*find_tracks([f"{prefix}/w/1"])[0]} or {("", "")}
            coverage.tracks[series] = {writer: _read_reach(value) for writer, value in entry.items()}
        else:
            slots = coverage.slots.setdefault(root, {})
            slots.update((f"{prefix}/{slot}", whole(bound) or 0) for slot, bound in entry.items())
    return coverage, count


def beyond(view: RootsView, coverage: Coverage) -> dict[str, int]:
    """What of a document came after the closing: ``{root}/{key}`` and the bound beyond which it was not counted."""
    late = {
        f"{root}/{key}": max(0, coverage.bound(root, key))
        for root, read in _READERS.items()
        for key, bound in read(view).items()
        if bound > coverage.bound(root, key)
    }
    for series, tracks in find_tracks(view.keys(SAMPLES))[0].items():
        for writer, keys in tracks.items():
            reach = coverage.reach(series, writer)
            for number, key in keys.items():
                stamp = _stamp(view, key)
                if number > reach.number or (stamp or 0) > reach.stamp or (stamp is None and number == reach.number):
                    late[f"{SAMPLES}/{key}"] = sample_bound(reach, number)
    for key, row in view.entries(ROLLUPS).items():
        parsed, upto = parse_row_key(key), whole((_list(row) or [None])[0])
        if parsed is not None and upto is not None:
            series, _, _, writer = parsed
            reach = coverage.reach(series, writer)
            if upto > reach.number:
                late[f"{ROLLUPS}/{key}"] = reach.number
    return late


def lowered(view: RootsView, coverage: Coverage) -> list[tuple[str, str]]:
    """Slots, as (root, key), that say less than they did at the closing: somebody has taken back what was counted."""
    return [
        (root, key)
        for root, read in _READERS.items()
        for key, bound in read(view).items()
        if bound < coverage.bound(root, key)
    ]


def covered(chunks: Chunks, reach: Reach) -> dict[int, Columns | None]:
    """One writer's chunks with what a closing has covered, and nothing later."""
    kept: dict[int, Columns | None] = {}
    for number, chunk in chunks.items():
        if number > reach.number:
            continue
        if chunk is None or chunk.outline.stamp <= reach.stamp:
            kept[number] = chunk
        elif samples := [sample for sample in chunk.samples() if sample.stamp <= reach.stamp]:
            kept[number] = decode_chunk(encode_chunk(samples, chunk.outline.decimals))
    return kept


def sample_bound(reach: Reach, number: int) -> int:
    """The stamp beyond which samples of a chunk were not counted; 0 where none of them was."""
    return reach.stamp if number <= reach.number else 0


def _gauges(view: RootsView) -> Mapping[str, int]:
    return read_gauges(view.entries(GAUGES)).stamps


def _counters(view: RootsView) -> Mapping[str, int]:
    return read_counters(view.entries(COUNTERS)).slots


def _histograms(view: RootsView) -> Mapping[str, int]:
    return {key: histogram.count for key, histogram in histogram_slots(view)[0].items()}


def _registers(view: RootsView) -> Mapping[str, int]:
    return {key: sum(registers.ranks) for key, registers in register_slots(view)[0].items()}


_Reader: TypeAlias = Callable[[RootsView], Mapping[str, int]]
_READERS: Final[Mapping[str, _Reader]] = {
    GAUGES: _gauges, COUNTERS: _counters, HISTOGRAMS: _histograms, REGISTERS: _registers,
}  # fmt: skip


def _reach(view: RootsView, keys: Mapping[int, str]) -> Reach:
    stamps: Iterable[int | None] = (_stamp(view, key) for key in keys.values())
    return Reach(max(keys), max((stamp for stamp in stamps if stamp is not None), default=0))


def _stamp(view: RootsView, key: str) -> int | None:
    """The latest stamp of a chunk; None of one that was cleared, 0 of one that can't be read."""
    try:
        data = bytes_at(view, SAMPLES, key)
        return None if data == CLEARED else read_outline(data).stamp
    except InvalidValue:
        return 0


def _read_reach(value: Value) -> Reach:
    places = [whole(place) or 0 for place in (_list(value) or [])]
    return Reach(*places) if len(places) == len(_NOTHING) else _NOTHING


def _list(value: Value) -> list[Value] | None:
    return value if isinstance(value, list) and value else None
