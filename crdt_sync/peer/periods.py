"""Which periods of stock a peer opens: those that no fold counts, and those in which its own may have come late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from crdt_sync.documents.catalog.registers import read_periods
from crdt_sync.documents.names import CATALOG, MovementsName, movements_document, parse_document
from crdt_sync.documents.schema import META, PERIODS
from crdt_sync.documents.stock.caps import current_period
from crdt_sync.documents.stock.coverage import CLOSED
from crdt_sync.documents.stock.folds import read_notes
from crdt_sync.errors import InvalidName, WrongKind
from crdt_sync.limits import Limits
from crdt_sync.peer.local_document import LocalDocument
from crdt_sync.peer.shelf import Shelf

NOTHING_LATE: Final = "nothing late"
"""Mark of a closed document's log: nothing of this peer is late in it, and so never will be."""


async def period_to_write(shelf: Shelf, catalog: LocalDocument, month: str, now_ms: int, limits: Limits) -> str:
    """Where a movement belongs that is written now: see :func:`current_period`.

    Raises :class:`StoreError` and :class:`DocumentRetired`."""
    document = await shelf.open(movements_document(month))
    if not _is_closed(document) and not _is_full(document, limits):
        return month
    closed = await _closed_since(shelf, catalog, month)
    return current_period(now_ms, month.__eq__, closed)


async def _closed_since(shelf: Shelf, catalog: LocalDocument, month: str) -> set[str]:
    """The closed periods from a month on, as far as they are folded or in this peer's file."""
    folded, _ = read_notes(catalog.replica)
    noted, _ = read_periods(catalog.replica.entries(PERIODS))
    closed = {one for one in folded if one >= month}
    here = [one for one in noted if one >= month and one not in closed and shelf.has(movements_document(one))]
    return closed | {one for one in here if _is_closed(await shelf.open(movements_document(one)))}


async def open_periods(
    shelf: Shelf, catalog: LocalDocument, period: str, others: Iterable[str]
) -> Mapping[str, LocalDocument]:
    """Open this period, ``others``, and what rights and holds depend on, as far as it is in this peer's file; returns
    them, sorted. Raises :class:`StoreError`, :class:`InvalidName` and :class:`DocumentRetired`."""
    folded, _ = read_notes(catalog.replica)
    noted, _ = read_periods(catalog.replica.entries(PERIODS))
    asked, found = {period, *others}, dict[str, LocalDocument]()
    for one in sorted({*asked, *noted}):
        name = movements_document(one)
        # A folded document may be open all the same, to be synced; to look through it at each edit is worth nothing.
        is_due = shelf.has(name) and (one not in folded or not shelf.is_marked(name, NOTHING_LATE))
        if one in asked or is_due:
            found[one] = await shelf.open(name)
    return found


def may_be_late(shelf: Shelf, periods: Iterable[str]) -> list[str]:
    """Of these periods those in which something of this peer's own may be late."""
    return [one for one in periods if not shelf.is_marked(movements_document(one), NOTHING_LATE)]


async def note_nothing_late(shelf: Shelf, periods: Iterable[str]) -> None:
    """Remember, over restarts too, that these closed documents need not be opened for what they hold of this peer."""
    for period in periods:
        name = movements_document(period)
        document = shelf.get(name)
        if document is not None and not shelf.is_marked(name, NOTHING_LATE):
            await document.note(NOTHING_LATE, 1)
            shelf.mark(name, NOTHING_LATE)


async def unfolded(shelf: Shelf) -> list[str]:
    """The noted periods that no fold counts, sorted."""
    catalog = await shelf.open(CATALOG)
    folded, _ = read_notes(catalog.replica)
    noted, _ = read_periods(catalog.replica.entries(PERIODS))
    return [one for one in noted if one not in folded and not shelf.has_ended(movements_document(one))]


def unreadable_periods(shelf: Shelf) -> list[str]:
    """The periods whose documents are in this peer's file and damaged."""
    periods = []
    for name in shelf.damaged:
        # A peer may keep other documents in step, too.
        with suppress(WrongKind, InvalidName):
            if isinstance(parsed := parse_document(name), MovementsName):
                periods.append(parsed.period)
    return periods


def _is_closed(document: LocalDocument) -> bool:
    return document.replica.get(META, CLOSED) is not None


def _is_full(document: LocalDocument, limits: Limits) -> bool:
    clocks = document.replica.ledger.clocks
    # Nearly every element is a movement, and to count those alone would read the document at each edit.
    return len(clocks) >= limits.movement_clients_max or sum(clocks.values()) >= limits.movements_max
