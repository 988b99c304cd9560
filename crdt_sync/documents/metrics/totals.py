"""What the samples and rows of one series of one document come to, bucket by bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from crdt_sync.documents.metrics import rollups
from crdt_sync.documents.metrics.chunks import Columns
from crdt_sync.documents.metrics.gauges import Series
from crdt_sync.documents.metrics.rollups import Rows, Total
from crdt_sync.documents.metrics.tracks import read_series, tracks_of, union_scaled
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import INT_MAX, ROLLUPS

ByWriter: TypeAlias = Mapping[str, Mapping[int, Columns | None]]
"""The chunks of a series, by writer and number."""

ALL_TIMES = -INT_MAX, INT_MAX


def series_rows(view: RootsView, series: Series) -> Mapping[str, Rows]:
    """The rows of one series by writer."""
    return rollups.read_rows(view.entries(ROLLUPS)).rows.get(series, {})


def period_totals(
    view: RootsView,
    series: Series,
    width_s: int,
    *,
    chunks: ByWriter | None = None,
    rows: Mapping[str, Rows] | None = None,
    span_ms: tuple[int, int] = ALL_TIMES,
) -> dict[int, Total]:
    """The totals of one document by bucket. Each time counts once, whoever sampled it, unless somebody has rolled the
    series up: then it comes as the rows say, and writers add up. Of samples only those within ``span_ms`` count.

    Raises :class:`InvalidValue` as :func:`series_totals` does."""
    chunks = read_series(view, series) if chunks is None else chunks
    rows = series_rows(view, series) if rows is None else rows
    if rows:
        return series_totals(view, series, width_s, chunks=chunks, rows=rows)
    totals: dict[int, Total] = {}
    for at_ms, scaled, decimals, _ in union_scaled(chunks, *span_ms):
        number = at_ms // (width_s * 1000)
        one = Total(1, scaled, scaled, scaled, at_ms, scaled, decimals)
        totals[number] = rollups.join_totals(totals.get(number), one)
    return totals


def series_totals(
    view: RootsView,
    series: Series,
    width_s: int,
    *,
    chunks: ByWriter | None = None,
    rows: Mapping[str, Rows] | None = None,
) -> dict[int, Total]:
    """The totals of all writers by bucket; chunks and rows may be handed in by those that have read them already."""
    by_writer = read_series(view, series) if chunks is None else chunks
    rows = series_rows(view, series) if rows is None else rows
    tracks = tracks_of(view, series) if rows else {}
    totals: dict[int, Total] = {}
    for writer in sorted(by_writer.keys() | rows.keys()):
        sound = rollups.sound_rows(rows.get(writer, {}), tracks.get(writer, {}))
        for number, total in rollups.totals_of(by_writer.get(writer, {}), sound, width_s).items():
            totals[number] = rollups.join_totals(totals.get(number), total)
    return totals
