"""Looks for what merges have broken in the stock: each finding with the movements that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from crdt_sync.documents.catalog.inconsistencies import (
    CHANGED,
    COUNTS,
    LATE,
    ORPHAN,
    OVERDRAWN,
    OVERSOLD,
    Inconsistency,
)
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.stock.books import Late
from crdt_sync.documents.stock.escrow import Policy
from crdt_sync.documents.stock.movements import Movement, read_movement
from crdt_sync.documents.stock.originals import changed_movements, entry_of
from crdt_sync.documents.stock.stock_index import StockIndex


def broken_cells(
    index: StockIndex, policy: Callable[[str, str], Policy], is_known: Callable[[str, str], bool]
) -> Iterator[Inconsistency]:
    """What was oversold, who is overdrawn, and stock whose product or location the catalog never had."""
    for cell in index.cells():
        for sold in index.oversold(cell):
            yield Inconsistency(OVERSOLD, *cell, sold.mid, sold.balance, (sold.mid,))
        if (units := index.stock(cell)) and not is_known(*cell):
            yield Inconsistency(ORPHAN, *cell, "", units, ())
        if policy(*cell) is not Policy.OFF:
            for rid, short in index.rights(cell).overdrawn.items():
                yield Inconsistency(OVERDRAWN, *cell, rid, short, ())


def idle_counts(index: StockIndex, find: Callable[[str], Movement | None]) -> Iterator[Inconsistency]:
    """Stock-takes that do not count, because a later one was made without seeing them."""
    for mid in index.idle_counts():
        if (movement := find(mid)) is not None:
            yield Inconsistency(COUNTS, movement.sku, movement.location, mid, movement.quantity, (mid,))


def changed(documents: Mapping[str, RootsView]) -> Iterator[Inconsistency]:
    """Movements that somebody has changed after the fact, as the relay has noted it."""
    found: set[str] = set()
    for period, document in documents.items():
        for mid in changed_movements(document):
            movement = read_movement(period, mid, entry_of(document, mid))
            if movement is not None and mid not in found:
                found.add(mid)
                yield Inconsistency(CHANGED, movement.sku, movement.location, mid, movement.quantity, (mid,))


def late(found: Iterable[Late]) -> Iterator[Inconsistency]:
    """Movements that came into a period after it was closed, and have not moved on into another one yet."""
    for mid, row, period in found:
        if (movement := read_movement(period, mid, row)) is not None:
            yield Inconsistency(LATE, movement.sku, movement.location, mid, movement.quantity, (mid,))
