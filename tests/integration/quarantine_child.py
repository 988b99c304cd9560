"""Sets the third update aside in a process that kills itself at a call to a store: ``DATA DOCUMENT STEP``; 0: never."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.stores import sqlite_log
from crdt_sync.values import RoomId
from server.rooms import containment
from server.rooms.host import CompactionRule, HostParts
from server.rooms.registry import open_rooms
from server.scribes.pool import open_scribes
from server.storage.quarantine import Quarantines, open_quarantines
from server.storage.tenants import open_tenants
from server.telemetry.meters import Meters

NUMBER = 3
CALLS = {"keep": (Quarantines, "keep"), "mark": (sqlite_log.SqliteLog, "mark")}


def die_at(step: int) -> None:
    """Before and after each of the calls there is a step."""
    passed = 0

    def point() -> None:
        nonlocal passed
        passed += 1
        if passed == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(call)
        async def deadly(*arguments: Any, **named: Any) -> Any:
            point()
            result = await call(*arguments, **named)
            point()
            return result

        return deadly

    for owner, name in CALLS.values():
        setattr(owner, name, wrap(getattr(owner, name)))


async def set_aside(data_dir: Path, room: RoomId) -> None:
    meters = Meters()
    async with (
        open_tenants(data_dir, served=(), free_space_bytes_min=0) as tenants,
        open_quarantines(data_dir) as quarantines,
        open_scribes(count=1, memory_bytes_max=1 << 30, timeout_s=60, on_death=lambda how: None) as scribes,
    ):
        parts = HostParts(DEFAULT_LIMITS, CompactionRule(10**6, 10**9, 1.0), scribes, meters, tenants.check_free_space)
        async with open_rooms(tenants, quarantines, parts, idle_s=60) as rooms:
            log = (await tenants.store(room.tenant)).log(room.document)
            culprit = (await log.load()).tail[NUMBER - 1].update
            found = containment.Containment(rooms, tenants, quarantines, parts)
            await found.set_aside(room, log, {NUMBER: culprit}, "it was ended by signal SIGSEGV")


if __name__ == "__main__":
    die_at(int(sys.argv[3]))
    asyncio.run(set_aside(Path(sys.argv[1]), RoomId.parse(sys.argv[2])))
