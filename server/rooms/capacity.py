"""How many rooms may be open: for one more, the one that has been idle the longest makes place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from crdt_sync.errors import RateLimited, RoomClosing
from crdt_sync.limits import Limits
from crdt_sync.values import RoomId
from server.rooms.host import Host
from server.telemetry.meters import Meters

ROOM_MAKES_S: Final = 5.0
"""When to come back after there was no place: nobody knows when somebody else leaves."""


def make_place(room_id: RoomId, hosts: Mapping[RoomId, Host | None], limits: Limits, meters: Meters) -> None:
    """See that ``room_id`` may be opened beside ``hosts``, of which None stands for one that is being opened.

    Raises :class:`RateLimited` where every room that would have to go has somebody in it."""
    in_tenant = {other: host for other, host in hosts.items() if other.tenant == room_id.tenant}
    for limit, maximum, rooms in (
        ("tenant_rooms_max", limits.tenant_rooms_max, in_tenant),
        ("rooms_max", limits.rooms_max, hosts),
    ):
        open_rooms = [host for host in rooms.values() if host is None or not host.is_closing]
        if len(open_rooms) < maximum:
            continue
        meters.limits_reached.labels(limit=limit).inc()
        idle = _longest_idle(open_rooms)
        if idle is None:
            raise RateLimited("rooms open", ROOM_MAKES_S)
        idle.close(RoomClosing(f"room {idle.room_id} was idle, and another one needs its place"))


def _longest_idle(hosts: Iterable[Host | None]) -> Host | None:
    idle = [host for host in hosts if host is not None and host.is_idle]
    return min(idle, key=lambda host: host.idle_since_s, default=None)
