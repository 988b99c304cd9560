"""The end of a period: its metrics folded into a coarser document, and an answer to whatever comes too late.

A closed document never changes again, so its fold is a function of it: whoever folds it writes the same entries under
the same keys. Afterwards the closed document can be dropped as a whole, which is the only deletion that gives all bytes
back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crdt_sync.documents.keys import comp
from crdt_sync.documents.metrics.chunks import Columns
from crdt_sync.documents.metrics.counters import read_counters
from crdt_sync.documents.metrics.distributions import read_histograms, read_registers
from crdt_sync.documents.metrics.gauges import Series, read_gauges
from crdt_sync.documents.metrics.rolling import series_totals
from crdt_sync.documents.metrics.rollups import Row, Total, bucket_part, check_width, join_totals, read_rows, row_value
from crdt_sync.documents.metrics.tracks import find_tracks, read_tracks, spelled, union_scaled
from crdt_sync.documents.names import check_period
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    INT_MAX,
    META,
    REGISTERS,
    REJECTED,
    ROLLUPS,
    SAMPLES,
    check_writable,
)
from crdt_sync.errors import InvalidValue

TOO_LATE = "too_late"
FOLDER = "fold"
"""Who rolls up in a fold: nobody in particular, so that two that fold at once write the same keys."""

_METRIC_ROOTS = frozenset({GAUGES, COUNTERS, HISTOGRAMS, REGISTERS, SAMPLES, ROLLUPS})


def fold(closed: RootsView, period: str, into: Roots, width_s: int) -> int:
    """Write what the ``closed`` document of ``period`` comes to into a coarser one, and return how many entries.

    Series become rows of ``width_s``, each time taken once whoever sampled it; a series whose samples were rolled up
    already comes as its rows say. Gauges, counters and sketches become one slot each. What was folded before stays as
    it is. Raises :class:`InvalidValue` when the document is not closed, :class:`InvalidName`, :class:`SchemaTooNew`,
    :class:`PeriodClosed`."""
    if closed.get(META, "closed") is None:
        raise InvalidValue(f"the period {period} is not closed, so its metrics may still change")
    check_writable(into)
    part, width = comp(check_period(period)), check_width(width_s)
    folded = {
        series
        for series, of_series in read_rows(into.entries(ROLLUPS)).rows.items()
        if part in of_series and width in of_series[part]
    }
    entries = [*_slots(closed, part), *_rows(closed, part, width, folded)]
    fresh = [(root, key, value) for root, key, value in entries if into.get(root, key) is None]
    for root, key, value in fresh:
        into.put(root, key, value)
    return len(fresh)


def reject_late(closed: Roots, entries: Iterable[tuple[str, str]]) -> int:
    """Answer entries, as (root, key), that came into a closed document after its fold; returns how many were new.

    For the relay, which alone sees what came when. Raises :class:`InvalidValue` when the document is not closed, or
    an entry is none of a metric."""
    if closed.get(META, "closed") is None:
        raise InvalidValue("the document is not closed, so nothing comes too late")
    answers = []
    for root, key in entries:
        if root not in _METRIC_ROOTS or closed.get(root, key) is None:
            raise InvalidValue(f"{root}/{key} is no entry of a metric here")
        if closed.get(REJECTED, f"{root}/{key}") is None:
            answers.append(f"{root}/{key}")
    for answer in answers:
        closed.put(REJECTED, answer, TOO_LATE)
    return len(answers)


def rejections(view: RootsView) -> dict[tuple[str, str], str]:
    """Entries, as (root, key), that the relay has not taken into any total, and why."""
    found = {}
    for answer, reason in view.entries(REJECTED).items():
        root, slash, key = answer.partition("/")
        if slash and isinstance(reason, str):
            found[root, key] = reason
    return found


# A fold adds a period to keys that were checked when they were written, so it is not checked again for their length.
def _slots(closed: RootsView, part: str) -> Iterator[tuple[str, str, Value]]:
    for series, (stamp, _, number) in read_gauges(closed.entries(GAUGES)).latest.items():
        yield GAUGES, f"{spelled(series)}/{part}", [stamp, number]
    for series, count in read_counters(closed.entries(COUNTERS)).totals.items():
        yield COUNTERS, f"{spelled(series)}/{part}/0", count
    for series, histogram in read_histograms(closed)[0].items():
        yield HISTOGRAMS, f"{spelled(series)}/{part}/0", histogram.encode()
    for series, registers in read_registers(closed)[0].items():
        yield REGISTERS, f"{spelled(series)}/{part}", registers.encode()


def _rows(closed: RootsView, part: str, width_s: int, folded: set[Series]) -> Iterator[tuple[str, str, Value]]:
    tracks, _ = find_tracks(closed.keys(SAMPLES))
    rolled = read_rows(closed.entries(ROLLUPS)).rows
    for series in sorted((tracks.keys() | rolled.keys()) - folded):
        chunks = read_tracks(closed, {series: tracks.get(series, {})}).chunks[series]
        if series in rolled:
            totals = series_totals(closed, series, width_s, chunks=chunks, rows=rolled[series])
        else:
            totals = _union_totals(chunks, width_s)
        for number, total in totals.items():
            # Every bucket of a fold is complete, so one number for "all of it" does.
            key = f"{spelled(series)}/{bucket_part(width_s, number)}/{part}/{FOLDER}"
            yield ROLLUPS, key, row_value(Row(1, total))


def _union_totals(chunks: dict[str, dict[int, Columns | None]], width_s: int) -> dict[int, Total]:
    totals: dict[int, Total] = {}
    for at_ms, scaled, decimals, _ in union_scaled(chunks, -INT_MAX, INT_MAX):
        number = at_ms // (width_s * 1000)
        one = Total(1, scaled, scaled, scaled, at_ms, scaled, decimals)
        totals[number] = join_totals(totals.get(number), one)
    return totals
