"""Rollups: what a writer's chunks 1 to ``upto`` come to in each stretch of time, so that the chunks can be let go.

A row is a function of the bucket, the writer and ``upto`` alone. Two peers may therefore roll up at once: of their rows
the one with the greatest ``upto`` counts, and a reader adds the samples of later chunks. Only chunks that have a
successor are rolled up, because the last one may still grow.

Rows of several writers add up: each has sampled events of its own. What several writers sample redundantly is not for
rows; :meth:`TimeSeries.samples` and the fold of a closed period take each time once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeAlias

from crdt_sync.documents.keys import KEY_BYTES_MAX, join, parse_base36, to_base36, uncomp
from crdt_sync.documents.metrics.chunks import DECIMALS_MAX
from crdt_sync.documents.metrics.gauges import Series
from crdt_sync.documents.metrics.tracks import Chunks, series_prefix, unscale
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import INT_MAX, ROLLUPS, Fault, whole
from crdt_sync.errors import InvalidValue

_KEY_PARTS, _PLACES, _FIRST_PLACES = 5, 7, 2
_PLACES_MAX = _PLACES + 1 + _FIRST_PLACES
_DIGITS_MAX = 40
_NO_KEY = "is no key of the form {metric}/{entity}/{bucket}/{writer}/{roller}"


@dataclass(frozen=True, slots=True)
class Total:
    """Count, sum, extremes and last of some samples; numbers are scaled by ``decimals``."""

    count: int
    sum: int
    low: int
    high: int
    last_ms: int
    last: int
    decimals: int = 0

    def at(self, decimals: int) -> Total:
        """The same with more decimals."""
        more = 10 ** (decimals - self.decimals)
        if more == 1:
            return self
        return Total(
            self.count, self.sum * more, self.low * more, self.high * more, self.last_ms, self.last * more, decimals
        )


@dataclass(frozen=True, slots=True)
class Row:
    """What the ``r`` root says about one bucket of one writer."""

    upto: int
    total: Total
    first: tuple[int, int] | None = None
    """Time and scaled value of the first sample, where it is known: in a fold, of the first bucket of a series."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time of a series, as a reader sees it. Values are decimals where the series has any."""

    start_ms: int
    width_s: int
    count: int
    sum: int | Decimal
    low: int | Decimal
    high: int | Decimal
    last: int | Decimal
    last_ms: int


Rows: TypeAlias = Mapping[int, Mapping[int, Row]]
"""One writer's rows by width in seconds and number of the bucket, counted from 1970."""


