"""Movements that make up for others. None is ever deleted: goods that moved move back, under ids of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.schema import whole
from crdt_sync.documents.stock import movements
from crdt_sync.documents.stock.movements import (
    ADJUST,
    ARRIVE,
    BACKORDER,
    CONFIRM,
    COUNT,
    EXPIRE,
    GIVE,
    HOLD,
    RECEIVE,
    RELEASE,
    SALE,
    SHIP,
    Movement,
)
from crdt_sync.documents.stock.stock import Short
from crdt_sync.errors import (
    CannotUndo,
    DocumentError,
    InsufficientRights,
    InvalidName,
    PeriodClosed,
    PeriodsMissing,
    SchemaTooNew,
)
from crdt_sync.peer.deeds import Deed

PASSING: Final = (InsufficientRights, PeriodsMissing, PeriodClosed, SchemaTooNew)
"""What stands against an undo now, and may not for long."""

_FOR_GOOD: Final[Mapping[str, str]] = {
    GIVE: "rights that were handed over are somebody else's now",
    COUNT: "a stock-take says what was there; count again",
    BACKORDER: "a back-order stands until a sale serves it",
    SHIP: "the goods are under way; book them in where they arrive, and send them back",
    ARRIVE: "a shipment that was booked in stays so; send the goods back",
}
_UNKNOWN: Final = "this version does not know how to take back a movement of this kind"
_KNOWN: Final = frozenset({RECEIVE, SALE, ADJUST, HOLD, CONFIRM, RELEASE, EXPIRE})


class Compensated(NamedTuple):
    """What was staged."""

    mids: Sequence[str]
    stands_for: Mapping[str, Movement]
    """By the id of an adjustment the sale or receipt that it takes back, so that a redo makes a sale or receipt."""
    holds: Mapping[str, str]
    """By the id of a hold that had ended, the one that was made in its place."""


class Compensation:
    """Stages the movements that make up for those of one deed."""

    def __init__(self, inventory: InventoryDocument, deed: Deed) -> None:
        self._inventory = inventory
        self._originals = deed.stands_for
        self._movements = [write.read() for write in deed.movements]
        self._mids: list[str] = []
        self._stands_for: dict[str, Movement] = {}
        self._holds: dict[str, str] = {}

    def stage(self) -> Compensated:
        """All of them, or :class:`CannotUndo`. The last movement is taken back first."""
        known = [movement for movement in self._movements if movement is not None]
        arrivals = {movement.ref: movement for movement in known if movement.kind == ARRIVE}
        transfers = {m.mid: arrivals[m.mid] for m in known if m.kind == SHIP and m.mid in arrivals}
        done = {arrival.mid for arrival in transfers.values()}
        if reasons := self._reasons([m for m in known if m.mid not in done and m.mid not in transfers]):
            raise CannotUndo(reasons, is_final=True)
        for movement in reversed(known):
            try:
                if movement.mid in transfers:
                    self._send_back(movement, transfers[movement.mid])
                elif movement.mid not in done:
                    self._take_back(movement)
            except DocumentError as error:
                reason = f"{movement.kind} {movement.mid}: {error}"
                raise CannotUndo((reason,), is_final=not isinstance(error, PASSING)) from error
        return Compensated(self._mids, self._stands_for, self._holds)

    def _reasons(self, single: Sequence[Movement]) -> tuple[str, ...]:
        found = [(m, _FOR_GOOD.get(m.kind, _UNKNOWN)) for m in single if m.kind not in _KNOWN]
        found += [(m, "it served a back-order") for m in single if m.kind == SALE and self._served(m)]
        reasons = [f"{movement.kind} {movement.mid}: {reason}" for movement, reason in found]
        if None in self._movements:
            reasons.append(_UNKNOWN)
        return tuple(reasons)

    def _served(self, sale: Movement) -> bool:
        order = None if sale.ref is None else self._inventory.find(sale.ref)
        return order is not None and order.kind == BACKORDER

    def _send_back(self, shipment: Movement, arrival: Movement) -> None:
        self._mids += self._inventory.transfer(
            shipment.sku, shipment.quantity, source=arrival.location, to=shipment.location, ref=shipment.mid
        )

    def _take_back(self, movement: Movement) -> None:
        match movement.kind:
            case movements.RECEIVE:
                self._adjust(movement, -movement.quantity)
            case movements.SALE:
                self._adjust(movement, movement.quantity)
            case movements.ADJUST:
                self._redo_or_adjust(movement)
            case movements.HOLD:
                self._mids.append(self._inventory.release(self._holds.get(movement.mid, movement.mid)))
            case movements.CONFIRM:
                self._adjust(movement, movement.quantity)
                self._hold_again(movement)
            case _:
                self._hold_again(movement)

    def _redo_or_adjust(self, movement: Movement) -> None:
        original = self._originals.get(movement.mid)
        if original is None:
            self._mids.append(
                self._inventory.adjust(movement.sku, -movement.quantity, at=movement.location, ref=movement.mid)
            )
        elif original.kind == RECEIVE:
            self._mids.append(
                self._inventory.receive(movement.sku, original.quantity, at=movement.location, ref=movement.mid)
            )
        else:
            # A sale that was flagged is flagged again; no other becomes a back-order by being redone.
            short: Short = "allow" if original.ext.get("x") else "refuse"
            self._mids.append(
                self._inventory.sell(
                    movement.sku, original.quantity, at=movement.location, ref=movement.mid, short=short
                )
            )

    def _adjust(self, movement: Movement, delta: int) -> None:
        mid = self._inventory.adjust(movement.sku, delta, at=movement.location, ref=movement.mid)
        self._stands_for[mid] = movement
        self._mids.append(mid)

    def _hold_again(self, end: Movement) -> None:
        held = None if end.ref is None else self._inventory.find(self._holds.get(end.ref, end.ref))
        if held is None:
            raise InvalidName("hold", str(end.ref), "the id of a hold in this period or its history")
        mid = self._inventory.hold(
            held.sku, held.quantity, at=held.location, until_ms=whole(held.ext.get("until")), ref=end.mid
        )
        self._holds[held.mid] = mid
        self._mids.append(mid)
