"""How a member's connection spells messages. One value for each dialect, shared by all who speak it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crdt_sync.protocol import multiplexed, y_websocket
from crdt_sync.protocol.messages import Ack, Leave, Message


@dataclass(frozen=True, slots=True)
class Dialect:
    """``encode(document, message)`` gives one frame, or None for what the dialect has no word for."""

    name: str
    encode: Callable[[str, Message], bytes | None]
    wants_echo: bool
    """A writer learns that its update is on disk by getting it back, for want of an Ack."""
    sign_of_life: bytes | None
    """A frame to send on a quiet connection, if its client needs one."""
    carries_many: bool
    """A connection is about many documents, so that the end of one is not the end of it."""


def _encode_y_websocket(_document: str, message: Message) -> bytes | None:
    if isinstance(message, Ack | Leave):
        return None
    return y_websocket.encode(message)


Y_WEBSOCKET = Dialect(
    "y-websocket",
    _encode_y_websocket,
    wants_echo=True,
    sign_of_life=y_websocket.SIGN_OF_LIFE,
    carries_many=False,
)
MULTIPLEXED = Dialect("multiplexed", multiplexed.encode, wants_echo=False, sign_of_life=None, carries_many=True)
