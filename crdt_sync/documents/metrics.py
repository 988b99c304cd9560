"""Metrics: the typed face of one period's gauges and counters."""

from __future__ import annotations

from collections.abc import Callable

from crdt_sync.documents.clock import HybridClock, is_ahead
from crdt_sync.documents.counters import counter_key, read_counters
from crdt_sync.documents.gauges import GaugeFold, Series, check_number, gauge_key, read_gauges
from crdt_sync.documents.keys import check_name, nfc
from crdt_sync.documents.movements import check_quantity
from crdt_sync.documents.roots import Roots
from crdt_sync.documents.schema import COUNTERS, GAUGES, INT_MAX, Fault, check_writable, meta_faults, whole
from crdt_sync.errors import QuantityOutOfRange


class MetricsDocument:
    """One edit's view of a metrics document.

    ``wid`` names the writer and must be new for every start of a process: slots belong to one writer each, and a
    restored backup that went on counting in an old slot would take back what it had counted. Every misuse raises a
    :class:`~crdt_sync.errors.DocumentError` before anything is written."""

    def __init__(
        self, roots: Roots, *, wid: str, clock: HybridClock, now_ms: Callable[[], int], generation: int = 0
    ) -> None:
        self._roots = roots
        self._wid = check_name("writer", wid)
        self._clock = clock
        self._now_ms = now_ms
        self._generation = generation
        self._caught_up = False

    def set_gauge(self, metric: str, entity: str, number: float) -> None:
        """State what a number is now, e.g. the likes that an API reported. The latest statement of all counts.

        Raises :class:`InvalidValue`, :class:`InvalidName`, :class:`SchemaTooNew`, :class:`PeriodClosed`."""
        key = gauge_key(metric, entity, self._wid)
        checked = check_number(number)
        check_writable(self._roots)
        if not self._caught_up:
            # With a clock that lags, our new number would lose against an older one that we can see.
            self._read_gauges()
        self._roots.put(GAUGES, key, [self._clock.tick(self._now_ms()), checked])

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
        key = counter_key(metric, entity, self._wid, self._generation)
        step = check_quantity(by)
        check_writable(self._roots)
        total = (whole(self._roots.get(COUNTERS, key)) or 0) + step
        if total > INT_MAX:
            raise QuantityOutOfRange(by, "would take this writer's total beyond 2**53 - 1")
        self._roots.put(COUNTERS, key, total)

    def counter(self, metric: str, entity: str) -> int:
        """How often something happened, for all writers together; 0 where nothing did. A full read."""
        return self.counters().get((nfc(metric), nfc(entity)), 0)

    def counters(self) -> dict[Series, int]:
        """The total of every (metric, entity)."""
        return dict(read_counters(self._roots.entries(COUNTERS)).totals)

    def faults(self) -> list[Fault]:
        """Every slot that was skipped as unreadable, and gauges stamped by a clock that runs ahead."""
        gauges, now_ms = self._read_gauges(), self._now_ms()
        ahead = [
            Fault(GAUGES, key, "is stamped by a clock that runs more than 60 s ahead")
            for key, written in gauges.stamps.items()
            if is_ahead(written, now_ms)
        ]
        counters = read_counters(self._roots.entries(COUNTERS))
        return sorted([*meta_faults(self._roots), *gauges.faults, *counters.faults, *ahead])

    def _read_gauges(self) -> GaugeFold:
        fold = read_gauges(self._roots.entries(GAUGES))
        now_ms = self._now_ms()
        for written in fold.stamps.values():
            self._clock.receive(written, now_ms)
        self._caught_up = True
        return fold
