"""Metrics: the typed face of one period's gauges, counters, series, histograms and distinct counts."""

from __future__ import annotations

from collections.abc import Callable

from crdt_sync.documents.clock import HybridClock, is_ahead
from crdt_sync.documents.keys import nfc, parse_base36
from crdt_sync.documents.metrics import retention
from crdt_sync.documents.metrics.counters import counter_key, read_counters
from crdt_sync.documents.metrics.distributions import Distinct, Distribution, read_histograms, read_registers
from crdt_sync.documents.metrics.gauges import GaugeFold, Series, check_number, gauge_key, read_gauges
from crdt_sync.documents.metrics.pen import Pen
from crdt_sync.documents.metrics.rolling import Rollup, rollup_faults
from crdt_sync.documents.metrics.series import TimeSeries, Tracker
from crdt_sync.documents.metrics.tracks import (
    Sample,
    find_tracks,
    read_tracks,
    sample_faults,
    series_prefix,
    spelled,
    union,
)
from crdt_sync.documents.roots import Roots, RootsView
from crdt_sync.documents.schema import COUNTERS, GAUGES, INT_MAX, SAMPLES, Fault, check_quantity, meta_faults, whole
from crdt_sync.errors import QuantityOutOfRange, WrongKind


class MetricsDocument:
    """One edit's view of a metrics document.

    ``wid`` names the writer and must be new for every start of a process: slots belong to one writer each, and a
    restored backup that went on counting in an old slot would take back what it had counted. Every misuse raises a
    :class:`~crdt_sync.errors.DocumentError` before anything is written."""

    def __init__(
        self,
        roots: Roots,
        *,
        wid: str,
        clock: HybridClock,
        now_ms: Callable[[], int],
        generation: int = 0,
        period: str | None = None,
    ) -> None:
        """With ``period`` samples of other periods are refused."""
        self._roots = roots
        self._pen = Pen(roots, wid=wid, clock=clock, now_ms=now_ms, generation=generation, period=period)
        self._tracker = Tracker(self._pen)
        self._rolled: set[Series] = set()
        self._caught_up = False

    def set_gauge(self, metric: str, entity: str, number: float) -> None:
        """State what a number is now, e.g. the likes that an API reported. The latest statement of all counts.

        Raises :class:`InvalidValue`, :class:`InvalidName`, :class:`SchemaTooNew`, :class:`PeriodClosed`."""
        key = gauge_key(metric, entity, self._pen.wid)
        checked = check_number(number)
        self._pen.check_writable()
        if not self._caught_up:
            # With a clock that lags, our new number would lose against an older one that we can see.
            self._read_gauges()
        self._roots.put(GAUGES, key, [self._pen.clock.tick(self._pen.now_ms()), checked])

    def gauge(self, metric: str, entity: str) -> int | float | None:
        """The latest number that anybody stated, or None. A full read: for many take :meth:`gauges` once."""
        return self.gauges().get((nfc(metric), nfc(entity)))

    def gauges(self) -> dict[Series, int | float]:
        """The latest number of every (metric, entity)."""
        return {series: number for series, (_, _, number) in self._read_gauges().latest.items()}

    def count(self, metric: str, entity: str, by: int = 1) -> None:
        """Count something that happened here. Not for totals that others report: several observers would add up
        the same events; those are gauges.

        Raises :class:`QuantityOutOfRange` unless ``by`` is positive and this writer's total stays below 2**53."""
        key = counter_key(metric, entity, self._pen.wid, self._pen.generation)
        step = check_quantity(by)
        self._pen.check_writable()
        total = (whole(self._roots.get(COUNTERS, key)) or 0) + step
        if total > INT_MAX:
            raise QuantityOutOfRange(by, "would take this writer's total beyond 2**53 - 1")
        self._roots.put(COUNTERS, key, total)

    def count_to(self, metric: str, entity: str, reading: int) -> None:
        """State what a meter of this writer's own reads, such as the bytes that a network card has sent since it
        started. A lower reading than before says that the meter was reset, and begins a new generation.

        Raises :class:`QuantityOutOfRange` unless ``reading`` is a whole number from 0 to 2**53 - 1."""
        if type(reading) is not int or not 0 <= reading <= INT_MAX:
            raise QuantityOutOfRange(reading, "the reading of a meter is a whole number from 0 to 2**53 - 1")
        first = counter_key(metric, entity, self._pen.wid, self._pen.generation)
        self._pen.check_writable()
        slot = first.rpartition("/")[0] + "/"
        numbers = [parse_base36(key[len(slot) :]) for key in self._roots.keys(COUNTERS) if key.startswith(slot)]
        generation = max((number for number in numbers if number is not None), default=self._pen.generation)
        key = counter_key(metric, entity, self._pen.wid, generation)
        if reading < (whole(self._roots.get(COUNTERS, key)) or 0):
            key = counter_key(metric, entity, self._pen.wid, generation + 1)
        self._roots.put(COUNTERS, key, reading)

    def observe(self, metric: str, entity: str, total: int) -> None:
        """State a total that somebody else counts, such as the likes that a service reports for a post. However many
        observe it, the latest statement counts; it is never added up.

        Raises :class:`QuantityOutOfRange` unless ``total`` is a whole number from 0 to 2**53 - 1, :class:`WrongKind`
        when the same metric is counted here, and what :meth:`set_gauge` raises."""
        if type(total) is not int or not 0 <= total <= INT_MAX:
            raise QuantityOutOfRange(total, "an observed total is a whole number from 0 to 2**53 - 1")
        prefix = series_prefix((metric, entity)) + "/"
        if any(key.startswith(prefix) for key in self._roots.keys(COUNTERS)):
            raise WrongKind(f"{metric!r} of {entity!r} is counted here; what others count needs a name of its own")
        self.set_gauge(metric, entity, total)

    def series(self, metric: str, entity: str, *, decimals: int = 0) -> TimeSeries:
        """A time series. ``decimals`` (0 to 9) is how many places after the point its samples may have.

        Raises :class:`InvalidName` and :class:`InvalidValue`."""
        return TimeSeries(self._pen, self._tracker, metric, entity, decimals)

    def all_samples(self, metric: str, from_ms: int = 0, to_ms: int = INT_MAX) -> dict[str, list[Sample]]:
        """The samples of every entity that has some of ``metric``, in one pass; see :meth:`TimeSeries.samples`."""
        found, _ = find_tracks(self._roots.keys(SAMPLES))
        chosen = {series: tracks for series, tracks in found.items() if series[0] == nfc(metric)}
        chunks = read_tracks(self._roots, chosen).chunks
        read = {entity: list(union(chunks[metric, entity], from_ms, to_ms)) for metric, entity in sorted(chosen)}
        return {entity: samples for entity, samples in read.items() if samples}

    def all_series(self) -> list[Series]:
        """The (metric, entity) of every series that has samples here, sorted."""
        return sorted(find_tracks(self._roots.keys(SAMPLES))[0])

    def rollup(self, metric: str, entity: str, *, width_s: int) -> Rollup:
        """A series in buckets of ``width_s`` seconds. Take widths of which each is a multiple of the one before, such
        as 60, 3600, 86400. Raises :class:`InvalidName` and :class:`InvalidValue`."""
        return Rollup(self._pen, self._rolled, metric, entity, width_s)

    def histogram(self, metric: str, entity: str) -> Distribution:
        """How values are distributed, such as response times. Raises :class:`InvalidName`."""
        return Distribution(self._pen, metric, entity)

    def distinct(self, metric: str, entity: str) -> Distinct:
        """How many different texts there were, such as visitors. Raises :class:`InvalidName`."""
        return Distinct(self._pen, metric, entity)

    def fold(self, closed: RootsView, period: str, *, width_s: int) -> int:
        """Fold the ``closed`` metrics document of ``period`` into this coarser one; see :func:`retention.fold`."""
        return retention.fold(closed, period, self._roots, width_s)

    def rejections(self) -> dict[tuple[str, str], str]:
        """Entries, as (root, key), that came after this period was folded, and why no total holds them."""
        return retention.rejections(self._roots)

    def counter(self, metric: str, entity: str) -> int:
        """How often something happened, for all writers together; 0 where nothing did. A full read."""
        return self.counters().get((nfc(metric), nfc(entity)), 0)

    def counters(self) -> dict[Series, int]:
        """The total of every (metric, entity)."""
        return dict(read_counters(self._roots.entries(COUNTERS)).totals)

    def faults(self) -> list[Fault]:
        """Everything that was skipped as unreadable, that a clock far ahead has stamped, or that does not add up.

        Decodes the whole document."""
        gauges, now_ms = self._read_gauges(), self._pen.now_ms()
        ahead = [
            Fault(GAUGES, key, "is stamped by a clock that runs more than 60 s ahead")
            for key, written in gauges.stamps.items()
            if is_ahead(written, now_ms)
        ]
        sketches = [*read_histograms(self._roots)[1], *read_registers(self._roots)[1]]
        counters = read_counters(self._roots.entries(COUNTERS))
        # The classic double count: a total that several observers state is counted up by somebody else.
        mixed = [
            Fault(COUNTERS, spelled(series), "is counted, and stated as a gauge, too")
            for series in counters.totals.keys() & gauges.latest.keys()
        ]
        samples = [*mixed, *sample_faults(self._roots, now_ms), *rollup_faults(self._roots)]
        return sorted({*meta_faults(self._roots), *gauges.faults, *counters.faults, *ahead, *sketches, *samples})

    def _read_gauges(self) -> GaugeFold:
        fold = read_gauges(self._roots.entries(GAUGES))
        now_ms = self._pen.now_ms()
        for written in fold.stamps.values():
            self._pen.clock.receive(written, now_ms)
        self._caught_up = True
        return fold
