"""Where the samples of a series lie: every writer leaves a track of numbered chunks in the ``s`` root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from crdt_sync.documents.keys import KEY_BYTES_MAX, check_name, comp, join, parse_base36, to_base36, uncomp
from crdt_sync.documents.metrics.chunks import CLEARED, Columns, decode_chunk
from crdt_sync.documents.metrics.gauges import Series
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import SAMPLES, Fault
from crdt_sync.errors import InvalidValue

Tracks: TypeAlias = Mapping[str, Mapping[int, str]]
"""Of one series: by writer (as keys hold its name) the keys of its chunks by number, from 1."""

Chunks: TypeAlias = Mapping[int, Columns | None]
"""One writer's chunks by number; None where one was cleared after it had been rolled up."""

Part: TypeAlias = tuple[Mapping[str, Chunks], int, int]
"""Tracks of one document, and from when to before when their samples count."""

Scaled: TypeAlias = tuple[int, int, int, str]
"""A sample as it is stored: time, scaled value, decimals and the writer as keys hold its name."""

_PARTS = 4
_FAULT = f"is no key of the form {{metric}}/{{entity}}/{{writer}}/{{number}} within {KEY_BYTES_MAX} bytes"


class Sample(NamedTuple):
    """One sample of a series, as all writers together know it."""

    at_ms: int
    value: int | Decimal
    """A whole number, or a decimal where the series has decimals."""
    wid: str
    """Who wrote it."""


@dataclass(slots=True)
class TrackFold:
    """All series of a document, or one, read chunk by chunk."""

    chunks: dict[Series, dict[str, dict[int, Columns | None]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def series_prefix(series: Series) -> str:
    """``{metric}/{entity}``, as keys begin. Raises :class:`InvalidName`."""
    metric, entity = series
    return join(comp(check_name("metric", metric)), comp(check_name("entity", entity)))


def spelled(series: Series) -> str:
    """The same of names that were read from keys, however long a foreign writer made them."""
    return "/".join(map(comp, series))


def chunk_key(series: Series, writer: str, number: int) -> str:
    """Raises :class:`InvalidName`. ``writer`` as keys hold it."""
    return join(series_prefix(series), writer, to_base36(number))


def find_tracks(keys: Iterable[str]) -> tuple[dict[Series, dict[str, dict[int, str]]], list[Fault]]:
    """Sort the keys of the ``s`` root by series, writer and number."""
    found: dict[Series, dict[str, dict[int, str]]] = {}
    faults = []
    for key in keys:
        parts = key.split("/")
        number = parse_base36(parts[-1])
        texts = [uncomp(part) for part in parts[:-1]]
        metric, entity, writer = texts if len(parts) == _PARTS else (None, None, None)
        if metric is None or entity is None or writer is None or not number or len(key) > KEY_BYTES_MAX:
            faults.append(Fault(SAMPLES, key, _FAULT))
        else:
            found.setdefault((metric, entity), {}).setdefault(parts[2], {})[number] = key
    return found, faults


def tracks_of(view: RootsView, series: Series) -> dict[str, dict[int, str]]:
    """The tracks of one series. Raises :class:`InvalidName`."""
    prefix = series_prefix(series) + "/"
    found, _ = find_tracks(key for key in view.keys(SAMPLES) if key.startswith(prefix))
    return next(iter(found.values()), {})


def bytes_at(view: RootsView, root: str, key: str) -> bytes:
    """The byte string there. Raises :class:`InvalidValue` when it is something else."""
    value = view.get(root, key)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise InvalidValue("is no byte string")


def read_tracks(view: RootsView, found: Mapping[Series, Tracks]) -> TrackFold:
    """Decode these tracks. What can't be read is left out and reported."""
    fold = TrackFold()
    for series, tracks in found.items():
        own = fold.chunks.setdefault(series, {})
        for writer, keys in tracks.items():
            chunks = own.setdefault(writer, {})
            for number in sorted(keys):
                try:
                    data = bytes_at(view, SAMPLES, keys[number])
                    chunks[number] = None if data == CLEARED else decode_chunk(data)
                except InvalidValue as error:
                    fold.faults.append(Fault(SAMPLES, keys[number], str(error)))
    return fold


def read_series(view: RootsView, series: Series) -> dict[str, dict[int, Columns | None]]:
    """The readable chunks of one series by writer. Raises :class:`InvalidName`."""
    tracks = tracks_of(view, series)
    return read_tracks(view, {series: tracks}).chunks[series]


def union(tracks: Mapping[str, Chunks], from_ms: int, to_ms: int) -> Iterator[Sample]:
    """All samples from ``from_ms`` to before ``to_ms``, in time; see :func:`union_parts`."""
    return samples_of([(tracks, from_ms, to_ms)])


def samples_of(parts: Iterable[Part]) -> Iterator[Sample]:
    """All samples of some parts, in time; see :func:`union_parts`."""
    for at_ms, scaled, decimals, writer in union_parts(parts):
        yield Sample(at_ms, unscale(scaled, decimals), uncomp(writer) or writer)


def union_scaled(tracks: Mapping[str, Chunks], from_ms: int, to_ms: int) -> Iterator[Scaled]:
    """The samples of one document from ``from_ms`` to before ``to_ms``; see :func:`union_parts`."""
    return union_parts([(tracks, from_ms, to_ms)])


def union_parts(parts: Iterable[Part]) -> Iterator[Scaled]:
    """Time, scaled value, decimals and writer of each sample; of several at one time the one that was written last.

    Of equal stamps the greater writer's name counts, in its encoded spelling, which sorts alike in every language."""
    best: dict[int, tuple[int, str, int, int, int]] = {}
    for tracks, from_ms, to_ms in parts:
        for writer, chunks in tracks.items():
            for number, chunk in chunks.items():
                if chunk is None or chunk.outline.last_ms < from_ms or chunk.outline.first_ms >= to_ms:
                    continue
                for at_ms, scaled, stamp in chunk.samples():
                    if from_ms <= at_ms < to_ms:
                        candidate = stamp, writer, number, scaled, chunk.outline.decimals
                        best[at_ms] = max(candidate, best.get(at_ms, candidate))
    for at_ms in sorted(best):
        _, writer, _, scaled, decimals = best[at_ms]
        yield at_ms, scaled, decimals, writer


def first_sample(tracks: Mapping[str, Chunks], from_ms: int, to_ms: int) -> tuple[int, int, int] | None:
    """Time, scaled value and decimals of the first sample from ``from_ms`` to before ``to_ms``."""
    found = next(union_scaled(tracks, from_ms, to_ms), None)
    return None if found is None else found[:3]


def unscale(scaled: int, decimals: int) -> int | Decimal:
    """The value that a scaled whole number stands for, exactly."""
    if not decimals:
        return scaled
    sign, digits = int(scaled < 0), tuple(map(int, str(abs(scaled))))
    return Decimal((sign, digits, -decimals))
