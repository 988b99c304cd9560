"""The movements of an edit: written one by one under ids of their own, and read across periods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

from crdt_sync.documents import keys
from crdt_sync.documents.catalog.registers import read_periods
from crdt_sync.documents.clock import HybridClock, is_ahead
from crdt_sync.documents.keys import check_name
from crdt_sync.documents.names import check_period
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import META, MOVEMENTS, PERIODS, Fault, check_writable
from crdt_sync.documents.stock import movements
from crdt_sync.documents.stock.books import Books
from crdt_sync.documents.stock.caps import cap_faults
from crdt_sync.documents.stock.coverage import CLOSED, COVERS, HOME, coverage_faults
from crdt_sync.documents.stock.folds import Folds, read_folds
from crdt_sync.documents.stock.movements import Movement
from crdt_sync.documents.stock.originals import change_faults, entries_of, entry_of
from crdt_sync.documents.stock.stock_index import StockIndex
from crdt_sync.documents.stock.warm_stock import WarmStock, counting, is_counting
from crdt_sync.errors import AlreadyExists, InvalidName, PeriodClosed, PeriodsMissing
from crdt_sync.limits import DEFAULT_LIMITS, Limits

REF_BYTES_MAX = 200


class MovementLog(ABC):
    """The log part of an :class:`~crdt_sync.documents.inventory.InventoryDocument`."""

    def __init__(  # noqa: PLR0913  an edit's circumstances, one by one
        self,
        catalog: Roots,
        period: str,
        movements: Roots,
        history: Mapping[str, RootsView],
        *,
        rid: str,
        clock: HybridClock,
        now_ms: Callable[[], int],
        warm: WarmStock | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._catalog = catalog
        self._period = check_period(period)
        self._movements = movements
        self._documents: dict[str, RootsView] = dict(sorted({**history, period: movements}.items()))
        self._rid = check_name("replica", rid)
        self._clock = clock
        self._now_ms = now_ms
        self._next_sequence: int | None = None
        self._writable: set[int] = set()
        self._noted = False
        self._warm = warm or WarmStock()
        self._limits = limits
        self._books: Books | None = None

    @abstractmethod
    def _known_product(self, sku: str) -> str: ...

    @abstractmethod
    def _known_location(self, name: str) -> str: ...

    @property
    def books(self) -> Books:
        """What is done to periods as a whole: close, fold, see to what came late."""
        if self._books is None:
            self._books = Books(
                self._catalog,
                self._period,
                self._documents,
                rid=self._rid,
                folds=self._folds,
                noted=self._known_periods,
                close=self._close,
                move_in=self._move_in,
                uncovered=self._warm.uncovered,
            )
        return self._books

    def find(self, mid: str) -> Movement | None:
        """One movement by its id, without a full read."""
        for period, document in self._documents.items():
            movement = movements.read_movement(period, mid, entry_of(document, mid))
            if movement is not None:
                return movement
        return self._carried(mid)

    def movements(self, sku: str | None = None, *, at: str | None = None) -> Iterator[Movement]:
        """The readable movements, of one product or location if named, in the one order that all peers agree on.

        Of the documents that are open here: of folded periods, too, if they were asked for by name."""
        wanted = [
            movement
            for movement in self._all_movements()
            if (sku is None or movement.sku == keys.nfc(sku)) and (at is None or movement.location == keys.nfc(at))
        ]
        return iter(sorted(wanted, key=lambda movement: (movement.stamp, movement.mid, movement.period)))

    def refs(self) -> set[str]:
        """The references that callers gave, so that a restarted program can skip what it recorded already. Those of
        folded periods are forgotten, but for movements that are carried on."""
        everything = *self._all_movements(), *self._counting()
        return {m.ref for m in everything if m.ref is not None and m.kind not in movements.REFERRING}

    def in_transit(self) -> list[Movement]:
        """Shipments that nobody has booked in yet."""
        arrived = {movement.ref for movement in self._of_kind(movements.ARRIVE)}
        return [shipment for shipment in self._of_kind(movements.SHIP) if shipment.mid not in arrived]

    def _record(
        self, kind: str, sku: str, at: str, quantity: int, ref: str | None, ext: Mapping[str, Value] | None = None
    ) -> str:
        product, location = self._known_product(sku), self._known_location(at)
        reference = None if ref is None else _check_ref(ref)
        return self._append(kind, product, location, quantity, reference, ext or {})

    def _append(
        self, kind: str, product: str, location: str, quantity: int, ref: str | None, ext: Mapping[str, Value]
    ) -> str:
        self._check_noted()
        stamp = self._clock.tick(self._now_ms())
        mid = keys.movement_id(self._movements.client_id, self._take_sequence())
        layout = Movement(self._period, mid, kind, product, location, quantity, self._rid, stamp, ref, ext).layout()
        self._put(mid, layout)
        return mid

    def _check_noted(self) -> None:
        self._check_writable(self._movements)
        # A newcomer learns from the catalog which movement documents there are; equal concurrent notes are harmless.
        if not self._noted:
            self._noted = self._catalog.get(PERIODS, self._period) is not None
        if not self._noted:
            self._check_writable(self._catalog)

    def _put(self, mid: str, layout: Value) -> None:
        # Other programs may have written under our client id, and what is written once nobody may change.
        if entry_of(self._movements, mid) is not None:
            raise AlreadyExists(f"movement {mid!r} is in the document already")
        if not self._noted:
            self._catalog.put(PERIODS, self._period, 1)
            self._noted = True
        self._warm.put(self._movements, self._period, mid, layout)

    def _move_in(self, mid: str, layout: Value, home: str) -> bool:
        """Write a late movement of the period ``home`` into the period of this edit, if that is a later one."""
        if home >= self._period:
            return False
        try:
            self._check_noted()
        except PeriodClosed:
            return False
        self._movements.put(HOME, mid, home)
        self._put(mid, layout)
        return True

    def _take_sequence(self) -> int:
        # Searched once: from there on nobody but this edit writes under our client id.
        if self._next_sequence is None:
            self._next_sequence = movements.next_sequence(self._movements, 0)
        sequence = self._next_sequence
        self._next_sequence += 1
        return sequence

    def _check_writable(self, document: Roots) -> None:
        if id(document) not in self._writable:
            check_writable(document)
            self._writable.add(id(document))

    def _check_whole(self, since: str = "") -> None:
        """Raise :class:`PeriodsMissing` unless all periods that the catalog notes and that no fold counts, from
        ``since`` on, are here.

        Without one of them the balance of rights could leave out what this replica itself has sold."""
        here = {*self._documents, *(self._folds().notes.keys() - self._warm.unreadable)}
        missing = [period for period in self._known_periods() if period >= since and period not in here]
        if missing:
            raise PeriodsMissing(missing)

    def _known_periods(self) -> list[str]:
        noted, _ = read_periods(self._catalog.entries(PERIODS))
        return [period for period in noted if not self._warm.is_dropped(period)]

    def _all_movements(self) -> Iterator[Movement]:
        """The movements of all documents here. Of one id the earlier period's, as in the sum."""
        found: set[str] = set()
        for period, document in self._documents.items():
            for movement in movements.read_movements(period, entries_of(document)):
                if movement.mid not in found:
                    found.add(movement.mid)
                    yield movement

    def _counting(self) -> Iterator[Movement]:
        """The movements that count by themselves and not through a fold: those that the folds carry on, and those of
        open periods."""
        folds = self._folds()
        found = set(folds.carried)
        yield from filter(None, map(self._carried, folds.carried))
        for period, document in self._documents.items():
            for movement in movements.read_movements(period, counting(folds, period, document)):
                if movement.mid not in found:
                    found.add(movement.mid)
                    yield movement

    def _of_kind(self, kind: str) -> list[Movement]:
        """Of those the ones of one kind, in the one order that all peers agree on. Reads no document again."""
        index, carried = self._stock_index(), self._folds().carried
        found = [
            movements.read_movement(carried[mid].period if mid in carried else self._period_of(mid, row), mid, row)
            for mid, row in index.rows_of(kind).items()
        ]
        return sorted(filter(None, found), key=lambda movement: (movement.stamp, movement.mid))

    def _period_of(self, mid: str, row: Value) -> str:
        """Of several documents that have an entry under one id, the one whose entry the index took."""
        first, *others = self._warm.periods_of(mid)
        if not others:
            return first
        return next(period for period in (first, *others) if entry_of(self._documents[period], mid) == row)

    def _find_counting(self, mid: str) -> Movement | None:
        """One movement that counts by itself."""
        folds = self._folds()
        for period, document in self._documents.items():
            movement = movements.read_movement(period, mid, entry_of(document, mid))
            if movement is not None and is_counting(folds, period, document, mid):
                return movement
        return self._carried(mid)

    def _carried(self, mid: str) -> Movement | None:
        carried = self._folds().carried.get(mid)
        return None if carried is None else movements.read_movement(carried.period, mid, carried.row)

    def _folds(self) -> Folds:
        folds = self._warm.folds(self._catalog, self._documents)
        if not folds.is_whole:
            # Later folds have overwritten what this one said; the document that it waits for is what is missing.
            late = [period for period in read_folds(self._catalog).notes if period not in folds.notes]
            raise PeriodsMissing(late[:1])
        return folds

    def _period_faults(self) -> list[Fault]:
        """What is wrong with folds, which documents hold more than they should, and which movements were changed."""
        faults = [*read_folds(self._catalog).faults]
        for period, document in self._documents.items():
            faults += [*coverage_faults(document), *cap_faults(period, document, self._limits)]
            faults += change_faults(document)
        return faults

    def _skewed(self) -> list[Fault]:
        now_ms = self._now_ms()
        return [
            Fault(MOVEMENTS, m.mid, "is stamped by a clock that runs more than 60 s ahead")
            for m in self._all_movements()
            if is_ahead(m.stamp, now_ms)
        ]

    def _close(self, covers: Value) -> None:
        """Let the period of this edit take nothing more."""
        if self._movements.get(META, CLOSED) is None:
            self._check_writable(self._movements)
            self._movements.put(META, CLOSED, self._clock.tick(self._now_ms()))
        self._movements.put(META, COVERS, covers)

    def _stock_index(self) -> StockIndex:
        """The index over everything that is here now, staged writes included."""
        self._folds()
        return self._warm.index(self._catalog, self._documents)


def _check_ref(ref: str) -> str:
    checked = check_name("reference", ref)
    if len(checked.encode()) > REF_BYTES_MAX:
        raise InvalidName("reference", checked, f"at most {REF_BYTES_MAX} bytes")
    return checked
