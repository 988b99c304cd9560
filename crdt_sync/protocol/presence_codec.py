"""Presence on the wire (y-protocols awareness): strict on the way in, re-encoded on the way out."""

from __future__ import annotations

from crdt_sync.errors import LimitExceeded, MalformedMessage
from crdt_sync.limits import Limits
from crdt_sync.protocol import wire
from crdt_sync.protocol.messages import Presence, PresenceEntry
from crdt_sync.values import read_json

CLOCK_MAX = 2**32 - 1


def decode(data: bytes, limits: Limits) -> Presence:
    """Read a presence payload. The state of each entry is checked JSON text, never parsed again downstream."""
    if len(data) > limits.presence_bytes_max:
        raise LimitExceeded("presence_bytes_max", limits.presence_bytes_max, len(data))
    reader = wire.Reader(data)
    entries = []
    for _ in range(reader.count(3, limits.presence_states_max)):
        client, clock = reader.uint(), reader.uint(CLOCK_MAX)
        entries.append(PresenceEntry(client, clock, _state(reader.text(), limits)))
    reader.finish()
    return Presence(tuple(entries))


def encode(presence: Presence) -> bytes:
    """The inverse of :func:`decode`; a gone client is the JSON text ``null``."""
    parts = [wire.uint(len(presence.entries))]
    for entry in presence.entries:
        parts += (wire.uint(entry.client), wire.uint(entry.clock), wire.text(entry.state or "null"))
    return b"".join(parts)


def _state(text: str, limits: Limits) -> str | None:
    size = len(text.encode())
    if size > limits.presence_state_bytes_max:
        raise LimitExceeded("presence_state_bytes_max", limits.presence_state_bytes_max, size)
    try:
        value = read_json(text, limits.presence_depth_max)
    except ValueError as error:
        raise MalformedMessage(f"presence: {error}") from None
    return None if value is None else text
