"""The dialect of our own peers: many documents on one socket, acknowledgements in so many words.

A frame is the document's name, then one message; sync and presence messages are those of the y-websocket dialect.

::

    [text document] [0..3 ...]                        as in y_websocket.py
    [text document] [4][0][uint through]              Ack
    [text document] [4][1][text code][text reason]    Denied
    [text document] [4][2]                            Leave
    [text ""]       [4][3][text token]                Authenticate: another token for the whole connection
"""

from __future__ import annotations

from crdt_sync.errors import InvalidName, MalformedMessage
from crdt_sync.limits import Limits
from crdt_sync.protocol import wire, y_websocket
from crdt_sync.protocol.messages import Ack, Authenticate, Denied, Leave, Message
from crdt_sync.values import check_document

CONTROL = 4
ACK, DENIED, LEAVE, AUTHENTICATE = 0, 1, 2, 3
CONNECTION = ""
"""Stands where a document's name stands, for what is about none."""


def decode(frame: bytes, limits: Limits) -> tuple[str, Message]:
    """Read one frame: the document's name (or :data:`CONNECTION`) and the message.

    Raises :class:`ProtocolError`, whatever the bytes are."""
    reader = wire.Reader(frame)
    try:
        document = reader.text()
        if document == CONNECTION:
            return document, _read_about_connection(reader)
        check_document(document)
    except InvalidName as error:
        raise MalformedMessage(str(error)) from None
    body = frame[reader.pos :]
    if body[:1] != bytes((CONTROL,)):
        return document, y_websocket.decode(body, limits)
    reader.byte()
    message = _read_control(reader)
    reader.finish()
    return document, message


def _read_about_connection(reader: wire.Reader) -> Message:
    if reader.byte() != CONTROL or reader.uint() != AUTHENTICATE:
        raise MalformedMessage("a message about no document must be a token")
    message = Authenticate(reader.text())
    reader.finish()
    return message


def _read_control(reader: wire.Reader) -> Message:
    match reader.uint():
        case 0:
            return Ack(reader.uint())
        case 1:
            return Denied(reader.text(), reader.text())
        case 2:
            return Leave()
        case kind:
            raise MalformedMessage(f"there is no control message {kind}")


def encode(document: str, message: Message) -> bytes:
    """One message about ``document`` as one frame; a token is about :data:`CONNECTION`."""
    return wire.text(document) + _body(message)


def _body(message: Message) -> bytes:
    match message:
        case Ack(through):
            return bytes((CONTROL, ACK)) + wire.uint(through)
        case Denied(code, reason):
            return bytes((CONTROL, DENIED)) + wire.text(code) + wire.text(reason)
        case Leave():
            return bytes((CONTROL, LEAVE))
        case Authenticate(token):
            return bytes((CONTROL, AUTHENTICATE)) + wire.text(token)
        case _:
            return y_websocket.encode(message)
