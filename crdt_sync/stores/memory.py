"""A store without a disk: for tests, simulations and throw-away peers. Its "durable" lasts as long as its block."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from crdt_sync.errors import StoreError, StoreUnavailable
from crdt_sync.stores.update_log import (
    Binding,
    Figures,
    Loaded,
    Progress,
    Record,
    Retirement,
    Snapshot,
    check_bindings,
    check_integer,
    check_records,
    check_retirement,
    check_snapshot,
    check_text,
)
from crdt_sync.values import ClientId


@dataclass(slots=True)
class Shelf:
    """What a memory store keeps of one document."""

    records: dict[int, Record] = field(default_factory=dict)
    last_seq: int = 0
    current: Snapshot | None = None
    previous: Snapshot | None = None
    marks: dict[str, int] = field(default_factory=dict)
    bindings: dict[ClientId, Binding] = field(default_factory=dict)

    def add(self, records: Sequence[Record]) -> int:
        self.records.update(enumerate(records, start=self.last_seq + 1))
        self.last_seq += len(records)
        return self.last_seq


class MemoryStore:
    """Documents' logs in memory; see :class:`~crdt_sync.stores.update_log.Store`."""

    def __init__(self) -> None:
        self.identity = uuid.uuid4().hex
        self.failure: StoreError | None = None
        self._shelves: dict[str, Shelf] = {}
        self._retired: dict[str, Retirement] = {}

    def log(self, document: str) -> MemoryLog:
        return MemoryLog(self, check_text("document", document))

    async def documents(self) -> Sequence[str]:
        self._refuse_if_closed()
        return sorted(self._shelves)

    async def retirements(self) -> Sequence[Retirement]:
        self._refuse_if_closed()
        return [self._retired[name] for name in sorted(self._retired)]

    async def retire(
        self, document: str, why: str, at_ms: int, successor: str | None = None, contents: Sequence[Record] = ()
    ) -> Retirement:
        retirement = Retirement(document, why, at_ms, successor)
        checked = check_retirement(retirement, contents)
        found = self._retired.get(document)
        if found is not None and found.successor == successor:
            return found
        self.shelf(document)
        if successor is not None:
            self.shelf(successor, create=bool(checked)).add(checked)
        self._shelves.pop(document, None)
        self._retired[document] = retirement
        return retirement

    async def figures(self, document: str) -> Figures:
        shelf = self.shelf(document)
        snapshots = [snapshot for snapshot in (shelf.previous, shelf.current) if snapshot]
        return Figures(
            last_seq=shelf.last_seq,
            records=len(shelf.records),
            record_bytes=sum(len(record.update) for record in shelf.records.values()),
            snapshots=len(snapshots),
            snapshot_bytes=sum(len(snapshot.state) + len(snapshot.ledger) for snapshot in snapshots),
        )

    async def verify(self, document: str, *, progress: Progress | None = None) -> Figures:
        """Memory has no rows that could rot: counts, and reports that all was read."""
        figures = await self.figures(document)
        if progress:
            progress(figures.records, figures.records)
        return figures

    def shelf(self, document: str, *, create: bool = False) -> Shelf:
        """The document's shelf; one that was never written is empty, and stays unlisted unless ``create``."""
        self._refuse_if_closed()
        if document in self._retired:
            raise self._retired[document].error()
        return self._shelves.setdefault(document, Shelf()) if create else self._shelves.get(document, Shelf())

    def close(self) -> None:
        self.failure = StoreUnavailable("the memory store is closed")
        self._shelves.clear()

    def _refuse_if_closed(self) -> None:
        if self.failure:
            raise StoreUnavailable(str(self.failure))


class MemoryLog:
    """One document's log; see :class:`~crdt_sync.stores.update_log.UpdateLog` for the rules."""

    def __init__(self, store: MemoryStore, document: str) -> None:
        self._store, self._document = store, document

    async def load(self) -> Loaded:
        shelf = self._store.shelf(self._document)
        return _loaded(shelf, shelf.current)

    async def load_from_previous(self) -> Loaded:
        shelf = self._store.shelf(self._document)
        return _loaded(shelf, shelf.previous)

    async def append(self, records: Sequence[Record], bindings: Sequence[Binding] = ()) -> int:
        checked = check_records(records)
        bound = check_bindings(bindings, checked)
        shelf = self._store.shelf(self._document, create=bool(checked))
        shelf.bindings.update((binding.client, binding) for binding in bound)
        return shelf.add(checked)

    async def compact(self, snapshot: Snapshot) -> None:
        shelf = self._store.shelf(self._document)
        current = shelf.current.through if shelf.current else 0
        check_snapshot(snapshot, current=current, last_seq=shelf.last_seq)
        if snapshot.through > current:
            shelf.previous = shelf.current
            shelf.records = {seq: record for seq, record in shelf.records.items() if seq > current}
        shelf.current = snapshot

    async def mark(self, name: str, value: int) -> None:
        check_text("mark", name)
        check_integer("mark", value)
        self._store.shelf(self._document, create=True).marks[name] = value


def _loaded(shelf: Shelf, snapshot: Snapshot | None) -> Loaded:
    through = snapshot.through if snapshot else 0
    tail = tuple(shelf.records[seq] for seq in range(through + 1, shelf.last_seq + 1))
    return Loaded(snapshot=snapshot, tail=tail, marks=dict(shelf.marks), bindings=dict(shelf.bindings))


@asynccontextmanager
async def open_memory_store() -> AsyncIterator[MemoryStore]:
    """A fresh, empty store; everything in it is gone when the block ends."""
    store = MemoryStore()
    try:
        yield store
    finally:
        store.close()
