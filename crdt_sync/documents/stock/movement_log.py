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
from crdt_sync.documents.schema import MOVEMENTS, PERIODS, Fault, check_writable
from crdt_sync.documents.stock import movements
from crdt_sync.documents.stock.movements import Movement
from crdt_sync.documents.stock.stock_index import StockIndex
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.errors import InvalidName, PeriodsMissing

REF_BYTES_MAX = 200


class MovementLog(ABC):
    """The log part of an :class:`~crdt_sync.documents.inventory.InventoryDocument`."""

    def __init__(
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

    @abstractmethod
    def _known_product(self, sku: str) -> str: ...

    @abstractmethod
    def _known_location(self, name: str) -> str: ...

    def find(self, mid: str) -> Movement | None:
        """One movement by its id, without a full read."""
        for period, document in self._documents.items():
            movement = movements.read_movement(period, mid, document.get(MOVEMENTS, mid))
            if movement is not None:
                return movement
        return None

    def movements(self, sku: str | None = None, *, at: str | None = None) -> Iterator[Movement]:
        """The readable movements, of one product or location if named, in the one order that all peers agree on."""
        wanted = [
            movement
            for movement in self._all_movements()
            if (sku is None or movement.sku == keys.nfc(sku)) and (at is None or movement.location == keys.nfc(at))
        ]
        return iter(sorted(wanted, key=lambda movement: (movement.stamp, movement.mid, movement.period)))

    def refs(self) -> set[str]:
        """The references that callers gave, so that a restarted program can skip what it recorded already."""
        return {m.ref for m in self._all_movements() if m.ref is not None and m.kind not in movements.REFERRING}

    def in_transit(self) -> list[Movement]:
        """Shipments that nobody has booked in yet."""
        everything = list(self._all_movements())
        arrived = {movement.ref for movement in everything if movement.kind == movements.ARRIVE}
        return [m for m in everything if m.kind == movements.SHIP and m.mid not in arrived]

    def _record(
        self, kind: str, sku: str, at: str, quantity: int, ref: str | None, ext: Mapping[str, Value] | None = None
    ) -> str:
        product, location = self._known_product(sku), self._known_location(at)
        reference = None if ref is None else _check_ref(ref)
        return self._append(kind, product, location, quantity, reference, ext or {})

    def _append(
        self, kind: str, product: str, location: str, quantity: int, ref: str | None, ext: Mapping[str, Value]
    ) -> str:
        self._check_writable(self._movements)
        # A newcomer learns from the catalog which movement documents there are; equal concurrent notes are harmless.
        if not self._noted:
            self._noted = self._catalog.get(PERIODS, self._period) is not None
        if not self._noted:
            self._check_writable(self._catalog)
        stamp = self._clock.tick(self._now_ms())
        mid = keys.movement_id(self._movements.client_id, self._take_sequence())
        layout = Movement(self._period, mid, kind, product, location, quantity, self._rid, stamp, ref, ext).layout()
        if not self._noted:
            self._catalog.put(PERIODS, self._period, 1)
            self._noted = True
        self._warm.put(self._movements, self._period, mid, layout)
        return mid

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
        """Raise :class:`PeriodsMissing` unless all periods that the catalog notes, from ``since`` on, are here.

        Without one of them the balance of rights could leave out what this replica itself has sold."""
        missing = [period for period in self._known_periods() if period >= since and period not in self._documents]
        if missing:
            raise PeriodsMissing(missing)

    def _known_periods(self) -> list[str]:
        return read_periods(self._catalog.entries(PERIODS))[0]

    def _all_movements(self) -> Iterator[Movement]:
        for period, document in self._documents.items():
            yield from movements.read_movements(period, document.entries(MOVEMENTS))

    def _skewed(self) -> list[Fault]:
        now_ms = self._now_ms()
        return [
            Fault(MOVEMENTS, m.mid, "is stamped by a clock that runs more than 60 s ahead")
            for m in self._all_movements()
            if is_ahead(m.stamp, now_ms)
        ]

    def _stock_index(self) -> StockIndex:
        """The index over everything that is here now, staged writes included."""
        return self._warm.index(self._documents)


def _check_ref(ref: str) -> str:
    checked = check_name("reference", ref)
    if len(checked.encode()) > REF_BYTES_MAX:
        raise InvalidName("reference", checked, f"at most {REF_BYTES_MAX} bytes")
    return checked
