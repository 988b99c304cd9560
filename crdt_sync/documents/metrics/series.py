"""Time series: samples at times, packed into chunks, as one writer adds them and as all of them together read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import TypeAlias

from crdt_sync.documents.keys import nfc
from crdt_sync.documents.metrics.chunks import (
    CHUNK_EDITS_MAX,
    CHUNK_SAMPLES_MAX,
    CHUNK_SPAN_MS,
    CLEARED,
    DECIMALS_MAX,
    Columns,
    Stored,
    decode_chunk,
    encode_chunk,
    read_outline,
)
from crdt_sync.documents.metrics.gauges import Series
from crdt_sync.documents.metrics.history import History
from crdt_sync.documents.metrics.pen import Pen
from crdt_sync.documents.metrics.tracks import (
    Sample,
    bytes_at,
    chunk_key,
    find_tracks,
    read_tracks,
    series_prefix,
    union,
    unscale,
)
from crdt_sync.documents.schema import INT_MAX, SAMPLES
from crdt_sync.errors import AlreadyExists, InvalidValue

Unscaled: TypeAlias = tuple[int, float | Decimal]
"""A sample as it is handed in: time and value."""

NUMBER_MAX = 36**6
"""More chunks than one writer can fill; so many digits of a key are kept free for their numbers."""


def scale(value: object, decimals: int) -> int:
    """``value`` times 10**decimals, exactly: an int, a Decimal, or a float read as its shortest spelling.

    Raises :class:`InvalidValue` for NaN, infinities, bools, more decimals, and what 2**53 - 1 can't hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise InvalidValue(f"{value!r} can't be a sample: an int, a Decimal or a float can")
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite() or exact.adjusted() > len(str(INT_MAX)):
        raise InvalidValue(f"{value!r} can't be a sample: it is not finite, or beyond ±(2**53 - 1)")
    sign, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    whole, shift = int("".join(map(str, digits))), exponent + decimals
    if not whole:
        return 0
    # Cut at the number of digits, because 10**-shift of a foreign Decimal could fill the memory.
    scaled, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, int(10 ** min(-shift, len(digits))))
    if rest:
        raise InvalidValue(f"{value!r} has more decimals than the {decimals} of this series")
    if scaled > INT_MAX:
        raise InvalidValue(f"{value!r} with {decimals} decimals is beyond ±(2**53 - 1)")
    return int(-scaled if sign else scaled)


