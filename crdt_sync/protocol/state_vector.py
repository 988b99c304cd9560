"""State vectors on the wire: how many clients, then for each its id and the first clock not held."""

from __future__ import annotations

from crdt_sync.errors import MalformedMessage
from crdt_sync.protocol import wire
from crdt_sync.values import ClientId, Clock, StateVector

CLOCK_MAX = 2**31 - 1


def decode(data: bytes, clients_max: int) -> dict[ClientId, Clock]:
    """Read a state vector. Raises :class:`MalformedMessage`, or :class:`LimitExceeded` over ``clients_max``."""
    reader = wire.Reader(data)
    # Five bytes that announce 2**28 entries cost yrs half a gigabyte; two bytes is the least that one entry takes.
    state: dict[ClientId, Clock] = {}
    for _ in range(reader.count(2, clients_max)):
        client = reader.uint()
        if client in state:
            raise MalformedMessage(f"client {client} stands twice in a state vector")
        state[client] = reader.uint(CLOCK_MAX)
    reader.finish()
    return state


def encode(state: StateVector) -> bytes:
    """The inverse of :func:`decode`."""
    parts = [wire.uint(len(state))]
    for client, clock in state.items():
        parts.append(wire.uint(client))
        parts.append(wire.uint(clock))
    return b"".join(parts)
