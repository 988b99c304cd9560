"""One connection's place in one room, seen from the host."""

from __future__ import annotations

from dataclasses import dataclass

from server.rooms.dialect import Dialect
from server.rooms.outbox import Outbox


@dataclass(slots=True, eq=False)
class Member:
    """``outbox`` belongs to the connection and may serve several members, one for each of its documents."""

    id: int
    author: str
    may_write: bool
    dialect: Dialect
    outbox: Outbox
    listens: bool = False
    """It is sent broadcasts: it was told what came before them, and it reads what it is sent."""
    was_shed: bool = False
    """It was full; until it has read what is queued, it is only sent what brings it up to date."""
