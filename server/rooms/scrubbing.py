"""What the relay does about damage that the scrubber finds: say so, count it, and end the room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crdt_sync.errors import StoreCorrupted
from crdt_sync.values import RoomId
from server.rooms.registry import Rooms
from server.storage.scrubber import Damage, Listener, Scrubber, run_beside
from server.storage.tenants import Tenants
from server.telemetry.meters import Meters


@asynccontextmanager
async def open_scrubbing(
    tenants: Tenants, rooms: Rooms, meters: Meters, *, interval_s: float, bytes_per_s: int
) -> AsyncIterator[Scrubber]:
    """Read every document on disk once in ``interval_s``, beside the block; 0: never."""

    def checked(read_bytes: int) -> None:
        meters.scrubbed_documents.inc()
        meters.scrubbed_bytes.inc(read_bytes)

    async def damaged(damage: Damage) -> None:
        meters.damage_found.labels(readable="yes" if damage.is_readable else "no").inc()
        if damage.document is not None and not damage.is_readable:
            await _end_room(rooms, RoomId(damage.tenant, damage.document), damage)

    scrubber = Scrubber(
        tenants, Listener(checked, damaged, meters.scrub_passes.inc), interval_s=interval_s, bytes_per_s=bytes_per_s
    )
    if not interval_s:
        yield scrubber
        return
    async with run_beside(scrubber):
        yield scrubber


async def _end_room(rooms: Rooms, room_id: RoomId, damage: Damage) -> None:
    """Its memory is whole, yet the next start would find that the disk is not; who is in it must hear of that now."""
    async with rooms.interrupted(room_id, StoreCorrupted(str(damage.error))):
        return
