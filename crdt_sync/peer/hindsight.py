"""What a peer knows of what has happened: it tells of changes, and takes its own edits back."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from crdt_sync.peer.changes import BUFFER_MAX, Changes
from crdt_sync.peer.desk import Desk
from crdt_sync.peer.shelf import Shelf
from crdt_sync.peer.undo import EditHistory, Undone


class Hindsight(ABC):
    """The part of an :class:`~crdt_sync.peer.offline_peer.OfflinePeer` that is about changes and undo."""

    _shelf: Shelf
    _editing: asyncio.Lock
    _history: EditHistory

    @abstractmethod
    async def _desk(self, period: str | None) -> Desk: ...

    @abstractmethod
    async def _commit(self, desk: Desk) -> None: ...

    async def undo(self) -> Undone:
        """Take back this peer's last edit, and nobody else's, by another edit; the edit before it can be next.

        A field that anybody has written since stays as it is, which is told. Raises :class:`NothingToUndo`, and
        :class:`CannotUndo`, when nothing of it, or one of its movements not, can be taken back."""
        return await self._take_back(self._history.undo)

    async def redo(self) -> Undone:
        """Take back the last :meth:`undo`, as long as there was no other edit. Raises as that does."""
        return await self._take_back(self._history.redo)

    def changes(self, *, documents: Iterable[str] | None = None, buffer_max: int = BUFFER_MAX) -> Changes:
        """What changes from now on, in all documents that are open here, or in these, and by whomever, once it is on
        disk: ``async with peer.changes() as changes: async for change in changes: ...``. Subscribe first, then read.

        A reader that lags by ``buffer_max`` changes gets a :class:`Missed` in place of those that there was no room
        for. Raises ValueError where there is to be no room at all."""
        return self._shelf.feed.subscribe(documents, buffer_max)

    async def changed(self, since: int | None = None) -> int:
        """Wait until anything was committed here, by whomever, and return the number of commits since the peer was
        opened. Give it back as ``since``, and nothing that happened meanwhile is slept through."""
        return await self._shelf.feed.changed(since)

    async def _take_back(self, staging: Callable[[Desk], AbstractContextManager[Undone]]) -> Undone:
        async with self._editing:
            for name in self._history.documents:
                # What has ended since can't be looked into, and what depends on it can't be undone.
                if not self._shelf.has_ended(name):
                    await self._shelf.open(name)
            desk = await self._desk(None)
            try:
                with staging(desk) as undone:
                    await self._commit(desk)
                return undone
            finally:
                desk.close()
