"""Finds what ends scribes in a document, sets it aside, and lets its room live on without it.

One search at a time for the whole relay, and tenants take turns: who is attacked does not use up the scribes of others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from crdt_sync.errors import RoomClosing, ScribeError, SyncError
from crdt_sync.stores.update_log import Loaded, UpdateLog
from crdt_sync.updates.pieces import EMPTY_UPDATE
from crdt_sync.values import RoomId
from server.rooms.history import History
from server.rooms.host import HostParts
from server.rooms.quarantine import POISONED_MARK, QUARANTINE_MARK, load_log, name_all, serve
from server.rooms.registry import Rooms
from server.rooms.suspicions import Suspicion
from server.scribes.pool import Scribes
from server.scribes.search import Culprits, PoisonedSnapshot, Suspects, Unexplained, search
from server.storage.audit_events import AuditEvent
from server.storage.quarantine import Quarantines, SetAside, Ward
from server.storage.tenants import Tenants

log = structlog.get_logger(__name__)

REASON_CHARS_MAX: Final = 300


class Containment:
    """Runs within :func:`open_containment`."""

    def __init__(self, rooms: Rooms, tenants: Tenants, quarantines: Quarantines, parts: HostParts) -> None:
        self._rooms = rooms
        self._tenants = tenants
        self._quarantines = quarantines
        self._scribes = parts.scribes
        self._suspicions = parts.suspicions
        self._meters = parts.meters
        self._limits = parts.limits
        self._note = parts.note

    async def run(self) -> None:
        """Look into one suspicion after the other, for ever."""
        while True:
            suspicion = await self._suspicions.next()
            try:
                await self._look_into(suspicion)
            except SyncError as error:
                # The disk, or a document that has ended meanwhile; the next death of a scribe brings it up again.
                log.warning("search given up", room=str(suspicion.room), error=str(error), code=error.code)

    async def _look_into(self, suspicion: Suspicion) -> None:
        room = suspicion.room
        update_log = (await self._tenants.store(room.tenant)).log(room.document)
        ward = await self._quarantines.ward(room)
        loaded = await load_log(update_log, ward)
        history = await self._served(room, loaded, ward)
        scribes = self._scribes.on_behalf_of(room.tenant)
        finding = await search(scribes, _suspects(loaded, history), reads=suspicion.reads)
        poisoned = None
        if isinstance(finding, PoisonedSnapshot) and loaded.snapshot is not None:
            poisoned = loaded.snapshot.through
            log.error("snapshot poisoned", room=str(room), through=poisoned, how=finding.how)
            loaded = await update_log.load_from_previous()
            history = await self._served(room, loaded, ward)
            finding = await search(scribes, _suspects(loaded, history), reads=suspicion.reads)
        match finding:
            case Culprits(places, how):
                through = history.seq - history.tail_length
                numbers = {place + through + 1: history.tail()[place] for place in places}
                reached = {number: await self._reach(scribes, history, number) for number in numbers}
                await self.set_aside(room, update_log, reached, how, poisoned)
            case Unexplained(why) if poisoned is not None:
                # The log loads, so what was wrong was in the snapshot alone.
                log.warning("poisoned snapshot is passed over", room=str(room), search=why)
                async with self._rooms.interrupted(room, RoomClosing(f"room {room} begins anew")):
                    await update_log.mark(POISONED_MARK, poisoned)
            case Unexplained(why):
                log.warning("nothing found", room=str(room), why=why)
            case PoisonedSnapshot(how):
                log.error("no snapshot can be loaded", room=str(room), how=how)

    async def _served(self, room: RoomId, loaded: Loaded, ward: Ward) -> History:
        return await asyncio.to_thread(serve, loaded, ward, self._limits, document=str(room))

    async def _reach(self, scribes: Scribes, history: History, number: int) -> bytes:
        """All that the update deletes; a replica that has loaded it says more than the update does."""
        place = number - (history.seq - history.tail_length) - 1
        update, before = history.tail()[place], history.tail()[:place]
        try:
            return await scribes.reach(update, history.snapshot or None, before)
        except ScribeError as error:
            log.warning("reach not found", error=str(error))
            return update

    async def set_aside(
        self,
        room: RoomId,
        update_log: UpdateLog,
        reached: Mapping[int, bytes],
        how: str,
        poisoned: int | None = None,
    ) -> None:
        """Keep the numbers of ``reached`` elsewhere, each with the deletes that it comes to, and serve them no more."""
        async with self._rooms.interrupted(room, RoomClosing(f"room {room} goes on without an update that does harm")):
            # Nobody writes now; what came during the search is in the log.
            ward = await self._quarantines.ward(room)
            loaded = await load_log(update_log, ward) if poisoned is None else await update_log.load_from_previous()
            named = await asyncio.to_thread(
                name_all, loaded, ward, reached, how[:REASON_CHARS_MAX], time.time_ns() // 1_000_000, self._limits
            )
            seq = await self._quarantines.keep(room, named)
            if poisoned is not None:
                await update_log.mark(POISONED_MARK, poisoned)
            await update_log.mark(QUARANTINE_MARK, seq)
        self._tell(room, named)

    def _tell(self, room: RoomId, named: Sequence[SetAside]) -> None:
        for one in named:
            self._meters.updates_quarantined.inc()
            log.error(
                "update quarantined",
                room=str(room),
                number=one.number,
                author=one.author,
                bytes=one.size_bytes,
                reason=one.reason,
            )
            sentence = f"number {one.number}, {one.size_bytes} bytes: {one.reason}"
            self._note(AuditEvent("quarantined", room.tenant, one.author, room.document, sentence=sentence))


def _suspects(loaded: Loaded, history: History) -> Suspects:
    ledger = b"" if loaded.snapshot is None else loaded.snapshot.ledger
    snapshot = history.snapshot
    return Suspects(None if snapshot in (b"", EMPTY_UPDATE) else snapshot, ledger, history.tail())


@asynccontextmanager
async def open_containment(
    rooms: Rooms, tenants: Tenants, quarantines: Quarantines, parts: HostParts
) -> AsyncIterator[None]:
    """Look into suspicions while the block runs."""
    containment = Containment(rooms, tenants, quarantines, parts)
    task = asyncio.create_task(containment.run(), name="contain what does harm")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            # It never ends by itself but through a defect, which must be seen.
            task.result()
