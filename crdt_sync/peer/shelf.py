"""The documents that a peer has open, all in one file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from crdt_sync.errors import StoreCorrupted
from crdt_sync.limits import Limits
from crdt_sync.peer.changes import ChangeFeed
from crdt_sync.peer.local_document import LocalDocument, unsynced_of
from crdt_sync.stores.update_log import Store
from crdt_sync.values import check_document


class Shelf:
    """Loads each document on first use, and again when its memory may be ahead of its log."""

    def __init__(self, store: Store, author: str, limits: Limits) -> None:
        self._store = store
        self._author = author
        self._limits = limits
        self._open: dict[str, LocalDocument] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._unsynced_unopened: dict[str, int] = {}
        self.feed = ChangeFeed(self.open_documents)
        self.damaged: dict[str, str] = {}
        """Documents whose rows are not those that were written, and what is wrong; the others can be used."""

    async def open(self, name: str) -> LocalDocument:
        """The document of this name, loaded if it is not. Raises :class:`StoreError` or :class:`InvalidName`."""
        async with self._loading.setdefault(check_document(name), asyncio.Lock()):
            found = self._open.get(name)
            if found is None or found.is_torn:
                found = await LocalDocument.load(name, self._author, self._store.log(name), self._limits)
                self.feed.attach(found)
                self._open[name] = found
                self._unsynced_unopened.pop(name, None)
            return found

    async def take_stock(self) -> None:
        """Count what waits for the relay in each document, without building any; to be called before the first is."""
        for name in await self._store.documents():
            try:
                loaded = await self._store.log(name).load()
            except StoreCorrupted as error:
                self.damaged[name] = str(error)
            else:
                self._unsynced_unopened[name] = len(unsynced_of(loaded))

    @property
    def unsynced(self) -> int:
        """Local edits of all documents of the file that the relay has not said to have on disk."""
        opened = sum(document.unsynced for document in self._open.values())
        return opened + sum(self._unsynced_unopened.values())

    def get(self, name: str) -> LocalDocument | None:
        """The document of this name, if it is open."""
        return self._open.get(name)

    def drop(self, names: Iterable[str]) -> None:
        """Forget these documents in memory: what is in the file is what counts."""
        for name in names:
            if (dropped := self._open.pop(name, None)) is not None:
                self._unsynced_unopened[name] = dropped.unsynced

    async def names(self) -> Sequence[str]:
        """All documents of the file and all that are open."""
        return sorted({*await self._store.documents(), *self._open})

    def open_documents(self) -> Sequence[LocalDocument]:
        return list(self._open.values())
