"""Branches of a shop over the library's own replicas, which merge and keep what lost as peers do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from crdt_sync.documents.catalog.arbitration import DEFAULT_POLICY, ConflictPolicy
from crdt_sync.documents.catalog.conflicts import Conflict, unvaulted
from crdt_sync.documents.catalog.siblings import EDITS, VAULT
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.replica import Replica, Write, replay
from tests.unit.documents.replicas import NOW_MS, PERIOD


class Branch:
    """One device: a catalog, the movements of a period, and a clock."""

    def __init__(self, rid: str, policy: ConflictPolicy = DEFAULT_POLICY, *, keeps_lost: bool = True) -> None:
        self.rid = rid
        self.clock = HybridClock()
        self.catalog, self.movements = Replica(), Replica()
        self.catalog.watch([ATTRIBUTES])
        self._policy = policy
        self._keeps_lost = keeps_lost

    @contextmanager
    def edit(self) -> Iterator[InventoryDocument]:
        catalog, movements = Draft(self.catalog), Draft(self.movements)
        yield self._face(catalog, movements)
        writes = [Write(*write) for write in catalog.end()]
        if any(write.root == ATTRIBUTES for write in writes):
            own = self.catalog.client_id
            dot = f"{own}.{self.catalog.state.get(own, 0)}"
            writes.insert(0, Write(EDITS, dot, [self.rid, self.clock.tick(NOW_MS)]))
        self.catalog.write(writes)
        self.movements.write([Write(*write) for write in movements.end()])

    @property
    def look(self) -> InventoryDocument:
        return self._face(Draft(self.catalog), Draft(self.movements))

    def _face(self, catalog: Draft, movements: Draft) -> InventoryDocument:
        policy = replace(self._policy, forks=self.catalog)
        return InventoryDocument(
            catalog, PERIOD, movements, rid=self.rid, clock=self.clock, now_ms=lambda: NOW_MS, policy=policy
        )

    def pull(self, other: Branch) -> None:
        assert not self.movements.merge(other.movements.since(self.movements.state)).gap
        self.hear(other.catalog.since(self.catalog.state))

    def hear(self, update: bytes) -> None:
        assert not self.catalog.merge(update).gap
        if self._keeps_lost:
            keys = [key for _, key in self.catalog.take_forked()]
            self.catalog.write([Write(VAULT, *entry) for entry in unvaulted(self.catalog, self.catalog, keys)])

    def restart(self) -> None:
        """A new process: all that is left is the document, of which the CRDT has collected what lost."""
        self.catalog = replay([self.catalog.snapshot()])
        self.catalog.watch([ATTRIBUTES])
        self.movements = replay([self.movements.snapshot()])


def branches(*rids: str, prices: Mapping[str, int] | None = None, keeps_lost: bool = True) -> list[Branch]:
    """Branches that all know the same products."""
    made = [Branch(rid, keeps_lost=keeps_lost) for rid in rids]
    with made[0].edit() as inventory:
        for sku, price in (prices or {"shirt": 10}).items():
            inventory.add_product(sku, price=price)
        inventory.add_location("A")
    for branch in made[1:]:
        branch.pull(made[0])
    return made


def sync(all_of_them: list[Branch]) -> None:
    """Everybody learns everything, also what the others have noted on the way."""
    for _ in range(2):
        for branch in all_of_them:
            for other in all_of_them:
                if branch is not other:
                    branch.pull(other)


def the_only(conflicts: list[Conflict]) -> Conflict:
    assert len(conflicts) == 1
    return conflicts[0]


def values(conflict: Conflict) -> list[object]:
    return sorted((sibling.value for sibling in conflict.siblings), key=repr)
