"""Documents that have ended a scribe, waiting for the search; tenants take turns."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from crdt_sync.values import RoomId


class Suspicion(NamedTuple):
    """A document that something died of."""

    room: RoomId
    reads: bool
    """It may have died of reading the content, which compaction never does."""


class Suspicions:
    """Each document stands here once. For one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[RoomId, bool]] = {}
        """By tenant; the one that was served least recently stands first."""
        self._current: RoomId | None = None
        self._changed = asyncio.Event()

    def holds(self, room: RoomId) -> bool:
        """Whether the document waits for the search, or is being searched."""
        return room == self._current or room in self._waiting.get(room.tenant, ())

    def add(self, room: RoomId, *, reads: bool = False) -> None:
        """Have a document looked into, some time."""
        waiting = self._waiting.setdefault(room.tenant, {})
        waiting[room] = waiting.get(room, False) or reads
        self._changed.set()

    async def next(self) -> Suspicion:
        """The next one, once there is one. The one before it is done with."""
        self._current = None
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        tenant = next(iter(self._waiting))
        waiting = self._waiting.pop(tenant)
        room = next(iter(waiting))
        reads = waiting.pop(room)
        if waiting:
            self._waiting[tenant] = waiting
        self._current = room
        return Suspicion(room, reads)
