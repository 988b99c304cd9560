"""What a delete comes to: with a list or a map goes all that is inside. No I/O, no Doc."""

from __future__ import annotations

from collections.abc import Sequence

from crdt_sync.updates.decode import COLLECTED, decode_update
from crdt_sync.updates.encode import write_update
from crdt_sync.updates.ranges import Range, Ranges
from crdt_sync.values import ClientId, Id
from server.scribes.history import STORED_LIMITS, History


def reach(update: bytes, updates: Sequence[bytes]) -> bytes:
    """An update that deletes what ``update`` deletes, and all that is inside of it in the document of ``updates``.

    A replica that has taken the delete in says all of that when it is asked for its state."""
    deletes = {client: Ranges(ranges) for client, ranges in decode_update(update, STORED_LIMITS).deletes.items()}
    inside = _contents(History(updates))
    waiting = [parent for parent in inside if _holds(deletes, parent)]
    while waiting:
        for client, (start, end) in inside.pop(waiting.pop(), ()):
            deletes.setdefault(client, Ranges()).add(start, end)
            # A type is one element; others may be announced by the million.
            waiting += [(client, start)] if end == start + 1 else []
    return write_update([], deletes)


def _contents(log: History) -> dict[Id, list[tuple[ClientId, Range]]]:
    """The elements of each nested type, by the element that is the type."""
    found: dict[Id, list[tuple[ClientId, Range]]] = {}
    for client in log.clients:
        for start, end, (_, struct) in log.between(client, 0, log.ledger.clocks[client]):
            slot = None if struct.kind == COLLECTED else log.slot((client, start))
            if slot is not None and not isinstance(slot[0], str):
                found.setdefault(slot[0], []).append((client, (start, end)))
    return found


def _holds(deletes: dict[ClientId, Ranges], element: Id) -> bool:
    client, clock = element
    return client in deletes and not deletes[client].missing(clock, clock + 1)
