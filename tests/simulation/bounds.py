"""The simulated relay's limits: tight, so that short runs reach them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.values import RoomId

ROOM: Final = RoomId("acme", "inventory/2026-11")

LIMITS: Final = replace(
    DEFAULT_LIMITS,
    # Few enough that a reader that pauses for some steps is shed.
    outbox_messages_max=8,
    turn_messages_max=6,
    inbox_messages_max=8,
    # So small that answers are cut into several messages.
    update_part_bytes_max=300,
)
