"""Metrics: the typed face of gauges, counters, series, histograms and distinct counts.

Writes go into one period's document, samples into that of their own period; reads are of all periods that are open or
folded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, MutableMapping
from dataclasses import dataclass, field
from decimal import Decimal

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.keys import nfc, parse_base36
from crdt_sync.documents.metrics import retention
from crdt_sync.documents.metrics.alarms import NO_FORKS, ForksView, faults_of, fork_faults
from crdt_sync.documents.metrics.counters import counter_key
from crdt_sync.documents.metrics.distributions import Distinct, Distribution
from crdt_sync.documents.metrics.gauges import GaugeFold, Series, check_number, gauge_key, read_gauges
from crdt_sync.documents.metrics.history import History
from crdt_sync.documents.metrics.pen import Pen
from crdt_sync.documents.metrics.periods import MEASURED, read_measured
from crdt_sync.documents.metrics.retention import Rejection
from crdt_sync.documents.metrics.rolling import Rollup
from crdt_sync.documents.metrics.series import TimeSeries, Tracker
from crdt_sync.documents.metrics.tracks import Sample, series_prefix
from crdt_sync.documents.metrics.upkeep import Upkeep
from crdt_sync.documents.roots import Roots
from crdt_sync.documents.schema import COUNTERS, GAUGES, INT_MAX, Fault, check_quantity, whole
from crdt_sync.errors import InvalidValue, QuantityOutOfRange, WrongKind


@dataclass(frozen=True, slots=True)
class Beside:
    """What there is beside the one document of an edit."""

    others: Mapping[str, Roots] = field(default_factory=dict)
    """The documents of further periods that are open, years among them."""
    only: Collection[str] | None = None
    """The periods that reads are of, where they are not of all."""
    forks: ForksView = NO_FORKS
    """Which keys of the edit's own document were written concurrently."""
    catalog: Roots | None = None
    """Where it is noted which periods have metrics."""
    answered: MutableMapping[str, Hashable] = field(default_factory=dict)
    """At which version of a closed document nothing in it was late."""


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
        beside: Beside | None = None,
    ) -> None:
        """Without ``period`` samples of any time go into this document."""
        beside = beside or Beside()
        self._roots = roots
        self._routes: dict[str, tuple[Pen, Tracker]] = {}
        self._history = History(roots, period, beside.others, beside.only)
        self._pen = Pen(
            roots, wid=wid, clock=clock, now_ms=now_ms, generation=generation, period=period, catalog=beside.catalog
        )
        self._beside = beside
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
        self._pen.put(GAUGES, key, [self._pen.clock.tick(self._pen.now_ms()), checked])

    def gauge(self, metric: str, entity: str) -> int | float | None:
        """The latest number that anybody stated, or None. A full read: for many take :meth:`gauges` once."""
        return self.gauges().get((nfc(metric), nfc(entity)))

    def gauges(self) -> dict[Series, int | float]:
        """The latest number of every (metric, entity)."""
        self._read_gauges()
        return self._history.gauges()

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
        self._pen.put(COUNTERS, key, total)

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
        self._pen.put(COUNTERS, key, reading)

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

        def elsewhere(period: str) -> TimeSeries | None:
            route = self._route(period)
            return None if route is None else series_in(*route)

        def series_in(pen: Pen, tracker: Tracker) -> TimeSeries:
            return TimeSeries(pen, tracker, metric, entity, decimals, history=self._history, elsewhere=elsewhere)

        return series_in(self._pen, self._tracker)

    def all_samples(self, metric: str, from_ms: int = 0, to_ms: int = INT_MAX) -> dict[str, list[Sample]]:
        """The samples of every entity that has some of ``metric``, in one pass; see :meth:`TimeSeries.samples`."""
        read = {one: self._history.samples(one, from_ms, to_ms) for one in self._series_of(metric)}
        return {entity: samples for (_, entity), samples in read.items() if samples}

    def all_points(self, metric: str, from_ms: int = 0, to_ms: int = INT_MAX) -> dict[str, list[Sample]]:
        """The same, with what is left of folded periods; see :meth:`TimeSeries.points`."""
        read = {one: self._history.points(one, from_ms, to_ms) for one in self._series_of(metric)}
        return {entity: points for (_, entity), points in read.items() if points}

    def all_amounts(self, metric: str, from_ms: int = 0, to_ms: int = INT_MAX) -> dict[str, int | Decimal]:
        """The exact sum of the samples of every entity that has some; see :meth:`TimeSeries.amount`.

        Raises :class:`InvalidValue` where the stretch cuts through a bucket of a fold whose samples are gone."""
        read = {one: self._history.amount(one, from_ms, to_ms) for one in self._series_of(metric)}
        return {entity: amount for (_, entity), amount in read.items() if amount is not None}

    def all_series(self) -> list[Series]:
        """The (metric, entity) of every series that has samples, folded or not, sorted."""
        return self._history.all_series()

    def rollup(self, metric: str, entity: str, *, width_s: int) -> Rollup:
        """A series in buckets of ``width_s`` seconds. Take widths of which each is a multiple of the one before, such
        as 60, 3600, 86400. Raises :class:`InvalidName` and :class:`InvalidValue`."""
        return Rollup(self._pen, self._history, self._rolled, metric, entity, width_s)

    def histogram(self, metric: str, entity: str) -> Distribution:
        """How values are distributed, such as response times. Raises :class:`InvalidName`."""
        return Distribution(self._pen, self._history, metric, entity)

    def distinct(self, metric: str, entity: str) -> Distinct:
        """How many different texts there were, such as visitors. Raises :class:`InvalidName`."""
        return Distinct(self._pen, self._history, metric, entity)

    @property
    def upkeep(self) -> Upkeep:
        """What has to be seen to when periods end. Raises :class:`InvalidValue` where no catalog is at hand."""
        if self._beside.catalog is None:
            raise InvalidValue("without a catalog nobody knows which periods there are")
        own = {} if self._pen.period is None else {self._pen.period: self._roots}
        return Upkeep(
            self._beside.catalog,
            {**self._beside.others, **own},
            clock=self._pen.clock,
            now_ms=self._pen.now_ms,
            answered=self._beside.answered,
        )

    @property
    def folded(self) -> list[str]:
        """The periods of which reads take the fold, sorted."""
        return self._history.folded

    def rejections(self) -> list[Rejection]:
        """What came into a period after it was closed and is in no total, as the relay has answered it, sorted.

        Of all documents that are open. Whoever wrote it may write it again into a period that is open, as something of
        that period."""
        return sorted(found for view in self._history.documents for found in retention.rejections(view))

    def late_samples(self, rejection: Rejection) -> list[Sample]:
        """The samples that a rejection is about; none where it is about something else, or they are gone."""
        found = (retention.late_samples(view, rejection) for view in self._history.documents)
        return next(filter(None, found), [])

    def counter(self, metric: str, entity: str) -> int:
        """How often something happened, for all writers together; 0 where nothing did. A full read."""
        return self.counters().get((nfc(metric), nfc(entity)), 0)

    def counters(self) -> dict[Series, int]:
        """The total of every (metric, entity)."""
        return self._history.counters()

    def faults(self) -> list[Fault]:
        """Everything that was skipped as unreadable, that a clock far ahead has stamped, or that does not add up, of
        all documents that are open; see :func:`alarms.faults_of`.

        Decodes them as a whole. Slots that two processes have written are found in the edit's own document alone."""
        now_ms, documents = self._pen.now_ms(), self._history.by_period
        found = {fault for period, view in documents.items() for fault in faults_of(view, period, now_ms)}
        catalog = self._beside.catalog
        notes = [] if catalog is None else read_measured(catalog.entries(MEASURED)).faults
        return sorted({*found, *notes, *fork_faults(self._beside.forks), *self._history.decreases()})

    def _series_of(self, metric: str) -> list[Series]:
        return [series for series in self._history.all_series() if series[0] == nfc(metric)]

    def _route(self, period: str) -> tuple[Pen, Tracker] | None:
        """What samples of another period are written with; None where its document is not open."""
        if period not in self._beside.others:
            return None
        if period not in self._routes:
            pen = self._pen.into(self._beside.others[period], period)
            self._routes[period] = pen, Tracker(pen)
        return self._routes[period]

    def _read_gauges(self) -> GaugeFold:
        fold = read_gauges(self._roots.entries(GAUGES))
        now_ms = self._pen.now_ms()
        for written in fold.stamps.values():
            self._pen.clock.receive(written, now_ms)
        self._caught_up = True
        return fold
