"""The metrics of several periods read as one: documents that are open, and folds of those that were closed.

What is folded counts as its fold says, and its own document, where it is still here, only shows the samples that the
fold was made of; what came later is in no total. The documents of periods must not overlap: take months or days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from decimal import Context, Decimal
from functools import cached_property

from crdt_sync.documents.metrics.counters import read_counters
from crdt_sync.documents.metrics.coverage import Coverage, covered, lowered, read_coverage
from crdt_sync.documents.metrics.folds import FoldNote, FoldsView
from crdt_sync.documents.metrics.gauges import Series, read_gauges
from crdt_sync.documents.metrics.rollups import Row, Rows, Total, join_totals, parse_row_key, read_rows, totals_of
from crdt_sync.documents.metrics.totals import ALL_TIMES, ByWriter, period_totals
from crdt_sync.documents.metrics.tracks import (
    Part,
    Sample,
    find_tracks,
    read_tracks,
    samples_of,
    unscale,
)
from crdt_sync.documents.names import is_year, period_span_ms
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import COUNTERS, GAUGES, ROLLUPS, SAMPLES, Fault
from crdt_sync.errors import InvalidValue

_EXACT = Context(prec=100)
_UNKNOWN = ""
"""The period of a document whose period nobody has told."""


class History:
    """Made for one edit or one look."""

    def __init__(
        self,
        own: RootsView,
        period: str | None,
        others: Mapping[str, RootsView],
        only: Collection[str] | None = None,
    ) -> None:
        """``others`` are further documents by period, years among them; with ``only`` no other period counts."""
        self._own = own
        documents = {**others, period or _UNKNOWN: own}
        self._years = {name: view for name, view in documents.items() if is_year(name)}
        self._documents = {name: view for name, view in documents.items() if not is_year(name)}
        self._only = only
        self._tracks: dict[str, tuple[Hashable, dict[Series, dict[str, dict[int, str]]]]] = {}
        self._rolled: dict[str, tuple[Hashable, set[Series]]] = {}

    @cached_property
    def _folds(self) -> list[FoldsView]:
        return [FoldsView(view, self._only) for view in self._years.values()]

    @cached_property
    def _notes(self) -> dict[str, FoldNote]:
        return {period: note for view in self._folds for period, note in view.notes.items()}

    @cached_property
    def _rows(self) -> dict[Series, dict[str, dict[int, dict[int, Row]]]]:
        """The rows of all folds, by series, writer (that is, period and closing), width and bucket."""
        found: dict[Series, dict[str, dict[int, dict[int, Row]]]] = {}
        for view in self._folds:
            for series, of_series in read_rows(view.entries(ROLLUPS)).rows.items():
                found.setdefault(series, {}).update(of_series)
        return found

    @cached_property
    def _coverages(self) -> dict[str, Coverage]:
        """Of folded periods whose documents are here, what of them is in the fold."""
        found = {}
        for period in self._documents.keys() & self._notes.keys():
            note = self._notes[period]
            coverage, count = read_coverage(self._documents[period], note.closing)
            if count == note.covers:
                found[period] = coverage
        return found

    @property
    def folded(self) -> list[str]:
        """The periods that count as folded, sorted."""
        return sorted(self._notes)

    @property
    def views(self) -> list[RootsView]:
        """What counts, slot by slot: the documents of periods that are not folded, and the folds."""
        return [*(view for _, view in self._unfolded()), *self._folds]

    @property
    def documents(self) -> list[RootsView]:
        """All documents that are open, those of folded periods among them."""
        return list(self.by_period.values())

    @property
    def by_period(self) -> dict[str, RootsView]:
        """The same by period; None's is the empty text."""
        return {**self._documents, **self._years}

    def gauges(self) -> dict[Series, int | float]:
        latest: dict[Series, tuple[int, str, int | float]] = {}
        for view in self.views:
            for series, found in read_gauges(view.entries(GAUGES), is_fold=isinstance(view, FoldsView)).latest.items():
                latest[series] = max(found, latest.get(series, found))
        return {series: number for series, (_, _, number) in latest.items()}

    def counters(self) -> dict[Series, int]:
        totals: defaultdict[Series, int] = defaultdict(int)
        for view in self.views:
            for series, count in read_counters(view.entries(COUNTERS)).totals.items():
                totals[series] += count
        return dict(totals)

    def decreases(self) -> list[Fault]:
        """Slots of folded periods that say less than was counted when their period was closed."""
        found = (lowered(self._documents[period], coverage) for period, coverage in self._coverages.items())
        return [
            Fault(root, key, "says less than it did when its period was closed") for one in found for root, key in one
        ]

    def all_series(self) -> list[Series]:
        """Every series that has samples or rows of a fold, sorted."""
        unfolded = {series for period, _ in self._unfolded() for series in self._tracks_of(period)}
        return sorted({*self._rows, *unfolded})

    def samples(self, series: Series, from_ms: int, to_ms: int) -> list[Sample]:
        """The samples whose documents are here, in time. Raises :class:`InvalidName`."""
        return list(samples_of(self._parts(series, from_ms, to_ms)))

    def points(self, series: Series, from_ms: int, to_ms: int) -> list[Sample]:
        """The samples; where only their fold is left, the last of each of its buckets, and the first of all."""
        folded = [
            Sample(at_ms, unscale(scaled, row.total.decimals), writer.partition(".")[0])
            for writer, rows in self._fold_rows(series).items()
            for of_width in rows.values()
            for row in of_width.values()
            for at_ms, scaled in {row.first or (row.total.last_ms, row.total.last), (row.total.last_ms, row.total.last)}
            if from_ms <= at_ms < to_ms
        ]
        samples = samples_of(self._parts(series, from_ms, to_ms, folds_too=False))
        return sorted([*folded, *samples], key=lambda sample: sample.at_ms)

    def amount(self, series: Series, from_ms: int, to_ms: int) -> int | Decimal | None:
        """The exact sum of the samples from ``from_ms`` to before ``to_ms``; None without any.

        Raises :class:`InvalidValue` where a bucket of a fold lies partly within, and its samples are gone."""
        values = [sample.value for sample in samples_of(self._parts(series, from_ms, to_ms, folds_too=False))]
        for rows in self._fold_rows(series).values():
            for width_s, of_width in rows.items():
                for number, row in of_width.items():
                    start_ms, total = number * width_s * 1000, row.total
                    if start_ms + width_s * 1000 <= from_ms or total.last_ms < from_ms or start_ms >= to_ms:
                        continue
                    if start_ms < from_ms or total.last_ms >= to_ms:
                        raise InvalidValue(
                            f"{series} was folded into buckets of {width_s} s; ask for whole ones of them"
                        )
                    values.append(unscale(total.sum, total.decimals))
        return exact_sum(values) if values else None

    def totals(self, series: Series, width_s: int) -> dict[int, Total]:
        """By bucket. Raises :class:`InvalidValue` when samples were let go or folded into other widths only."""
        totals: dict[int, Total] = {}
        for found in self._all_totals(series, width_s):
            for number, total in found.items():
                totals[number] = join_totals(totals.get(number), total)
        return totals

    def _all_totals(self, series: Series, width_s: int) -> Iterator[dict[int, Total]]:
        for period, view in self._unfolded():
            rows: Mapping[str, Rows] | None = None if self._is_rolled(period, series) else {}
            own = self._chunks(period, series)
            yield period_totals(view, series, width_s, chunks=own, rows=rows, span_ms=_span_ms(period))
        for writer, of_writer in self._rows.get(series, {}).items():
            if all(width_s % width == 0 for width in of_writer):
                yield totals_of({}, of_writer, width_s)
                continue
            period = writer.partition(".")[0]
            chunks = self._covered(period, series)
            if chunks is None:
                raise InvalidValue(
                    f"{series} of {period} was folded into buckets of {min(of_writer)} s, not of {width_s} s"
                )
            span_ms = _span_ms(period)
            yield period_totals(self._documents[period], series, width_s, chunks=chunks, rows={}, span_ms=span_ms)

    def _unfolded(self) -> Iterator[tuple[str, RootsView]]:
        for period, view in self._documents.items():
            if period not in self._notes:
                yield period, view

    def _tracks_of(self, period: str) -> dict[Series, dict[str, dict[int, str]]]:
        """The tracks of a document, found once for as long as it does not change."""
        view = self._documents[period]
        version, found = self._tracks.get(period, (None, {}))
        if version != view.version or period not in self._tracks:
            found, _ = find_tracks(view.keys(SAMPLES))
            self._tracks[period] = view.version, found
        return found

    def _is_rolled(self, period: str, series: Series) -> bool:
        view = self._documents[period]
        version, found = self._rolled.get(period, (None, set()))
        if version != view.version or period not in self._rolled:
            keys = map(parse_row_key, view.keys(ROLLUPS))
            found = {parsed[0] for parsed in keys if parsed is not None}
            self._rolled[period] = view.version, found
        return series in found

    def _chunks(self, period: str, series: Series) -> ByWriter:
        tracks = self._tracks_of(period).get(series, {})
        return read_tracks(self._documents[period], {series: tracks}).chunks[series]

    def _fold_rows(self, series: Series) -> Mapping[str, Rows]:
        """The rows of those folds whose samples are not here any more."""
        return {
            writer: rows
            for writer, rows in self._rows.get(series, {}).items()
            if self._covered(writer.partition(".")[0], series) is None
        }

    def _parts(self, series: Series, from_ms: int, to_ms: int, *, folds_too: bool = True) -> Iterator[Part]:
        """The tracks of every document; with ``folds_too`` also what is left where the fold has to stand for it."""
        for period in self._documents:
            first_ms, end_ms = _span_ms(period)
            span = max(from_ms, first_ms), min(to_ms, end_ms)
            if span[0] >= span[1]:
                continue
            if period not in self._notes:
                yield self._chunks(period, series), *span
            elif folds_too and period in self._coverages:
                yield self._covered_chunks(period, series), *span
            elif (chunks := self._covered(period, series)) is not None:
                yield chunks, *span

    def _covered(self, period: str, series: Series) -> ByWriter | None:
        """What the fold of a series was made of; None where that is not here, or was rolled up."""
        if period not in self._coverages or self._is_rolled(period, series):
            return None
        return self._covered_chunks(period, series)

    def _covered_chunks(self, period: str, series: Series) -> ByWriter:
        coverage = self._coverages[period]
        chunks = self._chunks(period, series)
        return {writer: covered(own, coverage.reach(series, writer)) for writer, own in chunks.items()}


def exact_sum(values: Iterable[int | Decimal]) -> int | Decimal:
    """Whole as long as all values are."""
    summed: int | Decimal = 0
    for value in values:
        both_whole = isinstance(summed, int) and isinstance(value, int)
        summed = summed + value if both_whole else _EXACT.add(Decimal(summed), Decimal(value))
    return summed


def _span_ms(period: str) -> tuple[int, int]:
    return ALL_TIMES if period == _UNKNOWN else period_span_ms(period)
