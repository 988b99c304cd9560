"""The rooms of one relay: each opened once, however many arrive together, and closed after a while without members."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias
from weakref import WeakValueDictionary

import structlog

from crdt_sync.errors import RateLimited, RoomClosing, StoreError, SyncError
from crdt_sync.stores.update_log import Retirement
from crdt_sync.values import ClientId, RoomId
from server.rooms.capacity import make_place
from server.rooms.history import History
from server.rooms.host import Host, HostParts
from server.rooms.keeper import keeps, open_keeper
from server.rooms.member import Member
from server.rooms.ownership import Owners
from server.rooms.quarantine import QUARANTINE_MARK, load_log, serve
from server.rooms.room import Room
from server.storage.quarantine import Quarantines
from server.storage.retiring import Order
from server.storage.tenants import Tenants

log = structlog.get_logger(__name__)

LOAD_IN_THREAD_RECORDS = 500
"""A longer tail than this is judged beside the event loop: 10 µs a record add up."""
LOAD_IN_THREAD_BYTES = 64 << 10
"""A snapshot that is larger is read beside the event loop, too, where the relay follows what is in it."""

DOCUMENTS_MAKE_S = 3_600.0
"""When to come back after a tenant had all its documents: only somebody who allows it more can help."""

OnVisit: TypeAlias = Callable[[RoomId, str], None]


class Rooms:
    """Made by :func:`open_rooms`."""

    def __init__(
        self,
        tenants: Tenants,
        quarantines: Quarantines,
        parts: HostParts,
        *,
        idle_s: float,
        on_visit: OnVisit | None,
    ) -> None:
        self._tenants = tenants
        self._quarantines = quarantines
        self._on_visit = on_visit
        self._parts = parts
        self._idle_s = idle_s
        self._hosts: dict[RoomId, asyncio.Task[Host]] = {}
        self._running: dict[RoomId, tuple[Host, asyncio.Task[None]]] = {}
        self._doors: WeakValueDictionary[RoomId, asyncio.Lock] = WeakValueDictionary()
        """Held by whoever opens a room, or keeps it closed for a while."""
        self._failures: dict[RoomId, str] = {}
        self._is_closing = False

    async def enter(self, room_id: RoomId, member: Member) -> Host:
        """Let ``member`` into the room, which is opened if it is not.

        Raises :class:`RoomClosing`, :class:`RateLimited` where it is one room or document too many, or StoreError."""
        while True:
            if self._is_closing:
                raise RoomClosing("the relay is stopping")
            opening = self._hosts.get(room_id)
            if opening is None:
                self._make_place(room_id)
                opening = self._hosts[room_id] = asyncio.create_task(self._open(room_id), name=f"open {room_id}")
                opening.add_done_callback(partial(self._forget_if_failed, room_id))
            # Shielded: one who arrives and hangs up must not close the door to those who wait with it.
            host = await asyncio.shield(opening)
            if not host.is_closing:
                host.enter(member)
                if self._on_visit is not None:
                    self._on_visit(room_id, member.author)
                return host
            await self._gone(room_id, opening)

    def _make_place(self, room_id: RoomId) -> None:
        limits = self._parts.limits
        if len(self._hosts) >= min(limits.rooms_max, limits.tenant_rooms_max):
            hosts = {other: task.result() if _is_open(task) else None for other, task in self._hosts.items()}
            make_place(room_id, hosts, limits, self._parts.meters)

    async def _open(self, room_id: RoomId) -> Host:
        async with self._door(room_id):
            return await self._open_alone(room_id)

    def _door(self, room_id: RoomId) -> asyncio.Lock:
        return self._doors.setdefault(room_id, asyncio.Lock())

    async def _open_alone(self, room_id: RoomId) -> Host:
        # What ran under this name before must have let go of the log: a log has one writer.
        if (before := self._running.get(room_id)) is not None:
            await asyncio.wait([before[1]])
        try:
            host = await self._load(room_id)
        except StoreError as error:
            self._failures[room_id] = str(error)
            self._parts.meters.store_failures.labels(reason=error.code).inc()
            log.error("room not opened", room=str(room_id), error=str(error), code=error.code)
            raise
        self._failures.pop(room_id, None)
        self._running[room_id] = host, asyncio.create_task(self._run(host), name=f"room {room_id}")
        return host

    @asynccontextmanager
    async def interrupted(self, room_id: RoomId, reason: SyncError) -> AsyncIterator[None]:
        """Close the room with ``reason``, which its members should take for a cause to come back; who does waits for
        the end of the block, in which nobody writes into the log."""
        async with self._door(room_id):
            if (found := self._running.get(room_id)) is not None:
                host, running = found
                host.close(reason)
                await asyncio.wait([running])
            yield

    def _forget_if_failed(self, room_id: RoomId, opened: asyncio.Task[Host]) -> None:
        if (opened.cancelled() or opened.exception() is not None) and self._hosts.get(room_id) is opened:
            del self._hosts[room_id]

    async def _load(self, room_id: RoomId) -> Host:
        store = await self._tenants.store(room_id.tenant)
        maximum = self._parts.limits.tenant_documents_max
        if store.names_written >= maximum and store.head(room_id.document) is None:
            self._parts.meters.limits_reached.labels(limit="tenant_documents_max").inc()
            raise RateLimited("documents of this tenant", DOCUMENTS_MAKE_S)
        update_log = store.log(room_id.document)
        ward = await self._quarantines.ward(room_id)
        loaded = await load_log(update_log, ward)
        if loaded.marks.get(QUARANTINE_MARK, 0) < ward.seq:
            # Whoever set it aside was killed before it could say so here.
            await update_log.mark(QUARANTINE_MARK, ward.seq)
        if loaded.healed is not None:
            log.error("snapshot healed", room=str(room_id), what=loaded.healed)
        state = b"" if loaded.snapshot is None else loaded.snapshot.state

        def rebuild() -> Room:
            limits = self._parts.limits
            history = serve(loaded, ward, limits, document=str(room_id))
            owners = Owners(loaded.bindings, may_carry=self._parts.may_carry)
            authors = (record.author for record in loaded.tail)
            owners.recall((piece.spans, author) for piece, author in zip(history.pieces(), authors, strict=True))
            if not keeps(room_id.document):
                return Room(history, limits, owners=owners)
            # Who brought what a snapshot holds is not known any more, but for the owners of client ids.
            served = zip(history.tail(), loaded.tail, strict=True)
            known = [(update, record.author or None) for update, record in served]
            log = [(state, None), *known] if state else known
            keeper = open_keeper(room_id.document, _fresh_client(history), log, limits, owners.person)
            return Room(history, limits, keeper, owners)

        is_long = len(loaded.tail) > LOAD_IN_THREAD_RECORDS or len(state) > LOAD_IN_THREAD_BYTES
        room = await asyncio.to_thread(rebuild) if is_long else rebuild()
        return Host(room_id, room, update_log, self._parts)

    async def _run(self, host: Host) -> None:
        self._parts.meters.rooms.inc()
        try:
            await host.run()
        finally:
            self._parts.meters.rooms.dec()
            if host.failure is not None:
                self._failures[host.room_id] = str(host.failure)
            self._hosts.pop(host.room_id, None)
            self._running.pop(host.room_id, None)

    async def _gone(self, room_id: RoomId, opened: asyncio.Task[Host]) -> None:
        """Wait until a room that is closing is gone."""
        running = self._running.get(room_id)
        if running is not None:
            await asyncio.wait([running[1]])
        if self._hosts.get(room_id) is opened:
            del self._hosts[room_id]

    def failures(self) -> dict[str, str]:
        """Rooms that stopped by themselves or could not be opened, and why, until they are opened again."""
        return {str(room_id): why for room_id, why in self._failures.items()}

    def suspect(self, room_id: RoomId) -> None:
        """Have scribes look into a document that something has died of."""
        self._parts.suspicions.add(room_id, reads=True)

    def quarantined(self) -> dict[str, int]:
        """How many records are set aside of each document that was opened since the relay was started."""
        return self._quarantines.held()

    def open_rooms(self) -> dict[str, int]:
        """The open rooms and how many members each has."""
        return {str(room_id): task.result().member_count for room_id, task in self._hosts.items() if _is_open(task)}

    def visited_by_other_than(self, author: str) -> set[RoomId]:
        """The open rooms that somebody besides ``author`` is in."""
        open_hosts = [task.result() for task in self._hosts.values() if _is_open(task)]
        return {host.room_id for host in open_hosts if host.is_visited_by_other_than(author)}

    async def retire(self, room_id: RoomId, order: Order) -> Retirement:
        """End a document. Whoever is in its room is told and goes, and nobody comes in any more.

        Raises :class:`DocumentRetired` when it has ended in another way, StoreError when the disk does not do its
        part; its members reconnect then."""
        store = await self._tenants.store(room_id.tenant)
        reason: SyncError = RoomClosing(f"room {room_id} is closing")
        try:
            # Before anybody is told: a peer that hears of the end drops its own copy.
            at_ms = time.time_ns() // 1_000_000
            note = await store.retire(room_id.document, order.why, at_ms, order.successor)
            reason = note.error()
            await self._quarantines.erase(room_id, order, at_ms)
        finally:
            if (opening := self._hosts.get(room_id)) is not None:
                await asyncio.wait([opening])
                if _is_open(opening):
                    opening.result().close(reason)
        log.info("document retired", room=str(room_id), why=note.why, successor=note.successor)
        return note

    async def sweep(self) -> None:
        """Close rooms that were idle for ``idle_s``, for ever."""
        while True:
            await asyncio.sleep(max(0.05, min(self._idle_s / 4, 5.0)))
            now_s = time.monotonic()
            for task in list(self._hosts.values()):
                if _is_open(task):
                    host = task.result()
                    if host.is_idle and now_s - host.idle_since_s >= self._idle_s:
                        host.close(RoomClosing(f"room {host.room_id} was idle"))

    async def aclose(self) -> None:
        """Let every room finish what is in its inbox, then close it."""
        self._is_closing = True
        for task in list(self._hosts.values()):
            await asyncio.wait([task])
            if _is_open(task):
                task.result().close(RoomClosing("the relay is stopping"))
        if self._running:
            await asyncio.wait([running for _, running in self._running.values()])


def _fresh_client(history: History) -> ClientId:
    """An id to write under, as a document draws one; at 53 bits nobody draws it twice, but what is there is checked."""
    while (client := secrets.randbits(53)) in history.ledger.clocks:
        pass
    return client


def _is_open(task: asyncio.Task[Host]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


@asynccontextmanager
async def open_rooms(
    tenants: Tenants,
    quarantines: Quarantines,
    parts: HostParts,
    *,
    idle_s: float,
    on_visit: OnVisit | None = None,
) -> AsyncIterator[Rooms]:
    """The rooms of a relay; on leaving, everything that was absorbed is on disk and every member is told.

    ``on_visit`` is told of everybody who comes into a room: which one, and as whom."""
    rooms = Rooms(tenants, quarantines, parts, idle_s=idle_s, on_visit=on_visit)
    sweeping = asyncio.create_task(rooms.sweep(), name="sweep idle rooms")
    try:
        yield rooms
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await rooms.aclose()
