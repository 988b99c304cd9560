"""The facades over the library's own replicas, through drafts, as a peer uses them."""

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.replica import Replica, Write
from tests.unit.documents.replicas import NOW_MS, PERIOD


class Till:
    def __init__(self, rid: str) -> None:
        self.rid, self.clock = rid, HybridClock()
        self.replicas = [Replica(), Replica(), Replica()]
        self.drafts = [Draft(replica) for replica in self.replicas]

    @property
    def inventory(self) -> InventoryDocument:
        catalog, movements, _ = self.drafts
        return InventoryDocument(catalog, PERIOD, movements, rid=self.rid, clock=self.clock, now_ms=lambda: NOW_MS)

    @property
    def metrics(self) -> MetricsDocument:
        return MetricsDocument(self.drafts[2], wid=self.rid, clock=self.clock, now_ms=lambda: NOW_MS)

    def finish_edit(self) -> None:
        for replica, draft in zip(self.replicas, self.drafts, strict=True):
            replica.write([Write(*write) for write in draft.end()])
        self.drafts = [Draft(replica) for replica in self.replicas]

    def pull(self, other: "Till") -> None:
        for mine, theirs in zip(self.replicas, other.replicas, strict=True):
            assert not mine.merge(theirs.since(mine.state)).gap


def test_two_tills_over_replicas_agree() -> None:
    one, two = Till("till-1"), Till("till-2")
    one.inventory.add_product("Söckchen 🧦", price=1250, tags=["a", 1.5, None])
    one.inventory.add_location("A")
    one.inventory.receive("Söckchen 🧦", 10, at="A", ref="delivery 1")
    one.finish_edit()
    two.pull(one)
    for till in (one, two):
        till.inventory.sell("Söckchen 🧦", 3, at="A")
        till.metrics.count("sales", "A", by=3)
        till.metrics.set_gauge("price", "Söckchen 🧦", 12.5)
        till.finish_edit()
    one.pull(two)
    two.pull(one)
    for till in (one, two):
        assert till.inventory.stock_table() == {("Söckchen 🧦", "A"): 4}
        assert till.inventory.product("Söckchen 🧦") == {"price": 1250, "tags": ["a", 1.5, None]}
        assert till.inventory.refs() == {"delivery 1"}
        assert till.metrics.counters() == {("sales", "A"): 6}
        assert till.metrics.gauge("price", "Söckchen 🧦") == 12.5
        assert till.inventory.faults() == till.metrics.faults() == []


def test_an_edit_that_is_given_up_leaves_the_replicas_as_they_were() -> None:
    till = Till("till-1")
    before = [replica.snapshot() for replica in till.replicas]
    till.inventory.add_product("shirt")
    till.metrics.count("sales", "A")
    for draft in till.drafts:
        draft.end()
    assert [replica.snapshot() for replica in till.replicas] == before
