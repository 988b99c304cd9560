"""One document's log in a store in one SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from crdt_sync.stores.commits import Append, Job, Mark, new_future
from crdt_sync.stores.seals import Head
from crdt_sync.stores.update_log import (
    Binding,
    Loaded,
    Record,
    Snapshot,
    check_bindings,
    check_integer,
    check_records,
    check_text,
)


class Submits(Protocol):
    """What a log needs of its store."""

    def head(self, document: str) -> Head | None: ...
    async def load(self, document: str) -> Loaded: ...
    async def load_from_previous(self, document: str) -> Loaded: ...
    async def compact(self, document: str, snapshot: Snapshot) -> None: ...
    async def submit(self, job: Job) -> int: ...


class SqliteLog:
    """One document's log; see :class:`~crdt_sync.stores.update_log.UpdateLog` for the rules."""

    def __init__(self, store: Submits, document: str) -> None:
        self._store, self._document = store, document

    async def load(self) -> Loaded:
        return await self._store.load(self._document)

    async def load_from_previous(self) -> Loaded:
        return await self._store.load_from_previous(self._document)

    async def append(self, records: Sequence[Record], bindings: Sequence[Binding] = ()) -> int:
        checked = check_records(records)
        bound = check_bindings(bindings, checked)
        if not checked:
            head = self._store.head(self._document)
            return head.last_seq if head else 0
        return await self._store.submit(Append(self._document, checked, bound, new_future()))

    async def compact(self, snapshot: Snapshot) -> None:
        await self._store.compact(self._document, snapshot)

    async def mark(self, name: str, value: int) -> None:
        check_text("mark", name)
        check_integer("mark", value)
        await self._store.submit(Mark(self._document, name, value, new_future()))
