"""Real pycrdt documents behind the facades' protocol, and edits over them as a peer makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pycrdt import Doc, Map

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.roots import Draft, Value

PERIOD = "2026-11"
NOW_MS = 1_795_000_000_000


class DocRoots:
    """One pycrdt document whose roots are all maps."""

    def __init__(self, *updates: bytes) -> None:
        self.doc: Doc[Map] = Doc()
        for update in updates:
            self.doc.apply_update(update)

    @property
    def client_id(self) -> int:
        return self.doc.client_id

    @property
    def version(self) -> bytes:
        return self.client_id.to_bytes(8) + self.doc.get_state()

    def root(self, name: str) -> Map:
        return self.doc.get(name, type=Map)

    def get(self, root: str, key: str) -> Value | None:
        return self.root(root).get(key)

    def entries(self, root: str) -> Mapping[str, Value]:
        entries: dict[str, Value] = json.loads(str(self.root(root)))
        return entries

    def keys(self, root: str) -> Iterable[str]:
        return list(self.root(root).keys())

    def put(self, root: str, key: str, value: Value) -> None:
        self.root(root)[key] = value

    def apply(self, draft: Draft) -> None:
        with self.doc.transaction():
            for root, key, value in draft.end():
                self.put(root, key, value)

    def pull(self, other: DocRoots) -> None:
        """Take what the other one has and we lack, as a sync does."""
        self.doc.apply_update(other.doc.get_update(self.doc.get_state()))


@dataclass
class Edit:
    inventory: InventoryDocument
    metrics: MetricsDocument


@dataclass
class Replica:
    """A peer's documents; an edit is applied as a whole or not at all."""

    rid: str = "till-1"
    now_ms: Callable[[], int] = lambda: NOW_MS
    clock: HybridClock = field(default_factory=HybridClock)
    catalog: DocRoots = field(default_factory=DocRoots)
    movements: DocRoots = field(default_factory=DocRoots)
    metrics: DocRoots = field(default_factory=DocRoots)
    history: dict[str, DocRoots] = field(default_factory=dict)
    period: str = PERIOD

    @contextmanager
    def edit(self) -> Iterator[Edit]:
        roots = self.catalog, self.movements, self.metrics
        drafts = catalog, movements, metrics = Draft(roots[0]), Draft(roots[1]), Draft(roots[2])
        inventory = InventoryDocument(
            catalog, self.period, movements, self.history, rid=self.rid, clock=self.clock, now_ms=self.now_ms
        )
        gauges = MetricsDocument(metrics, wid=self.rid, clock=self.clock, now_ms=self.now_ms)
        try:
            yield Edit(inventory, gauges)
        except BaseException:
            for draft in drafts:
                draft.end()
            raise
        for one, draft in zip(roots, drafts, strict=True):
            one.apply(draft)

    @property
    def inventory(self) -> InventoryDocument:
        return InventoryDocument(
            self.catalog, self.period, self.movements, self.history, rid=self.rid, clock=self.clock, now_ms=self.now_ms
        )

    def pull(self, other: Replica) -> None:
        self.catalog.pull(other.catalog)
        self.movements.pull(other.movements)
        self.metrics.pull(other.metrics)


def shop(
    rid: str = "till-1", *, products: tuple[str, ...] = ("shirt",), places: tuple[str, ...] = ("A", "B")
) -> Replica:
    """A replica whose catalog knows these products and locations."""
    replica = Replica(rid)
    with replica.edit() as docs:
        for sku in products:
            docs.inventory.add_product(sku)
        for place in places:
            docs.inventory.add_location(place)
    return replica
