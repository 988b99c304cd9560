"""What is late in a closed period: found again at each look, and read again only when something came."""

from __future__ import annotations

from collections.abc import Iterable

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.stock.coverage import Coverage
from crdt_sync.documents.stock.warm_stock import WarmStock
from tests.unit.documents.replicas import NOW_MS, DocRoots, shop


class Watched(DocRoots):
    """Counts how often its keys are read."""

    reads = 0

    def keys(self, root: str) -> Iterable[str]:
        self.reads += root == "mv"
        return super().keys(root)


def test_a_closed_document_is_looked_through_again_only_when_something_came_to_it() -> None:
    till, warm, closed = shop(), WarmStock(), Watched()
    closed.put("mv", "abc.0", ["rcv", "shirt", "A", 3, "web", 1])
    closed.put("meta", "closed", 5)
    closed.put("meta", "covers", Coverage(["abc.0"]).encode())

    def late() -> list[str]:
        look = InventoryDocument(
            till.catalog,
            till.period,
            till.movements,
            {"2026-10": closed},
            rid=till.rid,
            clock=till.clock,
            now_ms=lambda: NOW_MS,
            warm=warm,
        )
        return [one.mid for one in look.books.late()]

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
