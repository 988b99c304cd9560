"""Updates that pass the gate, and end what loads them."""

from __future__ import annotations

from crdt_sync.protocol.wire import uint
from crdt_sync.updates.encode import write_update

DEPTH = 40_000
"""So many types, each in the one before it, are more than a stack holds; 26,000 are not."""


def nested_types(depth: int = DEPTH, client_id: int = 1) -> bytes:
    """Arrays in arrays, without a value anywhere. It does no harm before something walks down."""
    client = uint(client_id)
    root = b"\x07\x01\x01n\x00"
    inner = b"".join(b"\x07\x00" + client + uint(clock) + b"\x00" for clock in range(depth - 1))
    return b"\x01" + uint(depth) + client + b"\x00" + root + inner + b"\x00"


def delete_of_all(client_id: int = 1) -> bytes:
    """Deletes the outermost array, and so, one by one, all that is in it: native code recurses once a level."""
    return write_update([], {client_id: [(0, 1)]})


def both(depth: int = DEPTH, client_id: int = 1) -> bytes:
    """The same in one update."""
    return nested_types(depth, client_id)[:-1] + delete_of_all(client_id)[1:]