@dataclass(slots=True)
class RowFold:
    """The ``r`` root, read."""

    rows: dict[Series, dict[str, dict[int, dict[int, Row]]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def join_totals(one: Total | None, other: Total) -> Total:
    """Both together. Of two samples at the last time the greater value counts, so that order does not matter."""
    if one is None:
        return other
    decimals = max(one.decimals, other.decimals)
    a, b = one.at(decimals), other.at(decimals)
    last_ms, last = max((a.last_ms, a.last), (b.last_ms, b.last))
    return Total(
        a.count + b.count, a.sum + b.sum, min(a.low, b.low), max(a.high, b.high), last_ms, last, decimals
    )  # fmt: skip


def check_width(width_s: object) -> int:
    """Return the width of a bucket in seconds, or raise :class:`InvalidValue`."""
    if type(width_s) is not int or not 1 <= width_s <= INT_MAX // 1000:
        raise InvalidValue(f"{width_s!r} can't be the width of a bucket: whole seconds from 1 can")
    return width_s


def row_key(series: Series, width_s: int, number: int, writer: str, roller: str) -> str:
    """``{metric}/{entity}/{width}.{number}/{writer}/{roller}``, the names of both writers as keys hold them."""
    return join(series_prefix(series), bucket_part(width_s, number), writer, roller)


def bucket_part(width_s: int, number: int) -> str:
    sign = "-" if number < 0 else ""
    return f"{to_base36(width_s)}.{sign}{to_base36(abs(number))}"


def row_value(row: Row) -> list[Value]:
    """``[upto, count, sum, low, high, last time, last]``, the decimals where there are any, and with or without any
    the decimals, the first time and the first value where those are known."""
    total = row.total
    places = row.upto, total.count, total.sum, total.low, total.high, total.last_ms, total.last
    decimals = [total.decimals] if total.decimals or row.first else []
    return [number if abs(number) <= INT_MAX else str(number) for number in (*places, *decimals, *(row.first or ()))]


def read_rows(entries: Mapping[str, Value]) -> RowFold:
    """The ``r`` root in one pass: for each bucket and writer the row with the greatest ``upto``."""
    fold = RowFold()
    for key, value in entries.items():
        parsed, row = parse_row_key(key), _read_row(value)
        if parsed is None:
            fold.faults.append(Fault(ROLLUPS, key, _NO_KEY))
        elif row is None:
            fold.faults.append(Fault(ROLLUPS, key, "is no list of 7 whole numbers that fit together"))
        else:
            series, width_s, number, writer = parsed
            rows = fold.rows.setdefault(series, {}).setdefault(writer, {}).setdefault(width_s, {})
            before = rows.get(number)
            if before is not None and before.upto == row.upto and before != row:
                fold.faults.append(Fault(ROLLUPS, key, "differs from another row over the same chunks"))
            rows[number] = row if before is None else max(before, row, key=_row_order)
    return fold


def sound_rows(rows: Rows, present: Iterable[int]) -> Rows:
    """Without rows that claim chunks which their writer never wrote; all of them where it has no chunks here at all,
    as in the fold of another period."""
    last = max(present, default=INT_MAX)
    kept = {
        width_s: {number: row for number, row in of_width.items() if row.upto <= last}
        for width_s, of_width in rows.items()
    }
    return {width_s: of_width for width_s, of_width in kept.items() if of_width}


def rolled_upto(rows: Mapping[int, Row]) -> int:
    """Through which chunk the rows of one width are complete: whoever writes one row writes all that differ."""
    return max((row.upto for row in rows.values()), default=0)


def rolled_everywhere(rows: Rows) -> int:
    """Through which chunk every width is complete: so far the chunks themselves can be let go."""
    return min((rolled_upto(of_width) for of_width in rows.values()), default=0)


def totals_of(chunks: Chunks, rows: Rows, width_s: int, *, upto: int | None = None) -> dict[int, Total]:
    """One writer's totals by bucket: its rows, and the samples of chunks that they do not cover, through ``upto``.

    Raises :class:`InvalidValue` when chunks were let go after they had been rolled up into other stretches only."""
    base_s = _base_width(rows, width_s)
    base = rows.get(base_s, {})
    covered = rolled_upto(base)
    others = max((rolled_upto(of_width) for of_width in rows.values()), default=0)
    if any(chunk is None and covered < number <= others for number, chunk in chunks.items()):
        raise InvalidValue(f"samples were let go after they had been rolled up; not into buckets of {width_s} s")
    totals: dict[int, Total] = {}
    for number, row in base.items():
        bucket = number * base_s // width_s
        totals[bucket] = join_totals(totals.get(bucket), row.total)
    for number, chunk in chunks.items():
        if chunk is None or (upto is not None and number > upto):
            continue
        decimals = chunk.outline.decimals
        for at_ms, scaled in zip(chunk.times_ms, chunk.scaled, strict=True):
            found = base.get(at_ms // (base_s * 1000))
            if found is None or number > found.upto:
                bucket = at_ms // (width_s * 1000)
                one = Total(1, scaled, scaled, scaled, at_ms, scaled, decimals)
                totals[bucket] = join_totals(totals.get(bucket), one)
    return totals


def new_rows(chunks: Chunks, present: Iterable[int], rows: Rows, width_s: int) -> dict[int, Row]:
    """The rows that a roller of ``width_s`` has to write for one writer; empty when all is rolled up already.

    ``present`` are the numbers of all its chunks, readable or not. Raises :class:`InvalidValue` as :func:`totals_of`
    does."""
    numbers = set(present)
    upto = max((rolled_upto(of_width) for of_width in rows.values()), default=0)
    while chunks.get(upto + 1) is not None and upto + 2 in numbers:
        upto += 1
    if not upto:
        return {}
    held = rows.get(width_s, {})
    totals = totals_of(chunks, rows, width_s, upto=upto)
    fresh = {number: Row(upto, total) for number, total in totals.items() if _is_news(held.get(number), total)}
    if not fresh and rolled_upto(held) < upto and totals:
        # Nothing differs but how far it reaches; one row has to say so.
        number = max(totals)
        return {number: replace(held[number], upto=upto)}
    return fresh


def buckets(totals: Mapping[int, Total], width_s: int, from_ms: int, to_ms: int) -> list[Bucket]:
    """Those that begin from ``from_ms`` to before ``to_ms``, in time."""
    return [
        Bucket(
            number * width_s * 1000, width_s, total.count, unscale(total.sum, total.decimals),
            unscale(total.low, total.decimals), unscale(total.high, total.decimals),
            unscale(total.last, total.decimals), total.last_ms,
        )
        for number, total in sorted(totals.items())
        if from_ms <= number * width_s * 1000 < to_ms
    ]  # fmt: skip


def _is_news(held: Row | None, total: Total) -> bool:
    return held is None or held.total != total


def _base_width(rows: Rows, width_s: int) -> int:
    """Of the widths that ``width_s`` is a multiple of, the one whose rows reach furthest; the widest of several."""
    known = [(rolled_upto(of_width), base_s) for base_s, of_width in rows.items() if width_s % base_s == 0]
    return max(known, default=(0, width_s))[1]


def _row_order(row: Row) -> tuple[int, ...]:
    total = row.total
    first = row.first or (0, 0)
    return row.upto, total.count, total.sum, total.low, total.high, total.last_ms, total.last, total.decimals, *first


def parse_row_key(key: str) -> tuple[Series, int, int, str] | None:
    """Series, width in seconds, number of the bucket and writer; None when it is no key of a row."""
    parts = key.split("/")
    if len(parts) != _KEY_PARTS:
        return None
    metric, entity, writer, roller = (uncomp(parts[place]) for place in (0, 1, 3, 4))
    width, dot, number = parts[2].partition(".")
    width_s, index = parse_base36(width), parse_base36(number.removeprefix("-"))
    if metric is None or entity is None or writer is None or roller is None:
        return None
    if not width_s or index is None or not dot or number == "-0" or len(key) > KEY_BYTES_MAX:
        return None
    return (metric, entity), width_s, -index if number.startswith("-") else index, parts[3]


def _read_row(value: Value) -> Row | None:
    if not isinstance(value, list) or len(value) < _PLACES:
        return None
    numbers = [_number(place) for place in value[:_PLACES_MAX]]
    places = [number for number in numbers if number is not None]
    if len(places) != len(numbers):
        return None
    upto, count, total, low, high, last_ms, last, *more = places
    decimals, *first = more or [0]
    if upto < 1 or count < 1 or not low <= last <= high or not low * count <= total <= high * count or decimals < 0:
        return None
    if decimals > DECIMALS_MAX or (first and not low <= first[-1] <= high):
        return None
    known = (first[0], first[1]) if len(first) == _FIRST_PLACES else None
    return Row(upto, Total(count, total, low, high, last_ms, last, decimals), known)


def _number(value: Value) -> int | None:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX else None
    return whole(value)
