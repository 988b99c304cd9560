"""One connection's place in one room, seen from the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from crdt_sync.protocol.messages import Message
from server.auth.patterns import PathRights
from server.rooms.dialect import Dialect
from server.rooms.outbox import Outbox

Spelling: TypeAlias = Callable[[Message], Sequence[bytes]]
"""Messages for one member alone, as frames: none, one, or as many as it takes."""


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
    address: str | None = None
    """What its frames call the document, where that is another word than the document's name."""
    spell: Spelling | None = None
    """For a dialect whose replies depend on what this member said before, such as one that counts acks."""
    rights: PathRights | None = None
    """What it may write, where that is not the whole document."""
    client_address: str = ""
    """Where its connection comes from, for the record."""

    def frame_for_all(self, document: str, message: Message) -> bytes | None:
        """A broadcast; the same for every member of one dialect and one address."""
        return self.dialect.encode(self.address or document, message)

    def frames(self, document: str, message: Message) -> Sequence[bytes]:
        """What tells this member, and nobody else, ``message``."""
        if self.spell is not None:
            return self.spell(message)
        frame = self.frame_for_all(document, message)
        return () if frame is None else (frame,)
