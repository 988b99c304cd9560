"""Sketches: distributions and distinct counts that merge exactly, in whole numbers only.

A **histogram** counts values in buckets whose bounds grow by a fixed ratio (DDSketch), so that a quantile is off by at
most 1 %. Slots are added bucket by bucket. **Registers** (HyperLogLog with 4,096) remember of every text only how rare
its hash is; slots are joined by the greater register, and the estimate is off by 1.6 % (one standard deviation). Both
are a function of what was recorded alone: no order of merging shows in them, and equal contents have equal bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf, log, sqrt

from crdt_sync.documents.keys import nfc
from crdt_sync.documents.metrics.packing import pack, unpack, unpack_one, unzigzag, zigzag
from crdt_sync.documents.schema import INT_MAX
from crdt_sync.errors import InvalidValue

VERSION = 1
ALPHA_ONE_PERCENT = 1
"""The one relative error that is in use, as it is numbered in the bytes."""
_GAMMA = 1.01 / 0.99
_LOG_GAMMA = log(_GAMMA)
BUCKET_MAX = 2_048
"""Buckets run from -2,048 to 2,048: values from about 1.6e-18 to 6.1e17."""
_SMALLEST, _GREATEST = _GAMMA**-BUCKET_MAX, _GAMMA**BUCKET_MAX

PRECISION = 12
REGISTERS = 1 << PRECISION
_RANK_MAX = 64 - PRECISION + 1
_SPARSE, _DENSE = 0, 1
_HEADER_BYTES = 3
_MASK = 2**64 - 1


@dataclass(slots=True)
class Histogram:
    """How often each bucket was hit. Bucket ``i`` holds values within ``(gamma**(i-1), gamma**i]``."""

    zeros: int = 0
    """Values of 0, and those too small for any bucket."""
    buckets: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return self.zeros + self.buckets.total()

    def record(self, value: float, times: int = 1) -> None:
        """Count one finite number from 0. Raises :class:`InvalidValue`."""
        bucket = bucket_of(value)
        if type(times) is not int or times < 1 or self.count + times > INT_MAX:
            raise InvalidValue(f"{times!r} can't be how often a value was seen: 1 or more, and below 2**53 in all")
        if bucket is None:
            self.zeros += times
        else:
            self.buckets[bucket] += times

    def add(self, other: Histogram) -> None:
        """Take in what another slot has counted."""
        self.zeros += other.zeros
        self.buckets.update(other.buckets)

    def quantile(self, share: float) -> float | None:
        """The value below which ``share`` (0 to 1) of all values lie, within 1 %; None when nothing was recorded.

        Raises :class:`InvalidValue` for a share outside 0 and 1."""
        if not 0 <= share <= 1:
            raise InvalidValue(f"{share!r} is no share: 0 to 1")
        rank = int(share * (self.count - 1)) - self.zeros
        if not self.count or rank < 0:
            return 0.0 if self.count else None
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank < 0:
                return 2 * _GAMMA**bucket / (_GAMMA + 1)
        return _GREATEST

    def encode(self) -> bytes:
        """Version, error, lowest bucket (zigzag), then the counts: of zero, then of every bucket from the lowest."""
        used = [bucket for bucket, count in self.buckets.items() if count]
        low, high = (min(used), max(used)) if used else (0, -1)
        out = bytearray((VERSION, ALPHA_ONE_PERCENT))
        pack(out, (zigzag(low), self.zeros))
        pack(out, (self.buckets[bucket] for bucket in range(low, high + 1)))
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Histogram:
        """Raises :class:`InvalidValue` for bytes that :meth:`encode` never wrote."""
        if data[:2] != bytes((VERSION, ALPHA_ONE_PERCENT)):
            raise InvalidValue(f"{data[:2].hex() or 'nothing'} is not how a histogram of version {VERSION} begins")
        packed, at = unpack_one(data, 2)
        zeros, at = unpack_one(data, at)
        low, counts = unzigzag(packed), unpack(data[at:])
        if low < -BUCKET_MAX or low + len(counts) - 1 > BUCKET_MAX or zeros + sum(counts) > INT_MAX:
            raise InvalidValue(f"{len(counts)} buckets from {low} are more than a histogram can hold")
        if (counts and not (counts[0] and counts[-1])) or (not counts and low):
            raise InvalidValue("a histogram begins and ends with a bucket that was hit")
        found = {bucket: count for bucket, count in enumerate(counts, low) if count}
        return cls(zeros, Counter(found))


def bucket_of(value: object) -> int | None:
    """The bucket of a value; None for 0. Raises :class:`InvalidValue` unless it is a finite number from 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f"{value!r} can't be recorded: a finite number from 0 can")
    if not 0 <= value <= _GREATEST:
        raise InvalidValue(f"{value!r} can't be recorded: a number from 0 to {_GREATEST:.1e} can")
    if value <= _SMALLEST:
        return None
    return max(-BUCKET_MAX, min(BUCKET_MAX, ceil(log(value) / _LOG_GAMMA)))


