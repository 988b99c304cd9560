"""Which documents of metrics an edit or a look needs open, and which of them are followed."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crdt_sync.documents.metrics.alarms import NO_FORKS, SLOTS, ForksView
from crdt_sync.documents.metrics.periods import MEASURED, MeasuredPeriods, read_measured, year_of
from crdt_sync.documents.names import day_of, metrics_document, period_of, period_span_ms
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import META
from crdt_sync.documents.stock.coverage import CLOSED
from crdt_sync.errors import PeriodClosed
from crdt_sync.peer.local_document import LocalDocument
from crdt_sync.peer.shelf import Shelf
from crdt_sync.replica import Replica
from crdt_sync.updates.forks import ForkIndex, Head
from crdt_sync.values import ClientId

_EARLY_MS = 2 * 86_400_000
"""So long into a period a batch may reach back into the one before, although nobody has written there yet."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Documents of metrics beside that of an edit's own period."""

    documents: Mapping[str, LocalDocument]
    """By period, years among them."""
    only: Collection[str] | None = None
    """The periods that a look was limited to."""


NOTHING_MEASURED: Final = Measured({})


class DroppedMetrics:
    """Stands for the metrics of a period that are past their time: empty, closed, and in no file. What was counted
    there is in the fold of the year, and the movements of that period can be edited all the same."""

    client_id: ClientId = 0
    version: Hashable = 0

    def get(self, root: str, key: str) -> Value | None:
        return 0 if (root, key) == (META, CLOSED) else None

    def entries(self, root: str) -> Mapping[str, Value]:
        return {}

    def keys(self, root: str) -> Iterable[str]:
        return ()

    def put(self, root: str, key: str, value: Value) -> None:
        raise PeriodClosed("the metrics of this period were dropped; write into the current one")


class SlotForks:
    """The keys of a metrics document that were written concurrently, found when somebody asks: to follow them all the
    time would cost some 400 bytes for each chunk."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._index: ForkIndex | None = None

    def forked(self, root: str) -> Mapping[str, Sequence[Head]]:
        """All keys of a root that have several heads, by rising key."""
        if self._index is None:
            self._index = ForkIndex.of_state(SLOTS, self._replica.snapshot())
        return self._index.forked(root)


def forks_of(metrics: LocalDocument | None) -> ForksView:
    """Of the metrics of an edit's own period, which may be gone."""
    return NO_FORKS if metrics is None else SlotForks(metrics.replica)


def measured(catalog: LocalDocument) -> MeasuredPeriods:
    """The periods that have metrics, as far as this peer knows."""
    return read_measured(catalog.replica.entries(MEASURED))


async def open_for_edit(
    shelf: Shelf, catalog: LocalDocument, period: str, also: Iterable[str], now_ms: int
) -> Measured:
    """The documents of ``also``, of the period before, and all that are open already.

    Raises :class:`StoreError` and :class:`InvalidName`."""
    known = measured(catalog)
    before = _period_before(period)
    wanted = set(also)
    is_early = period_span_ms(period)[0] <= now_ms < period_span_ms(period)[0] + _EARLY_MS
    if not shelf.has_ended(metrics_document(before)) and (is_early or before in known.unfolded):
        wanted.add(before)
    await _open(shelf, wanted - {period})
    return Measured(_opened(shelf, {*known.periods, *known.years, *wanted} - {period}))


async def open_for_look(shelf: Shelf, catalog: LocalDocument, period: str, only: Collection[str] | None) -> Measured:
    """All documents that metrics are read from: of periods that are not folded, of years, and those of folded periods
    that are in the file. With ``only``, of these periods and their years.

    Raises :class:`StoreError` and :class:`InvalidName`."""
    known = measured(catalog)
    years = known.years if only is None else {year_of(one) for one in only} & known.years
    present = await shelf.names()
    chosen = {
        one for one in known.periods if (only is None or one in only) and not shelf.has_ended(metrics_document(one))
    }
    needed = {one for one in chosen if one not in known.folded or metrics_document(one) in present}
    await _open(shelf, {*needed, *years} - {period})
    return Measured(_opened(shelf, {*needed, *years} - {period}), only)


async def _open(shelf: Shelf, periods: Iterable[str]) -> None:
    """Open what is there to be opened: a period past its time has been dropped."""
    for period in periods:
        if not shelf.has_ended(metrics_document(period)):
            await shelf.open(metrics_document(period))


def _opened(shelf: Shelf, periods: Iterable[str]) -> dict[str, LocalDocument]:
    found = {period: shelf.get(metrics_document(period)) for period in periods}
    return {period: document for period, document in found.items() if document is not None}


def _period_before(period: str) -> str:
    end_ms = period_span_ms(period)[0] - 1
    return day_of(end_ms) if len(period) > len("2026-11") else period_of(end_ms)
