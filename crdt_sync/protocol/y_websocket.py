"""The y-websocket dialect: one document a socket, one message a frame.

Client 1.x to 3.x, https://github.com/yjs/y-websocket and y-protocols' PROTOCOL.md. A client before 4.0 reads only
the first message of a frame, so messages are never joined.

::

    [0][0][blob state vector]   StateRequest        [1][blob presence]     Presence
    [0][1][blob update]         StateReply          [2][0][text reason]    Denied
    [0][2][blob update]         NewUpdate           [3]                    PresenceRequest
"""

from __future__ import annotations

from crdt_sync.errors import MalformedMessage, OutOfTurn
from crdt_sync.limits import Limits
from crdt_sync.protocol import presence_codec, state_vector, wire
from crdt_sync.protocol.messages import (
    Denied,
    Message,
    NewUpdate,
    Presence,
    PresenceRequest,
    StateReply,
    StateRequest,
)

SYNC, PRESENCE, AUTH, PRESENCE_REQUEST = 0, 1, 2, 3
STEP_1, STEP_2, UPDATE = 0, 1, 2
PERMISSION_DENIED = 0

SIGN_OF_LIFE = bytes((PRESENCE, 1, 0))
"""An empty presence frame: a stock client reconnects after 30 s without an application message."""


def decode(frame: bytes, limits: Limits) -> Message:
    """Read one frame. Raises :class:`MalformedMessage` or :class:`LimitExceeded`, whatever the bytes are."""
    reader = wire.Reader(frame)
    message = _read(reader, limits)
    reader.finish()
    return message


def _read(reader: wire.Reader, limits: Limits) -> Message:
    match reader.uint():
        case 0:
            return read_sync(reader, limits)
        case 1:
            return presence_codec.decode(reader.blob(), limits)
        case 2:
            if reader.uint() != PERMISSION_DENIED:
                raise MalformedMessage("an authentication frame of this dialect can only deny")
            return Denied("denied", reader.text())
        case 3:
            return PresenceRequest()
        case kind:
            raise MalformedMessage(f"there is no message type {kind} in this dialect")


def read_sync(reader: wire.Reader, limits: Limits) -> Message:
    """What follows the number of a sync message, up to its end. Raises as :func:`decode`."""
    match reader.uint():
        case 0:
            return StateRequest(state_vector.decode(reader.blob(), limits.clients_max))
        case 1:
            return StateReply(reader.blob())
        case 2:
            return NewUpdate(reader.blob())
        case step:
            raise MalformedMessage(f"there is no sync step {step}")


def encode(message: Message) -> bytes:
    """One message as one frame. Raises :class:`OutOfTurn` for what this dialect has no word for."""
    match message:
        case StateRequest(state):
            return bytes((SYNC, STEP_1)) + wire.blob(state_vector.encode(state))
        case StateReply(update):
            return bytes((SYNC, STEP_2)) + wire.blob(update)
        case NewUpdate(update):
            return bytes((SYNC, UPDATE)) + wire.blob(update)
        case Presence():
            return bytes((PRESENCE,)) + wire.blob(presence_codec.encode(message))
        case PresenceRequest():
            return bytes((PRESENCE_REQUEST,))
        case Denied(_, reason):
            return bytes((AUTH, PERMISSION_DENIED)) + wire.text(reason)
        case _:
            raise OutOfTurn(f"the y-websocket dialect has no word for {type(message).__name__}")
