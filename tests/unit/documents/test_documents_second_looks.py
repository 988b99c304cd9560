"""What a second look at the same movements reads again: nothing, unless something came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Value
from crdt_sync.documents.stock.coverage import Coverage
from crdt_sync.documents.stock.warm_stock import WarmStock
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica, shop


class Watched(DocRoots):
    """Counts how often its movements are read as a whole."""

    reads = 0

    def keys(self, root: str) -> Iterable[str]:
        self.reads += root == "mv"
        return super().keys(root)

    def entries(self, root: str) -> Mapping[str, Value]:
        self.reads += root == "mv"
        return super().entries(root)


def look(till: Replica, document: DocRoots, warm: WarmStock) -> InventoryDocument:
    return InventoryDocument(
        till.catalog,
        till.period,
        till.movements,
        {"2026-10": document},
        rid=till.rid,
        clock=till.clock,
        now_ms=lambda: NOW_MS,
        warm=warm,
    )


def test_a_closed_document_is_looked_through_again_only_when_something_came_to_it() -> None:
    till, warm, closed = shop(), WarmStock(), Watched()
    closed.put("mv", "abc.0", ["rcv", "shirt", "A", 3, "web", 1])
    closed.put("meta", "closed", 5)
    closed.put("meta", "covers", Coverage(["abc.0"]).encode())

    def late() -> list[str]:
        return [one.mid for one in look(till, closed, warm).books.late()]

    assert late() == []
    before = closed.reads
    assert late() == []
    assert closed.reads == before
    closed.put("mv", "abc.1", ["rcv", "shirt", "A", 4, "web", 2])
    assert late() == late() == ["abc.1"]
    # Once it has moved on it is late no longer, and that needs no other look at the closed document.
    before = closed.reads
    till.movements.put("home", "abc.1", "2026-10")
    till.movements.put("mv", "abc.1", ["rcv", "shirt", "A", 4, "web", 2])
    assert late() == []
    assert closed.reads == before


def test_holds_back_orders_counts_and_shipments_are_listed_without_reading_the_movements_again() -> None:
    till, warm, earlier = shop(), WarmStock(), Watched()
    rows: dict[str, list[Value]] = {
        "abc.0": ["hold", "shirt", "A", 1, "web", 9],
        "abc.1": ["hold", "shirt", "A", 2, "web", 3],
        "abc.2": ["backorder", "shirt", "A", 1, "web", 4],
        "abc.3": ["backorder", "shirt", "A", 1, "web", 5],
        "abc.4": ["sale", "shirt", "A", 1, "web", 6, "abc.3"],
        "abc.5": ["ship", "shirt", "A", 1, "web", 7, None, {"to": "B"}],
        "abc.6": ["ship", "shirt", "A", 1, "web", 8, None, {"to": "B"}],
        "abc.7": ["recv", "shirt", "B", 1, "web", 8, "abc.5"],
        "abc.8": ["cnt", "shirt", "A", 1, "web", 10, None, {"counted": 1, "prev": None}],
        "abc.9": ["cnt", "shirt", "A", 2, "web", 11, None, {"counted": 1, "prev": None}],
    }
    for mid, row in rows.items():
        earlier.put("mv", mid, row)
    with till.edit() as docs:
        docs.inventory.hold("shirt", 1, at="A")
    inventory = look(till, earlier, warm)
    inventory.stock_table()
    before = earlier.reads
    assert [hold.movement.period for hold in inventory.holds()] == ["2026-10", "2026-10", till.period]
    assert [hold.movement.mid for hold in inventory.holds()][:2] == ["abc.1", "abc.0"]
    assert [movement.mid for movement in inventory.back_orders()] == ["abc.2"]
    assert [movement.mid for movement in inventory.in_transit()] == ["abc.6"]
    assert [movement.mid for movement in inventory.idle_counts()] == ["abc.8"]
    assert earlier.reads == before
