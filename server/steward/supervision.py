"""Keeps a steward running beside the relay, and tells it which tenants are in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

import structlog

from crdt_sync.values import RoomId
from server.auth.grants import RELAY_SUBJECT
from server.steward.process import StewardGone, StewardProcess
from server.steward.words import Alive, Attend, Dismiss, Failed, Instructions, Report, Rounded
from server.telemetry.meters import Meters

log = structlog.get_logger(__name__)

RESTART_S: Final = 0.25
RESTART_MAX_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""Who lived for so long did not die of its start, so the next one is begun without much delay."""
LAST_WORDS_CHARS_MAX: Final = 500
_KEPT: Final = ("inventory/", "metrics/")
"""Documents that hold what there are duties for."""


class Steward:
    """Made by :func:`open_steward`."""

    def __init__(self, instructions: Instructions, meters: Meters, *, memory_bytes_max: int, idle_s: float) -> None:
        self._instructions = instructions
        self._meters = meters
        self._memory_bytes_max = memory_bytes_max
        self._idle_s = idle_s
        self._process: StewardProcess | None = None
        self._down: str | None = "it is starting"
        self._documents: dict[str, set[str]] = {}
        self._used_at_s: dict[str, float] = {}
        self._owed: set[str] = set()
        """Tenants that were visited and not looked after since: a till may sync in a moment, and be gone."""

    @property
    def down(self) -> str | None:
        """Why no steward is at work, or None when one is. What it would do waits; nothing else does."""
        return self._down

    def visited(self, room: RoomId, subject: str) -> None:
        """Somebody came into a room; the steward's own coming is no reason to look after a tenant."""
        if subject == RELAY_SUBJECT or not room.document.startswith(_KEPT):
            return
        self._used_at_s[room.tenant] = time.monotonic()
        self._owed.add(room.tenant)
        documents = self._documents.setdefault(room.tenant, set())
        if room.document not in documents:
            documents.add(room.document)
            if self._process is not None:
                self._process.tell(Attend(room.tenant, room.document))

    async def run(self) -> None:
        """Start a steward, and another one whenever it has died, for ever."""
        deaths = 0
        while True:
            began_s = time.monotonic()
            how = await self._live()
            deaths = 1 if time.monotonic() - began_s >= HEALTHY_S else deaths + 1
            self._meters.steward_deaths.inc()
            log.warning("steward died", how=how)
            self._down = how
            await asyncio.sleep(min(RESTART_MAX_S, RESTART_S * 2.0 ** min(deaths, 16)))

    async def _live(self) -> str:
        """One steward's life; returns how it ended."""
        try:
            process = await StewardProcess.spawn(self._instructions, memory_bytes_max=self._memory_bytes_max)
        except OSError as error:
            return f"it could not be started: {error}"
        try:
            self._process = process
            for tenant, documents in self._documents.items():
                for document in documents:
                    process.tell(Attend(tenant, document))
            while True:
                self._note(await process.hear())
        except StewardGone as gone:
            words = process.last_words[-LAST_WORDS_CHARS_MAX:]
            return f"{gone}; its last words: {words!r}" if words else str(gone)
        finally:
            self._process = None
            await process.end()

    def _note(self, report: Report) -> None:
        match report:
            case Alive():
                self._down = None
            case Rounded(tenant):
                self._owed.discard(tenant)
                self._meters.steward_rounds.inc()
            case Failed(tenant, duty, code, sentence):
                self._meters.steward_failures.labels(duty=duty).inc()
                log.warning("steward failed", duty=duty, tenant=tenant, code=code, error=sentence)

    async def dismiss(self, in_use: Callable[[], Collection[RoomId]]) -> None:
        """Let go of tenants that nobody has used for a while, for ever. ``in_use`` are the rooms with visitors now."""
        while True:
            await asyncio.sleep(max(0.05, min(self._idle_s / 4, 5.0)))
            now_s = time.monotonic()
            for room in in_use():
                if room.tenant in self._used_at_s and room.document.startswith(_KEPT):
                    self._used_at_s[room.tenant] = now_s
            idle = {tenant for tenant, at_s in self._used_at_s.items() if now_s - at_s >= self._idle_s}
            for tenant in idle - self._owed:
                del self._used_at_s[tenant], self._documents[tenant]
                if self._process is not None:
                    self._process.tell(Dismiss(tenant))


@asynccontextmanager
async def open_steward(steward: Steward, in_use: Callable[[], Collection[RoomId]]) -> AsyncIterator[Steward]:
    """Run ``steward`` while the block runs; on leaving, no process of it is left."""
    tasks = [
        asyncio.create_task(steward.run(), name="supervise the steward"),
        asyncio.create_task(steward.dismiss(in_use), name="dismiss tenants"),
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
