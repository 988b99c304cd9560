"""The documents that a peer has open, all in one file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from crdt_sync.errors import StoreCorrupted
from crdt_sync.limits import Limits
from crdt_sync.peer.changes import ChangeFeed
from crdt_sync.peer.local_document import LocalDocument, unsynced_of
from crdt_sync.stores.update_log import Record, Retirement, Store, UpdateLog
from crdt_sync.values import check_document


class Shelf:
    """Loads each document on first use, and again when its memory may be ahead of its log."""

    def __init__(
        self, store: Store, author: str, limits: Limits, on_load: Callable[[str], None] = lambda _: None
    ) -> None:
        """``on_load`` hears the name of each document before anything of it is given to native code."""
        self.on_load = on_load
        self._store = store
        self._author = author
        self._limits = limits
        self._open: dict[str, LocalDocument] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._unsynced_unopened: dict[str, int] = {}
        self.feed = ChangeFeed(self.open_documents)
        self.damaged: dict[str, str] = {}
        """Documents whose rows are not those that were written, and what is wrong; the others can be used."""
        self._ended: dict[str, Retirement] = {}
        self._marked: set[tuple[str, str]] = set()

    @property
    def ended(self) -> Mapping[str, Retirement]:
        """The documents of this file that have ended, and why."""
        return self._ended

    def current(self, name: str) -> str:
        """Where a document goes on, as far as this peer knows: the name itself, or that of its latest successor."""
        note = self._ended.get(name)
        while note is not None and note.successor is not None:
            name = note.successor
            note = self._ended.get(name)
        return name

    def has_ended(self, name: str) -> bool:
        """Whether a document is gone for good, as far as this peer knows."""
        return self.current(name) in self._ended

    def log(self, name: str) -> UpdateLog:
        """The log of the document, or of what it goes on in, without building it."""
        return self._store.log(self.current(name))

    async def retire(
        self, name: str, why: str, at_ms: int, successor: str | None = None, contents: Sequence[Record] = ()
    ) -> None:
        """Drop this peer's copy of a document, bytes and all; see :meth:`Store.retire`."""
        try:
            await self._store.retire(name, why, at_ms, successor, contents)
        finally:
            # Also when the disk could not overwrite everything: what counts is in the file.
            self._ended = {note.document: note for note in await self._store.retirements()}
            self._open.pop(name, None)
            self._unsynced_unopened.pop(name, None)

    async def open(self, name: str) -> LocalDocument:
        """The document of this name, or the one that it goes on in, loaded if it is not.

        Raises :class:`StoreError`, :class:`InvalidName`, and :class:`DocumentRetired` for one that is gone for good."""
        name = self.current(check_document(name))
        async with self._loading.setdefault(name, asyncio.Lock()):
            found = self._open.get(name)
            if found is None or found.is_torn:
                self.on_load(name)
                found = await LocalDocument.load(name, self._author, self._store.log(name), self._limits)
                self.feed.attach(found)
                self._open[name] = found
                self._unsynced_unopened.pop(name, None)
            return found

    async def take_stock(self) -> None:
        """Count what waits for the relay in each document, without building any; to be called before the first is."""
        self._ended = {note.document: note for note in await self._store.retirements()}
        for name in await self._store.documents():
            try:
                loaded = await self._store.log(name).load()
            except StoreCorrupted as error:
                self.damaged[name] = str(error)
            else:
                self._unsynced_unopened[name] = len(unsynced_of(loaded))
                self._marked.update((name, mark) for mark in loaded.marks)

    def has(self, name: str) -> bool:
        """Whether the document is in the file, or was opened, and can be."""
        current = self.current(name)
        return current in self._open or current in self._unsynced_unopened

    def is_marked(self, name: str, mark: str) -> bool:
        """Whether the log of a document carries a mark that is set once and for all."""
        return (self.current(name), mark) in self._marked

    def mark(self, name: str, mark: str) -> None:
        """Remember a mark that was put on the log of a document just now."""
        self._marked.add((self.current(name), mark))

    @property
    def unsynced(self) -> int:
        """Local edits of all documents of the file that the relay has not said to have on disk."""
        opened = sum(document.unsynced for document in self._open.values())
        return opened + sum(self._unsynced_unopened.values())

    def get(self, name: str) -> LocalDocument | None:
        """The document of this name, or the one that it goes on in, if it is open."""
        return self._open.get(self.current(name))

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
