"""A peer's side of the conversation about one document on one connection, without any I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from crdt_sync.errors import OutOfTurn
from crdt_sync.protocol.messages import (
    Ack,
    Denied,
    Message,
    NewUpdate,
    StateReply,
    StateRequest,
)
from crdt_sync.replica import Replica
from crdt_sync.values import StateVector


class Received(NamedTuple):
    """What a message from the relay brought."""

    fresh: Sequence[bytes] = ()
    """New updates, merged already; to be appended to the local log."""
    replies: Sequence[Message] = ()
    """To be sent, in this order."""


NOTHING = Received()


class PeerSession:
    """Lives as long as one connection. When the cable is pulled it is dropped: the local log is the memory.

    ``mark`` counts what is in the local log; the session reports up to which mark the relay has everything on disk.
    """

    def __init__(self, replica: Replica, mark: int) -> None:
        self._replica = replica
        self._mark = mark
        self._sent = 0
        self._acked = 0
        self._covers: deque[tuple[int, int]] = deque()
        self._was_asked = False
        self._awaits_state = False
        self._durable_mark = 0
        self.synced = False
        """The relay's state as of our joining has arrived."""
        self.denied: Denied | None = None
        """The relay's refusal, once it has refused something of ours."""

    def open(self) -> Sequence[Message]:
        """The first words: what we hold. The relay answers with what we lack, and asks for what it lacks."""
        self._awaits_state = True
        return (StateRequest(dict(self._replica.state)),)

    def local(self, update: bytes, mark: int) -> Sequence[Message]:
        """Announce an edit that is in the local log, which now stands at ``mark``."""
        # What a merge made us note may overtake an edit that was written before it and waits for its other documents.
        self._mark = max(self._mark, mark)
        if not self._was_asked:
            # The relay's question is on its way; the answer to it will hold this edit and those before it.
            return ()
        return self._numbered([NewUpdate(update)])

    def receive(self, message: Message) -> Received:
        """Take one message in. Raises :class:`ProtocolError` when the relay breaks the rules: end the connection."""
        match message:
            case NewUpdate(update):
                return self._merge(update, whole_state=False)
            case StateReply(update):
                received = self._merge(update, whole_state=True)
                self.synced, self._awaits_state = True, False
                return received
            case StateRequest(state):
                return Received(replies=self._answer(state))
            case Ack(through):
                self._note_ack(through)
                return NOTHING
            case Denied():
                self.denied = message
                return NOTHING
            case _:
                # Who is here does not concern a peer, and the rest is for pages.
                return NOTHING

    @property
    def all_durable(self) -> bool:
        """The relay has everything that is in the local log on disk."""
        return self._was_asked and self._acked == self._sent and self._durable_mark >= self._mark

    @property
    def durable_mark(self) -> int:
        """The relay has the local log up to this mark on disk; 0 until it has said so."""
        return self._durable_mark

    def _merge(self, update: bytes, *, whole_state: bool) -> Received:
        merged = self._replica.merge(update)
        if not merged.gap:
            return Received(() if merged.fresh is None else (merged.fresh,))
        # Nothing of it was merged: what is merged and not returned would be missing from the log.
        if whole_state:
            raise OutOfTurn("the relay's own state builds on something that it did not send")
        if self._awaits_state:
            return NOTHING
        self._awaits_state = True
        return Received(replies=(StateRequest(dict(self._replica.state)),))

    def _answer(self, state: StateVector) -> Sequence[Message]:
        self._was_asked = True
        *parts, last = self._replica.parts_since(state)
        return self._numbered([*map(NewUpdate, parts), StateReply(last)])

    def _numbered(self, messages: Sequence[Message]) -> Sequence[Message]:
        # Only the last one completes the mark: an acknowledged part is not yet the whole.
        self._sent += len(messages)
        self._covers.append((self._sent, self._mark))
        return messages

    def _note_ack(self, through: int) -> None:
        if not self._acked <= through <= self._sent:
            raise OutOfTurn(f"{through} updates are acknowledged, but {self._sent} were sent")
        self._acked = through
        while self._covers and self._covers[0][0] <= through:
            _, self._durable_mark = self._covers.popleft()
