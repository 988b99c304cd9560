"""Members that speak to a room, with updates made by real documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pycrdt import Doc, Map, Text

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.protocol.messages import Message, NewUpdate, StateReply
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.ledger import Ledger
from server.rooms.history import History
from server.rooms.room import Room
from server.rooms.turn import Arrived, Broadcast, Envelope, Listens, Reply, Said, Turn

NOBODY: dict[int, int] = {}


def empty_history(limits: Limits = DEFAULT_LIMITS) -> History:
    return History.load(b"", 0, b"", [], limits, document="acme/stock")


def make_room(limits: Limits = DEFAULT_LIMITS) -> Room:
    return Room(empty_history(limits), limits)


def said(member: int, message: Message, limits: Limits = DEFAULT_LIMITS) -> Said:
    """What the edge makes of a frame: an update is decoded once."""
    update = decode_update(message.update, limits) if isinstance(message, NewUpdate | StateReply) else None
    return Said(member, message, update)


def arrive(
    room: Room, *members: int, may_write: bool = True, wants_echo: bool = False, author: str | None = None
) -> None:
    """Let members in; what they are told on arrival is of no interest."""
    # Who has only the echo is a page, and Yjs keeps what it can't use yet.
    arrived = [Arrived(member, author or f"user-{member}", may_write, wants_echo, wants_echo) for member in members]
    assert absorb(room, *arrived).deliveries == []


def absorb(room: Room, *envelopes: Envelope, now_s: float = 0.0) -> Turn:
    return room.absorb(envelopes, now_s=now_s)


def replies(turn: Turn, member: int) -> list[Message]:
    return [one.message for one in turn.deliveries if isinstance(one, Reply) and one.member == member]


def broadcasts(turn: Turn) -> list[Broadcast]:
    return [one for one in turn.deliveries if isinstance(one, Broadcast)]


def listeners(turn: Turn) -> list[int]:
    return [one.member for one in turn.deliveries if isinstance(one, Listens)]


def kept(turn: Turn) -> list[bytes]:
    return [one.update for one in turn.kept]


class Writer:
    """A document that says what each of its transactions was."""

    def __init__(self, client_id: int) -> None:
        self.doc: Doc[Any] = Doc(client_id=client_id)

    def set(self, key: str, value: str | float) -> bytes:
        """Set a key of the map ``stock``; the update."""
        return self._made(lambda: self.doc.get("stock", type=Map).__setitem__(key, value))

    def delete(self, key: str) -> bytes:
        return self._made(lambda: self.doc.get("stock", type=Map).__delitem__(key))

    def type(self, text: str) -> bytes:
        return self._made(lambda: self.doc.get("notes", type=Text).__iadd__(text))

    def apply(self, *updates: bytes) -> None:
        for update in updates:
            self.doc.apply_update(update)

    def _made(self, change: Any) -> bytes:
        made: list[bytes] = []
        subscription = self.doc.observe(lambda event: made.append(event.update))
        with self.doc.transaction():
            change()
        self.doc.unobserve(subscription)
        (update,) = made
        return update


def content(updates: Sequence[bytes]) -> tuple[Any, str]:
    """What a reader sees who applies ``updates`` in order."""
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc.get("stock", type=Map).to_py(), str(doc.get("notes", type=Text))


def told(turn: Turn, member: int) -> Iterator[bytes]:
    """The updates that a turn sends to a listening ``member``, in their order."""
    for one in turn.deliveries:
        match one:
            case Reply(receiver, NewUpdate(update) | StateReply(update)) if receiver == member:
                yield update
            case Broadcast(NewUpdate(update), _, excluded) if excluded != member:
                yield update
            case _:
                continue


def fresh_ledger() -> Ledger:
    return Ledger(remembers=True)
