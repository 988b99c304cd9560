"""Rolling up one series of a metrics document: writing rows, reading buckets, letting go of what is rolled up."""

from __future__ import annotations

from crdt_sync.documents.keys import nfc
from crdt_sync.documents.metrics import rollups
from crdt_sync.documents.metrics.chunks import CLEARED
from crdt_sync.documents.metrics.gauges import Series
from crdt_sync.documents.metrics.history import History
from crdt_sync.documents.metrics.pen import Pen
from crdt_sync.documents.metrics.rollups import Bucket
from crdt_sync.documents.metrics.totals import series_rows
from crdt_sync.documents.metrics.tracks import bytes_at, find_tracks, read_tracks, series_prefix, spelled, tracks_of
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import INT_MAX, ROLLUPS, SAMPLES, Fault
from crdt_sync.errors import InvalidValue


class Rollup:
    """One series in buckets of one width, from :meth:`MetricsDocument.rollup`."""

    def __init__(self, pen: Pen, history: History, staged: set[Series], metric: str, entity: str, width_s: int) -> None:
        series_prefix((metric, entity))
        self._pen = pen
        self._history = history
        self._staged = staged
        self._series = nfc(metric), nfc(entity)
        self._width_s = rollups.check_width(width_s)

    def roll(self) -> int:
        """Write the rows that are missing, and return how many. Any peer may, several at once, as often as it likes.

        Raises :class:`SchemaTooNew`, :class:`PeriodClosed`, :class:`InvalidName`, and :class:`InvalidValue` when
        samples were let go that were rolled up into other widths only."""
        self._pen.check_writable()
        tracks = tracks_of(self._pen.roots, self._series)
        chunks = read_tracks(self._pen.roots, {self._series: tracks}).chunks[self._series]
        rows = series_rows(self._pen.roots, self._series)
        fresh = [
            (rollups.row_key(self._series, self._width_s, number, writer, self._pen.part), rollups.row_value(row))
            for writer, keys in tracks.items()
            for number, row in rollups.new_rows(
                chunks.get(writer, {}),
                keys,
                rollups.sound_rows(rows.get(writer, {}), keys),
                self._width_s,
            ).items()
        ]
        for key, value in fresh:
            self._staged.add(self._series)
            self._pen.put(ROLLUPS, key, value)
        return len(fresh)

    def buckets(self, from_ms: int = 0, to_ms: int = INT_MAX) -> list[Bucket]:
        """The buckets that begin from ``from_ms`` to before ``to_ms``, over all periods that are open or folded.

        Each time counts once, whoever sampled it, until somebody rolls the series up; then writers add up. Raises
        :class:`InvalidValue` when samples were let go that were rolled up or folded into other widths only."""
        return rollups.buckets(self._history.totals(self._series, self._width_s), self._width_s, from_ms, to_ms)

    def discard(self) -> int:
        """Let go of the samples that rows of every width cover, and return how many chunks that were.

        Raises :class:`InvalidValue` in the edit that has rolled the series up: a peer that sees the one must be sure
        to see the other."""
        self._pen.check_writable()
        if self._series in self._staged:
            raise InvalidValue(f"{self._series} was rolled up in this very edit; discard its samples in a later one")
        rows = series_rows(self._pen.roots, self._series)
        gone = [
            key
            for writer, keys in tracks_of(self._pen.roots, self._series).items()
            for number, key in keys.items()
            if number <= rollups.rolled_everywhere(rollups.sound_rows(rows.get(writer, {}), keys))
            and self._pen.roots.get(SAMPLES, key) != CLEARED
        ]
        for key in gone:
            self._pen.put(SAMPLES, key, CLEARED)
        return len(gone)


def rollup_faults(view: RootsView) -> list[Fault]:
    """Rows that were skipped, and chunks that somebody cleared although nothing says what they held."""
    fold = rollups.read_rows(view.entries(ROLLUPS))
    tracks, _ = find_tracks(view.keys(SAMPLES))
    faults = list(fold.faults)
    for series, of_series in fold.rows.items():
        for writer, rows in of_series.items():
            last = max(tracks.get(series, {}).get(writer, {}), default=INT_MAX)
            faults += [
                Fault(
                    ROLLUPS,
                    f"{spelled(series)}/{rollups.bucket_part(width_s, number)}/{writer}/*",
                    "covers chunks that are not there",
                )
                for width_s, of_width in rows.items()
                for number, row in of_width.items()
                if row.upto > last
            ]
    for series, of_tracks in tracks.items():
        for writer, keys in of_tracks.items():
            covering = rollups.sound_rows(fold.rows.get(series, {}).get(writer, {}), keys)
            covered = max(map(rollups.rolled_upto, covering.values()), default=0)
            faults += [
                Fault(SAMPLES, key, "was cleared before it was rolled up")
                for number, key in keys.items()
                if number > covered and _is_cleared(view, key)
            ]
    return faults


def _is_cleared(view: RootsView, key: str) -> bool:
    try:
        return bytes_at(view, SAMPLES, key) == CLEARED
    except InvalidValue:
        return False
