"""The Hocuspocus dialect: many documents on one socket, a token for each within it, acks one by one.

Provider 4.x, https://github.com/ueberdosis/hocuspocus (packages provider and common). A frame begins with an address:
the document's name and, for providers that share one, a zero byte and the name of their session. The relay answers to
the address that it was spoken to from.

::

    [text address] [0][0..2] ...                    StateRequest, StateReply, NewUpdate, as in y_websocket.py
                   [1][blob presence]               Presence
                   [2][0][text token][text version] Authenticate; without token and version: TokenRequest
                   [2][1][text reason]              Denied
                   [2][2][text scope]               Admitted: "read-write" or "readonly"
                   [3]                              PresenceRequest
                   [5][text]                        Stateless
                   [7]                              Leave; with a text: Ended
                   [8][0|1]                         Settled
    [9], [10]                                       a sign of life and its answer: the connection's, without an address

What Hocuspocus servers say among themselves (4 and 6) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from crdt_sync.errors import LimitExceeded, MalformedMessage, OutOfTurn
from crdt_sync.limits import Limits
from crdt_sync.protocol import presence_codec, wire, y_websocket
from crdt_sync.protocol.messages import (
    Admitted,
    Authenticate,
    Denied,
    Ended,
    Leave,
    Message,
    NewUpdate,
    Presence,
    PresenceRequest,
    Settled,
    Stateless,
    StateReply,
    StateRequest,
    TokenRequest,
)

SYNC, PRESENCE, AUTH, PRESENCE_REQUEST, STATELESS, CLOSE, SYNC_STATUS = 0, 1, 2, 3, 5, 7, 8
TOKEN, PERMISSION_DENIED, AUTHENTICATED = 0, 1, 2

PING, PONG = bytes((9,)), bytes((10,))
"""Whole frames. Nothing else is a single byte: an address has at least one, behind its length."""

ADDRESS_BYTES_MAX = 512
"""Far more than a name of ours and a session's have together."""
SEPARATOR = "\0"

_SCOPES: Final[Mapping[bool, str]] = {True: "read-write", False: "readonly"}
_MAY_WRITE: Final[Mapping[str, bool]] = {scope: may_write for may_write, scope in _SCOPES.items()}


class Envelope(NamedTuple):
    """A frame whose address has been read, and whose message has not."""

    address: str
    kind: int
    body: wire.Reader

    @property
    def document(self) -> str:
        """The name of the document, as the client wrote it: not checked."""
        return self.address.partition(SEPARATOR)[0]

    @property
    def is_token(self) -> bool:
        return self.kind == AUTH

    @property
    def is_presence(self) -> bool:
        return self.kind == PRESENCE

    @property
    def is_leave(self) -> bool:
        return self.kind == CLOSE

    @property
    def is_update(self) -> bool:
        """An update, or a whole state."""
        step = self.body.data[self.body.pos : self.body.pos + 1]
        return self.kind == SYNC and step != bytes((y_websocket.STEP_1,))

    @property
    def is_state_request(self) -> bool:
        return self.kind == SYNC and not self.is_update


def open_frame(frame: bytes) -> Envelope:
    """Read whom a frame is from and of what kind it is. Raises :class:`MalformedMessage` or :class:`LimitExceeded`."""
    reader = wire.Reader(frame)
    length = reader.uint()
    if length > ADDRESS_BYTES_MAX:
        raise LimitExceeded("address bytes", ADDRESS_BYTES_MAX, length)
    reader.pos = 0
    address = reader.text()
    if not address.partition(SEPARATOR)[0].strip():
        raise MalformedMessage("the frame names no document")
    return Envelope(address, reader.uint(), reader)


def decode(envelope: Envelope, limits: Limits) -> Message:
    """Read the message; once. Raises :class:`MalformedMessage` or :class:`LimitExceeded`, whatever the bytes are."""
    reader = envelope.body
    message = _read(envelope.kind, reader, limits)
    reader.finish()
    return message


def _read(kind: int, reader: wire.Reader, limits: Limits) -> Message:
    match kind:
        case 0:
            return y_websocket.read_sync(reader, limits)
        case 1:
            return presence_codec.decode(reader.blob(), limits)
        case 2:
            return _read_auth(reader)
        case 3:
            return PresenceRequest()
        case 5:
            return Stateless(_bounded(reader.text(), limits))
        case 7:
            return Ended(reader.text()) if reader.remaining else Leave()
        case 8:
            return Settled(reader.uint(1) == 1)
        case _:
            raise MalformedMessage(f"there is no message type {kind} between a provider and the relay")


def _read_auth(reader: wire.Reader) -> Message:
    match reader.uint():
        case 0:
            if not reader.remaining:
                return TokenRequest()
            message = Authenticate(reader.text())
            if reader.remaining:
                # Providers say their version from 4.0 on; it changes nothing.
                reader.text()
            return message
        case 1:
            code, mark, reason = reader.text().partition(": ")
            return Denied(code, reason) if mark else Denied("denied", code)
        case 2:
            scope = reader.text()
            if scope not in _MAY_WRITE:
                raise MalformedMessage("the scope of a token is read-write or readonly")
            return Admitted(_MAY_WRITE[scope])
        case kind:
            raise MalformedMessage(f"there is no authentication message {kind}")


def _bounded(payload: str, limits: Limits) -> str:
    size = len(payload.encode())
    if size > limits.stateless_bytes_max:
        raise LimitExceeded("stateless_bytes_max", limits.stateless_bytes_max, size)
    return payload


def encode(address: str, message: Message) -> bytes:
    """One message as one frame. Raises :class:`OutOfTurn` for what this dialect has no word for."""
    return wire.text(address) + _body(message)


def _body(message: Message) -> bytes:
    match message:
        case StateRequest() | StateReply() | NewUpdate() | Presence() | PresenceRequest():
            return y_websocket.encode(message)
        case Authenticate(token):
            return bytes((AUTH, TOKEN)) + wire.text(token) + wire.text("")
        case TokenRequest():
            return bytes((AUTH, TOKEN))
        case Denied(code, reason):
            return bytes((AUTH, PERMISSION_DENIED)) + wire.text(f"{code}: {reason}")
        case Admitted(may_write):
            return bytes((AUTH, AUTHENTICATED)) + wire.text(_SCOPES[may_write])
        case Stateless(payload):
            return bytes((STATELESS,)) + wire.text(payload)
        case Leave():
            return bytes((CLOSE,))
        case Ended(reason):
            return bytes((CLOSE,)) + wire.text(reason)
        case Settled(is_kept):
            return bytes((SYNC_STATUS, is_kept))
        case _:
            raise OutOfTurn(f"the Hocuspocus dialect has no word for {type(message).__name__}")
