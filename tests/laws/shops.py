"""Tills that share a stock under escrow, sync in any pattern and lose power, and a ledger kept beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.stock.movements import Cell
from crdt_sync.documents.stock.reservations import HoldState
from crdt_sync.documents.stock.stock_index import StockIndex
from crdt_sync.errors import InsufficientRights
from tests.unit.documents.replicas import DocRoots, Replica, shop

PLACES = ("A", "B")


def catalog_under_escrow(policy: str = "refuse") -> DocRoots:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.set_attribute("shirt", "escrow", policy)
    return replica.catalog


def view_of(till: Replica) -> StockIndex:
    return StockIndex().add(till.movements.entries("mv"))


def check_escrow(till: Replica) -> None:
    """I4: whatever a till has seen, nobody has less than no rights, and they never exceed the stock."""
    index = view_of(till)
    for cell in index.cells():
        rights = index.rights(cell)
        assert rights.overdrawn == {}, f"{till.rid} sees rights below zero: {rights}"
        assert rights.unassigned >= 0
        assert index.stock(cell) >= 0
        assert index.oversold(cell) == []
    assert index.faults == []


@dataclass
class Shops:
    """``ledger`` is kept beside the tills by plain addition, without looking at any document."""

    tills: list[Replica] = field(default_factory=list)
    ledger: Counter[Cell] = field(default_factory=Counter)
    shipped: list[str] = field(default_factory=list)
    booked: set[str] = field(default_factory=set)
    holds: list[tuple[int, str]] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0

    @classmethod
    def open(cls, tills: int, catalog: DocRoots | None = None) -> Shops:
        shared = catalog or catalog_under_escrow()
        return cls([Replica(f"till-{number}", catalog=shared) for number in range(tills)])

    def act(self, till: int, kind: str, place: str, quantity: int, other: int) -> None:
        """One act at one till, and its entry in the ledger if it was not refused."""
        elsewhere = PLACES[1 - PLACES.index(place)]
        try:
            with self.tills[till].edit() as docs:
                self._act(docs.inventory, till, kind, place, elsewhere, quantity, other)
        except InsufficientRights:
            self.refused += 1
        else:
            self.accepted += 1

    def _act(
        self, inventory: InventoryDocument, till: int, kind: str, place: str, elsewhere: str, quantity: int, other: int
    ) -> None:
        cell = "shirt", place
        match kind:
            case "receive":
                inventory.receive("shirt", quantity, at=place)
                self.ledger[cell] += quantity
            case "sell":
                inventory.sell("shirt", quantity, at=place)
                self.ledger[cell] -= quantity
            case "adjust":
                inventory.adjust("shirt", -quantity, at=place)
                self.ledger[cell] -= quantity
            case "give" if other != till:
                inventory.give("shirt", quantity, at=place, to=self.tills[other].rid)
            case "hold":
                self.holds.append((till, inventory.hold("shirt", quantity, at=place)))
                self.ledger[cell] -= quantity
            case "transfer":
                inventory.transfer("shirt", quantity, source=place, to=elsewhere)
                self.ledger[cell] -= quantity
                self.ledger["shirt", elsewhere] += quantity
            case "ship":
                recipient = self.tills[other].rid
                self.shipped.append(inventory.ship("shirt", quantity, source=place, to=elsewhere, recipient=recipient))
                self.ledger[cell] -= quantity

    def book_in(self, till: int, shipment: str) -> None:
        sent = self.tills[till].inventory.find(shipment)
        if sent is None or sent.destination is None:
            return
        with self.tills[till].edit() as docs:
            docs.inventory.arrive(shipment)
        if shipment not in self.booked:
            self.booked.add(shipment)
            self.ledger["shirt", sent.destination] += sent.quantity

    def end(self, till: int, hold: str, how: str) -> None:
        """Confirm or release a hold at any till; only its holder's is heard."""
        inventory = self.tills[till].inventory
        held = next((held for held in inventory.holds() if held.movement.mid == hold), None)
        if held is None or held.state is not HoldState.OPEN or held.movement.rid != self.tills[till].rid:
            return
        with self.tills[till].edit() as docs:
            (docs.inventory.confirm if how == "confirm" else docs.inventory.release)(hold)
        if how == "release":
            self.ledger["shirt", held.movement.location] += held.movement.quantity

    def pull(self, to: int, source: int) -> None:
        self.tills[to].movements.pull(self.tills[source].movements)

    def restart(self, till: int, *, latest: int) -> None:
        """The process dies and comes back from its disk: a new client id, the same name, a clock from ``latest``."""
        old = self.tills[till]
        disk = DocRoots(old.movements.doc.get_update())
        self.tills[till] = Replica(old.rid, clock=HybridClock(latest), catalog=old.catalog, movements=disk)

    def meet(self) -> None:
        for to in range(len(self.tills)):
            for source in range(len(self.tills)):
                self.pull(to, source)
        for to in range(len(self.tills)):
            self.pull(to, 0)
