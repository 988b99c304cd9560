"""Keeps a steward running beside the relay, and tells it which tenants are in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from crdt_sync.documents.names import CatalogName, MetricsName, MovementsName, parse_document
from crdt_sync.errors import Forbidden, InvalidName, SyncError, WrongKind
from crdt_sync.values import RoomId
from server.auth.grants import RELAY_SUBJECT
from server.steward.process import StewardGone, StewardProcess
from server.steward.rests import Blame
from server.steward.words import (
    VISITED_MAX,
    Alive,
    Attend,
    Dismiss,
    Failed,
    Handles,
    Instructions,
    Retire,
    Rounded,
)
from server.storage.retiring import Order
from server.telemetry.meters import Meters

log = structlog.get_logger(__name__)

RESTART_S: Final = 0.25
RESTART_MAX_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""Who lived for so long did not die of its start, so the next one is begun without much delay."""
LAST_WORDS_CHARS_MAX: Final = 500
_RETIRED: Final = "metrics/"
"""Documents that it may ask to be retired: nothing else ever ends by a rule."""


class Rooms(Protocol):
    """What the steward's work needs of the relay's rooms."""

    def visited_by_other_than(self, author: str) -> Collection[RoomId]: ...
    async def retire(self, room_id: RoomId, order: Order) -> object: ...
    def suspect(self, room_id: RoomId) -> None: ...


class Steward:
    """Made by :func:`open_steward`."""

    def __init__(
        self,
        instructions: Instructions,
        meters: Meters,
        *,
        memory_bytes_max: int,
        idle_s: float,
        resting: Collection[str] = (),
    ) -> None:
        """``resting`` are tenants that it must leave alone."""
        self._resting = resting
        self._instructions = instructions
        self._meters = meters
        self._memory_bytes_max = memory_bytes_max
        self._idle_s = idle_s
        self._process: StewardProcess | None = None
        self._down: str | None = "it is starting"
        self._documents: dict[str, set[str]] = {}
        self._used_at_s: dict[str, float] = {}
        self._blame = Blame()
        self._owed: set[str] = set()
        """Tenants that were visited and not looked after since: a till may sync in a moment, and be gone."""

    @property
    def down(self) -> str | None:
        """Why no steward is at work, or None when one is. What it would do waits; nothing else does."""
        return self._down

    def visited(self, room: RoomId, subject: str) -> None:
        """Somebody came into a room; the steward's own coming is no reason to look after a tenant."""
        if subject == RELAY_SUBJECT or room.tenant in self._resting or not _has_duties(room.document):
            return
        self._used_at_s[room.tenant] = time.monotonic()
        self._owed.add(room.tenant)
        documents = self._documents.setdefault(room.tenant, set())
        if room.document not in documents and len(documents) < VISITED_MAX:
            documents.add(room.document)
            if self._process is not None and not self._blame.rests(room.tenant, time.monotonic()):
                self._process.tell(Attend(room.tenant, room.document))

    async def run(self, rooms: Rooms) -> None:
        """Start a steward, and another one whenever it has died, for ever."""
        deaths = 0
        while True:
            began_s = time.monotonic()
            how = await self._live(rooms)
            deaths = 1 if time.monotonic() - began_s >= HEALTHY_S else deaths + 1
            self._meters.steward_deaths.inc()
            log.warning("steward died", how=how)
            self._down = how
            self._consider_blame(rooms)
            await asyncio.sleep(min(RESTART_MAX_S, RESTART_S * 2.0 ** min(deaths, 16)))

    def _consider_blame(self, rooms: Rooms) -> None:
        """A tenant on whose document it has died again is left alone for a while, and scribes look at the document."""
        found = self._blame.died(time.monotonic())
        if found is None:
            return
        tenant, document = found
        log.warning("steward rests from a tenant", tenant=tenant, document=document or "a duty")
        for name in [document] if document else sorted(self._documents.get(tenant, ())):
            rooms.suspect(RoomId(tenant, name))

    def _wake(self) -> None:
        """Look after tenants again whose rest is over."""
        for tenant in self._blame.rested(time.monotonic()):
            for document in self._documents.get(tenant, ()):
                if self._process is not None:
                    self._process.tell(Attend(tenant, document))

    async def _live(self, rooms: Rooms) -> str:
        """One steward's life; returns how it ended."""
        try:
            process = await StewardProcess.spawn(self._instructions, memory_bytes_max=self._memory_bytes_max)
        except OSError as error:
            return f"it could not be started: {error}"
        try:
            self._process = process
            for tenant, documents in self._documents.items():
                if not self._blame.rests(tenant, time.monotonic()):
                    for document in documents:
                        process.tell(Attend(tenant, document))
            while True:
                report = await process.hear()
                if isinstance(report, Retire):
                    await self._retire(rooms, report)
                else:
                    self._note(report)
        except StewardGone as gone:
            words = process.last_words[-LAST_WORDS_CHARS_MAX:]
            return f"{gone}; its last words: {words!r}" if words else str(gone)
        finally:
            self._process = None
            await process.end()

    async def _retire(self, rooms: Rooms, wish: Retire) -> None:
        try:
            if wish.tenant not in self._documents or not wish.document.startswith(_RETIRED):
                raise Forbidden(f"it may not retire {wish.document} of {wish.tenant}")
            await rooms.retire(RoomId(wish.tenant, wish.document), Order.parse(wish.document, wish.why))
        except SyncError as error:
            self._note(Failed(wish.tenant, "retire", error.code, str(error)))

    def _note(self, report: Alive | Handles | Rounded | Failed) -> None:
        match report:
            case Alive():
                self._down = None
            case Handles(tenant, document):
                self._blame.handles(tenant, document)
            case Rounded(tenant):
                self._blame.went_well(tenant)
                self._owed.discard(tenant)
                self._meters.steward_rounds.inc()
            case Failed(tenant, duty, code, sentence):
                self._meters.steward_failures.labels(duty=duty).inc()
                log.warning("steward failed", duty=duty, tenant=tenant, code=code, error=sentence)

    async def dismiss(self, rooms: Rooms) -> None:
        """Let go of tenants that nobody has used for a while, for ever."""
        while True:
            await asyncio.sleep(max(0.05, min(self._idle_s / 4, 5.0)))
            self._wake()
            now_s = time.monotonic()
            for room in rooms.visited_by_other_than(RELAY_SUBJECT):
                if room.tenant in self._used_at_s and _has_duties(room.document):
                    self._used_at_s[room.tenant] = now_s
            idle = {tenant for tenant, at_s in self._used_at_s.items() if now_s - at_s >= self._idle_s}
            for tenant in idle - self._owed:
                del self._used_at_s[tenant], self._documents[tenant]
                if self._process is not None:
                    self._process.tell(Dismiss(tenant))


def _has_duties(document: str) -> bool:
    try:
        name = parse_document(document)
    except (InvalidName, WrongKind):
        return False
    return isinstance(name, CatalogName | MovementsName | MetricsName)


@asynccontextmanager
async def open_steward(steward: Steward, rooms: Rooms) -> AsyncIterator[Steward]:
    """Run ``steward`` while the block runs; on leaving, no process of it is left."""
    tasks = [
        asyncio.create_task(steward.run(rooms), name="supervise the steward"),
        asyncio.create_task(steward.dismiss(rooms), name="dismiss tenants"),
    ]
    try:
        yield steward
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                # It never ends by itself but through a defect, which must not pass for a steward that is down.
                task.result()
