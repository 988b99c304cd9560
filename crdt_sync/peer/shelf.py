"""The documents that a peer has open, all in one file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from crdt_sync.limits import Limits
from crdt_sync.peer.local_document import LocalDocument
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

    async def open(self, name: str) -> LocalDocument:
        """The document of this name, loaded if it is not. Raises :class:`StoreError` or :class:`InvalidName`."""
        async with self._loading.setdefault(check_document(name), asyncio.Lock()):
            found = self._open.get(name)
            if found is None or found.is_torn:
                found = await LocalDocument.load(name, self._author, self._store.log(name), self._limits)
                self._open[name] = found
            return found

    def get(self, name: str) -> LocalDocument | None:
        """The document of this name, if it is open."""
        return self._open.get(name)

    def drop(self, names: Iterable[str]) -> None:
        """Forget these documents in memory: what is in the file is what counts."""
        for name in names:
            self._open.pop(name, None)

    async def names(self) -> Sequence[str]:
        """All documents of the file and all that are open."""
        return sorted({*await self._store.documents(), *self._open})

    def open_documents(self) -> Sequence[LocalDocument]:
        return list(self._open.values())