@dataclass(slots=True)
class Registers:
    """For every 4,096th of all hashes the rarest pattern that was seen in it, as a length of leading zeros plus 1."""

    ranks: bytearray = field(default_factory=lambda: bytearray(REGISTERS))

    def record(self, text: str) -> bool:
        """Note that ``text`` (in NFC, as UTF-8) was seen; whether that changed anything.

        Raises :class:`InvalidValue` for what is no text that can be encoded."""
        if not isinstance(text, str):
            raise InvalidValue(f"{text!r} can't be counted: a text can")
        try:
            hashed = hash64(nfc(text).encode())
        except UnicodeEncodeError as error:
            raise InvalidValue("text with a lone surrogate can't be counted") from error
        register, rest = hashed >> 64 - PRECISION, hashed & (1 << 64 - PRECISION) - 1
        rank = _RANK_MAX - rest.bit_length()
        if rank <= self.ranks[register]:
            return False
        self.ranks[register] = rank
        return True

    def join(self, other: Registers) -> None:
        """Take in what another slot has seen."""
        self.ranks = bytearray(map(max, self.ranks, other.ranks))

    def estimate(self) -> int:
        """About how many different texts were seen. The same for the same registers, whatever their history."""
        counts = Counter(self.ranks)
        # Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches", algorithm 6.
        total = REGISTERS * _tau(1 - counts[_RANK_MAX] / REGISTERS)
        for rank in range(_RANK_MAX - 1, 0, -1):
            total = 0.5 * (total + counts[rank])
        total += REGISTERS * _sigma(counts[0] / REGISTERS)
        return round(REGISTERS * REGISTERS / (2 * log(2)) / total)

    def encode(self) -> bytes:
        """Version, precision and form, then all registers, or those that are not 0 where that is shorter."""
        sparse, previous = bytearray((VERSION, PRECISION, _SPARSE)), -1
        for register, rank in enumerate(self.ranks):
            if rank:
                pack(sparse, (register - previous - 1, rank))
                previous = register
        if len(sparse) <= REGISTERS + _HEADER_BYTES:
            return bytes(sparse)
        return bytes((VERSION, PRECISION, _DENSE)) + self.ranks

    @classmethod
    def decode(cls, data: bytes) -> Registers:
        """Raises :class:`InvalidValue` for bytes that :meth:`encode` never wrote."""
        if data[:2] != bytes((VERSION, PRECISION)) or len(data) < _HEADER_BYTES:
            raise InvalidValue(f"{data[:3].hex() or 'nothing'} is not how registers of version {VERSION} begin")
        if data[2] == _DENSE and len(data) == REGISTERS + _HEADER_BYTES:
            registers = cls(bytearray(data[_HEADER_BYTES:]))
        else:
            registers = cls(_fill(unpack(data[_HEADER_BYTES:])))
        if max(registers.ranks) > _RANK_MAX or registers.encode() != data:
            raise InvalidValue("registers hold a rank that no hash has, or are not in their shortest form")
        return registers


def hash64(data: bytes) -> int:
    """FNV-1a with the last mixing of MurmurHash3: short in every language, and even in its upper bits."""
    hashed = 0xCBF29CE484222325
    for byte in data:
        hashed = (hashed ^ byte) * 0x100000001B3 & _MASK
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hashed = (hashed ^ hashed >> 33) * factor & _MASK
    return hashed ^ hashed >> 33


def sum_histograms(slots: Iterable[Histogram]) -> Histogram:
    total = Histogram()
    for slot in slots:
        total.add(slot)
    return total


def join_registers(slots: Iterable[Registers]) -> Registers:
    joined = Registers()
    for slot in slots:
        joined.join(slot)
    return joined


def _fill(numbers: list[int]) -> bytearray:
    ranks, at = bytearray(REGISTERS), -1
    if len(numbers) % 2:
        raise InvalidValue("registers in the short form are pairs")
    for skipped, rank in zip(numbers[::2], numbers[1::2], strict=True):
        at += skipped + 1
        if at >= REGISTERS or not 1 <= rank <= _RANK_MAX:
            raise InvalidValue(f"register {at} of rank {rank}: there are {REGISTERS} of rank 1 to {_RANK_MAX}")
        ranks[at] = rank
    return ranks


def _sigma(share: float) -> float:
    if share == 1:
        return inf
    total, weight, power = share, 1.0, share
    while True:
        power *= power
        before = total
        total += power * weight
        weight += weight
        if total == before:
            return total


def _tau(share: float) -> float:
    if share in (0, 1):
        return 0.0
    total, weight, power = 1 - share, 1.0, share
    while True:
        power = sqrt(power)
        before = total
        weight *= 0.5
        total -= (1 - power) ** 2 * weight
        if total == before:
            return total / 3