class Tracker:
    """The tracks of a document as one edit sees them; found once, and kept up with what the edit adds."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._found: dict[Series, dict[str, dict[int, str]]] | None = None

    def tracks(self, series: Series) -> dict[str, dict[int, str]]:
        if self._found is None:
            self._found, _ = find_tracks(self._pen.roots.keys(SAMPLES))
        return self._found.setdefault(series, {})


class TimeSeries:
    """One series of a metrics document, from :meth:`MetricsDocument.series`."""

    def __init__(
        self,
        pen: Pen,
        tracker: Tracker,
        metric: str,
        entity: str,
        decimals: int,
        *,
        history: History,
        elsewhere: Callable[[str], TimeSeries | None],
    ) -> None:
        """``elsewhere`` gives the same series in the document of another period, if it is open."""
        if type(decimals) is not int or not 0 <= decimals <= DECIMALS_MAX:
            raise InvalidValue(f"decimals must be a whole number from 0 to {DECIMALS_MAX}, got {decimals!r}")
        self._pen = pen
        self._tracker = tracker
        self._history = history
        self._elsewhere = elsewhere
        self._series = nfc(metric), nfc(entity)
        self._decimals = decimals
        # Refuses a bad or too long name before anything is written.
        series_prefix((metric, entity))
        chunk_key(self._series, pen.part, NUMBER_MAX)

    def add(self, at_ms: int, value: float | Decimal) -> bool:
        """Add one sample; False when the same one is there already. See :meth:`extend`, which is far quicker."""
        return bool(self.extend([(at_ms, value)]))

    def extend(self, samples: Iterable[tuple[int, float | Decimal]]) -> int:
        """Add samples, in any order, and return how many were new. Adding them again changes nothing.

        Samples of another period than the edit's go into that period's document. When it is not open, they are
        refused (:class:`InvalidValue`, naming the period).

        A sample that differs from one already there replaces it, also one of another writer. Raises
        :class:`InvalidValue` for a time in the future, NaN, infinities or more decimals than the series has,
        :class:`AlreadyExists` for another value at a time that this writer has already left behind in a full chunk
        (rollups may have counted it), :class:`SchemaTooNew`, :class:`PeriodClosed`. Then none of them is added."""
        return extend_together([(self, samples)])

    def samples(self, from_ms: int = 0, to_ms: int = INT_MAX) -> list[Sample]:
        """What all writers together know from ``from_ms`` to before ``to_ms``, in time, in all periods that are open.

        Of a period that is folded and whose own document is gone, only :meth:`points` and buckets are left."""
        return self._history.samples(self._series, from_ms, to_ms)

    def points(self, from_ms: int = 0, to_ms: int = INT_MAX) -> list[Sample]:
        """The samples, and of periods of which only the fold is left, the last sample of each of its buckets, and the
        first of all: enough for totals that grow. Their ``wid`` is the period."""
        return self._history.points(self._series, from_ms, to_ms)

    def amount(self, from_ms: int = 0, to_ms: int = INT_MAX) -> int | Decimal | None:
        """The exact sum of the samples, folded or not; None without any.

        Raises :class:`InvalidValue` where the stretch cuts through a bucket of a fold whose samples are gone."""
        return self._history.amount(self._series, from_ms, to_ms)

    def latest(self, before_ms: int = INT_MAX) -> Sample | None:
        """The last sample before ``before_ms``, or None; see :meth:`points`."""
        found = self.points(0, before_ms)
        return found[-1] if found else None

    def by_period(self, samples: Iterable[tuple[int, float | Decimal]]) -> list[tuple[TimeSeries, list[Unscaled]]]:
        """The samples with the series of the document that each belongs to.

        Raises :class:`InvalidValue` for a time that is none, and for one of a period that is not open."""
        parts: dict[str | None, list[Unscaled]] = {}
        for at_ms, value in samples:
            parts.setdefault(self._pen.period_at(at_ms), []).append((at_ms, value))
        found = []
        for period, part in parts.items():
            series = self if period == self._pen.period or period is None else self._elsewhere(period)
            if series is None:
                raise InvalidValue(
                    f"{part[0][0]} ms belongs to the period {period}, whose metrics are not open in this edit"
                    f" of {self._pen.period}"
                )
            found.append((series, part))
        return found

    def news(self, samples: Iterable[tuple[int, float | Decimal]]) -> tuple[dict[int, int], list[int]]:
        """First half of :meth:`extend`, which may refuse: what has to be written, and the stamps to be later than."""
        wanted = {self._pen.check_time(at_ms): scale(value, self._decimals) for at_ms, value in samples}
        self._pen.check_writable()
        stamps = self._drop_known(wanted, self._tracker.tracks(self._series))
        return wanted, stamps

    def write_news(self, wanted: Mapping[int, int], stamps: Iterable[int]) -> int:
        """Second half: write it."""
        if wanted:
            stamp = self._pen.stamp_after(stamps)
            fresh = [Stored(at_ms, wanted[at_ms], stamp) for at_ms in sorted(wanted)]
            self._write(fresh, self._tracker.tracks(self._series))
        return len(wanted)

    def _drop_known(self, wanted: dict[int, int], tracks: Mapping[str, Mapping[int, str]]) -> list[int]:
        """Drop from ``wanted`` what reads so already; return the stamps that the rest has to be later than."""
        if not wanted:
            return []
        first, last = min(wanted), max(wanted)
        stamps, near = [], dict[str, dict[int, str]]()
        for writer, keys in tracks.items():
            for number, key in keys.items():
                try:
                    data = bytes_at(self._pen.roots, SAMPLES, key)
                    if data == CLEARED:
                        continue
                    outline = read_outline(data)
                except InvalidValue:
                    # Listed by faults(), and no sample can be read from it.
                    continue
                stamps.append(outline.stamp)
                if outline.first_ms <= last and outline.last_ms >= first:
                    near.setdefault(writer, {})[number] = key
        if near:
            chunks = read_tracks(self._pen.roots, {self._series: near}).chunks[self._series]
            for known in union(chunks, first, last + 1):
                if wanted.get(known.at_ms) is not None and unscale(wanted[known.at_ms], self._decimals) == known.value:
                    del wanted[known.at_ms]
            self._check_not_left_behind(wanted, chunks.get(self._pen.part, {}), max(tracks.get(self._pen.part, [0])))
        return stamps

    def _check_not_left_behind(
        self, wanted: Mapping[int, int], own: Mapping[int, Columns | None], open_number: int
    ) -> None:
        for number, chunk in own.items():
            if chunk is None or (number == open_number and chunk.outline.decimals == self._decimals):
                continue
            if again := wanted.keys() & chunk.times_ms:
                raise AlreadyExists(f"this writer has left another value at {min(again)} ms behind in a full chunk")

    def _write(self, fresh: Collection[Stored], tracks: dict[str, dict[int, str]]) -> None:
        own = tracks.setdefault(self._pen.part, {})
        number = max(own, default=0)
        chunk = self._open_chunk(own.get(number))
        if chunk is None or (_is_worn(chunk) and not any(sample.at_ms in chunk for sample in fresh)):
            number, chunk = number + 1, {}
        for sample in fresh:
            if not _fits(chunk, sample.at_ms):
                self._put(own, number, chunk)
                number, chunk = number + 1, {}
            chunk[sample.at_ms] = sample
        self._put(own, number, chunk)

    def _put(self, own: dict[int, str], number: int, chunk: Mapping[int, Stored]) -> None:
        own[number] = chunk_key(self._series, self._pen.part, number)
        data = encode_chunk([chunk[at_ms] for at_ms in sorted(chunk)], self._decimals)
        # The chunk that was open may only be left behind, as it was.
        if self._pen.roots.get(SAMPLES, own[number]) != data:
            self._pen.put(SAMPLES, own[number], data)

    def _open_chunk(self, key: str | None) -> dict[int, Stored] | None:
        """This writer's last chunk, when more samples may go into it."""
        if key is None:
            return None
        try:
            columns = decode_chunk(bytes_at(self._pen.roots, SAMPLES, key))
        except InvalidValue:
            # Cleared, or overwritten by somebody else: either way no longer ours to extend.
            return None
        if columns.outline.decimals != self._decimals:
            return None
        return {sample.at_ms: sample for sample in columns.samples()}


def extend_together(parts: Iterable[tuple[TimeSeries, Iterable[tuple[int, float | Decimal]]]]) -> int:
    """Extend several different series, all or, when one of them refuses, none; return how many samples were new."""
    split = [part for series, samples in parts for part in series.by_period(samples)]
    news = [(series, *series.news(samples)) for series, samples in split]
    return sum(series.write_news(wanted, stamps) for series, wanted, stamps in news)


def _is_worn(chunk: Mapping[int, Stored]) -> bool:
    """Whether it was written so often that a new one is cheaper: each edit writes all of a chunk again."""
    return len({sample.stamp for sample in chunk.values()}) >= CHUNK_EDITS_MAX


def _fits(chunk: Mapping[int, Stored], at_ms: int) -> bool:
    if not chunk or at_ms in chunk:
        return True
    first, last = min(chunk, default=at_ms), max(chunk, default=at_ms)
    return len(chunk) < CHUNK_SAMPLES_MAX and max(last, at_ms) - min(first, at_ms) <= CHUNK_SPAN_MS
