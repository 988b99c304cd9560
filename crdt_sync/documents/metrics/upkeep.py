"""What has to be seen to when periods end, as whoever keeps a tenant's documents does it: the relay's steward.

Each duty says first whether it is due, so that a look does and nothing need be written; each may be done by several at
once. The documents that a duty writes into must be open in the edit: that of the period and that of its year.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, MutableMapping

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.metrics import periods, retention
from crdt_sync.documents.metrics.folds import FoldsView
from crdt_sync.documents.metrics.periods import MeasuredPeriods, year_of
from crdt_sync.documents.names import is_year
from crdt_sync.documents.roots import Roots
from crdt_sync.documents.schema import COUNTERS, GAUGES, HISTOGRAMS, REGISTERS, SAMPLES
from crdt_sync.errors import InvalidValue


class Upkeep:
    """From :attr:`MetricsDocument.upkeep`."""

    def __init__(
        self,
        catalog: Roots,
        documents: Mapping[str, Roots],
        *,
        clock: HybridClock,
        now_ms: Callable[[], int],
        answered: MutableMapping[str, Hashable],
    ) -> None:
        """``answered`` remembers at which version of a closed document nothing in it was late."""
        self._catalog = catalog
        self._documents = documents
        self._clock = clock
        self._now_ms = now_ms
        self._answered = answered

    def periods(self) -> MeasuredPeriods:
        """The periods that have metrics, and which of them are folded, as the catalog notes it."""
        return periods.read_measured(self._catalog.entries(periods.MEASURED))

    def note_unnoted(self) -> list[str]:
        """Note the open periods that hold something and that nobody has noted: a page has written there, or a program
        from before periods were noted. Returns them, sorted."""
        known = self.periods().periods
        found = [period for period, one in self._documents.items() if not is_year(period) and period not in known]
        unnoted = sorted(period for period in found if _holds_something(self._documents[period]))
        for period in unnoted:
            periods.note_measured(self._catalog, period)
        return unnoted

    def due_to_close(self, grace_days: int | None) -> list[str]:
        """The periods that ended over ``grace_days`` whole days ago and are not folded yet, oldest first."""
        return periods.due_to_close(self._catalog, self._now_ms(), grace_days)

    def close(self, period: str, *, width_s: int = 86_400) -> int:
        """Close a period, fold it into its year and note that; return how many entries the fold has.

        See :func:`retention.close`. Raises :class:`InvalidValue` when one of the two documents is not open here,
        :class:`InvalidName`, :class:`SchemaTooNew`, :class:`PeriodClosed`."""
        document, year = self._open(period), self._open(year_of(period))
        closed = self._clock.tick(self._now_ms())
        count = retention.close(document, period, year, width_s=width_s, closed=closed)
        periods.note_folded(self._catalog, period, closed)
        return count

    def late(self) -> list[str]:
        """The folded periods into which something came that is not answered yet, as far as they are open, sorted."""
        found = []
        for period, year in self._folded().items():
            document = self._documents.get(period)
            if document is None or self._answered.get(period) == document.version:
                continue
            if retention.late_answers(document, period, year):
                found.append(period)
            else:
                self._answered[period] = document.version
        return sorted(found)

    def answer_late(self) -> int:
        """Answer all of that, and return how many answers are new. Raises :class:`SchemaTooNew`."""
        folded = self._folded()
        return sum(retention.answer_late(self._documents[period], period, folded[period]) for period in self.late())

    def due_to_retire(self, keep_days: int | None) -> list[str]:
        """The folded periods whose own documents have been kept for ``keep_days`` whole days, sorted.

        Only of such whose fold is here as a whole."""
        now_ms = self._now_ms()
        return sorted(
            period
            for name, year in self._documents.items()
            if name in self.periods().years
            for period in retention.due_to_retire(year, now_ms, keep_days)
            if period in FoldsView(year).notes
        )

    def _folded(self) -> dict[str, Roots]:
        """By folded period the document of its year, where that is open."""
        years = {period: year_of(period) for period in self.periods().folded}
        return {period: self._documents[year] for period, year in years.items() if year in self._documents}

    def _open(self, period: str) -> Roots:
        found = self._documents.get(period)
        if found is None:
            raise InvalidValue(f"the metrics of {period} are not open in this edit; name the period when you begin it")
        return found


def _holds_something(document: Roots) -> bool:
    return any(True for root in (GAUGES, COUNTERS, SAMPLES, HISTOGRAMS, REGISTERS) for _ in document.keys(root))
