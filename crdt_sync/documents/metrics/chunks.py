"""Chunks: up to 120 samples of a time series in one byte string, some 2 to 3 bytes each.

::

    version 1 | decimals | count | first time | last - first | number of runs | runs | bytes of times | times | values

A run is how many samples in a row were written at one stamp, and that stamp: the first whole, later ones as the
difference from the one before. Times are differences of differences, values differences. Everything is LEB128; what
may be negative is zigzagged: first time, later stamps, times, values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from crdt_sync.documents.clock import STAMP_MAX
from crdt_sync.documents.metrics.packing import pack, unpack_one, unpack_signed, unzigzag, zigzag
from crdt_sync.errors import InvalidValue

VERSION = 1
CHUNK_SAMPLES_MAX = 120
CHUNK_SPAN_MS = 3_600_000
CHUNK_EDITS_MAX = 16
"""Samples of more edits go into the next chunk. One sample an edit would else write 60 samples again for the last of
an hour: what the log then takes is four times as much, and the document no less (benchmarks/series.py)."""
DECIMALS_MAX = 9
INT64_MAX = 2**63 - 1
CLEARED = b""
"""What is left of a chunk whose samples live on in rollups only."""

_HEADER_BYTES = 2


class Stored(NamedTuple):
    """One sample as it is stored: the value scaled by the chunk's decimals, and the stamp of its writing."""

    at_ms: int
    scaled: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What a chunk's head says, without its samples."""

    decimals: int
    count: int
    first_ms: int
    last_ms: int
    runs: Sequence[tuple[int, int]]
    """How many samples in a row, and their stamp."""
    body: int
    """Where the times begin."""

    @property
    def stamp(self) -> int:
        """The latest stamp in the chunk."""
        return max(stamp for _, stamp in self.runs)


def encode_chunk(samples: Sequence[Stored], decimals: int = 0) -> bytes:
    """Pack 1 to 120 samples, in the order of strictly rising times. Equal samples give equal bytes.

    Raises :class:`InvalidValue` for times or values beyond 64 bits, and for stamps that no clock gives."""
    _check(samples, decimals)
    times = [sample.at_ms for sample in samples]
    runs = [(stamp, len(list(run))) for stamp, run in groupby(sample.stamp for sample in samples)]
    out = bytearray((VERSION, decimals))
    pack(out, (len(samples), zigzag(times[0]), times[-1] - times[0], len(runs)))
    previous = 0
    for number, (stamp, length) in enumerate(runs):
        pack(out, (length, zigzag(stamp - previous) if number else stamp))
        previous = stamp
    column = bytearray()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    pack(column, (zigzag(gap - before) for before, gap in pairwise([0, *gaps])))
    pack(out, (len(column),))
    out += column
    pack(out, (zigzag(value - before) for before, value in pairwise([0, *(sample.scaled for sample in samples)])))
    return bytes(out)


def read_outline(data: bytes) -> Outline:
    """Read a chunk's head alone. Raises :class:`InvalidValue`."""
    if len(data) < _HEADER_BYTES or data[0] != VERSION or data[1] > DECIMALS_MAX:
        raise InvalidValue(f"{data[:2].hex() or 'nothing'} is not how a chunk of version {VERSION} begins")
    count, at = unpack_one(data, _HEADER_BYTES)
    first, at = unpack_one(data, at)
    span, at = unpack_one(data, at)
    length, at = unpack_one(data, at)
    first_ms = unzigzag(first)
    if not 1 <= count <= CHUNK_SAMPLES_MAX or not 1 <= length <= count or not _is_int64(first_ms, first_ms + span):
        raise InvalidValue(f"a chunk of {count} samples and {length} runs from {first_ms}, {span} ms long, is none")
    runs: list[tuple[int, int]] = []
    for _ in range(length):
        samples, at = unpack_one(data, at)
        packed, at = unpack_one(data, at)
        stamp = runs[-1][1] + unzigzag(packed) if runs else packed
        if samples < 1 or not 0 <= stamp <= STAMP_MAX or (runs and stamp == runs[-1][1]):
            raise InvalidValue(f"{samples} samples of the stamp {stamp} are no run")
        runs.append((samples, stamp))
    if sum(samples for samples, _ in runs) != count:
        raise InvalidValue(f"the runs of a chunk do not add up to its {count} samples")
    return Outline(data[1], count, first_ms, first_ms + span, runs, at)


@dataclass(frozen=True, slots=True)
class Columns:
    """A chunk's samples, column by column: a day of many series is read faster so than sample by sample."""

    outline: Outline
    times_ms: Sequence[int]
    scaled: Sequence[int]

    def samples(self) -> list[Stored]:
        stamps = (stamp for length, stamp in self.outline.runs for _ in range(length))
        return list(map(Stored, self.times_ms, self.scaled, stamps))


def decode_chunk(data: bytes) -> Columns:
    """Raises :class:`InvalidValue` for bytes that :func:`encode_chunk` never wrote."""
    outline = read_outline(data)
    size, at = unpack_one(data, outline.body)
    bends, steps = unpack_signed(data[at : at + size]), unpack_signed(data[at + size :])
    if len(bends) != outline.count - 1 or len(steps) != outline.count:
        raise InvalidValue(f"a chunk of {outline.count} samples has {len(bends) + 1} times and {len(steps)} values")
    gaps = list(accumulate(bends))
    times = list(accumulate(gaps, initial=outline.first_ms))
    values = list(accumulate(steps))
    if times[-1] != outline.last_ms or (gaps and min(gaps) < 1):
        raise InvalidValue("the times of a chunk do not rise from its first to its last")
    if not _is_int64(min(values), max(values)):
        raise InvalidValue("a value in a chunk is beyond 64 bits")
    return Columns(outline, times, values)


def _check(samples: Sequence[Stored], decimals: int) -> None:
    if not 1 <= len(samples) <= CHUNK_SAMPLES_MAX:
        raise InvalidValue(f"a chunk holds 1 to {CHUNK_SAMPLES_MAX} samples, got {len(samples)}")
    if not 0 <= decimals <= DECIMALS_MAX:
        raise InvalidValue(f"decimals must lie within 0 and {DECIMALS_MAX}, got {decimals}")
    if any(later.at_ms <= earlier.at_ms for earlier, later in pairwise(samples)):
        raise InvalidValue("the times of a chunk must rise from sample to sample")
    for at_ms, scaled, stamp in samples:
        if not _is_int64(at_ms, scaled) or not 0 <= stamp <= STAMP_MAX:
            raise InvalidValue(f"time {at_ms}, value {scaled}, stamp {stamp}: beyond what a chunk can hold")


def _is_int64(*numbers: int) -> bool:
    return all(-INT64_MAX - 1 <= number <= INT64_MAX for number in numbers)
