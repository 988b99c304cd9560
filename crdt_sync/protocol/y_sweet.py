"""The y-sweet dialect: the frames of y-websocket, and a question whose answer means "on disk".

Client 0.9, https://github.com/jamsocket/y-sweet (js-pkg/client). One document a socket, one message a frame.

::

    [0], [1], [2] ...                as in y_websocket.py
    [3]                              PresenceRequest
    [3][blob presence]               Presence: how this client answers a presence request
    [102][blob [uint version]]       SaveMark, asked and answered in the same words
"""

from __future__ import annotations

import re

from crdt_sync.limits import Limits
from crdt_sync.protocol import presence_codec, wire, y_websocket
from crdt_sync.protocol.messages import Message, SaveMark
from crdt_sync.values import check_document

SYNC_STATUS = 102
PRESENCE_REQUEST = y_websocket.PRESENCE_REQUEST
SIGN_OF_LIFE = y_websocket.SIGN_OF_LIFE

DOC_ID = re.compile(r"[A-Za-z0-9_-]+")
"""What y-sweet takes for the id of a document."""


def decode(frame: bytes, limits: Limits) -> Message:
    """Read one frame. Raises :class:`MalformedMessage` or :class:`LimitExceeded`, whatever the bytes are."""
    kind = frame[0] if frame else None
    if kind != SYNC_STATUS and not (kind == PRESENCE_REQUEST and len(frame) > 1):
        return y_websocket.decode(frame, limits)
    reader = wire.Reader(frame)
    reader.byte()
    payload = reader.blob()
    reader.finish()
    if kind == PRESENCE_REQUEST:
        return presence_codec.decode(payload, limits)
    inner = wire.Reader(payload)
    mark = SaveMark(inner.uint())
    inner.finish()
    return mark


def encode(message: Message) -> bytes:
    """One message as one frame. Raises :class:`OutOfTurn` for what this dialect has no word for."""
    if isinstance(message, SaveMark):
        return bytes((SYNC_STATUS,)) + wire.blob(wire.uint(message.version))
    return y_websocket.encode(message)


def document_of(doc_id: str) -> str:
    """The document of ours that a page means by ``doc_id``. Raises :class:`InvalidName`.

    A name of ours means itself, slashes and all: the client copies it into its URLs as it stands. Ids of y-sweet may
    also hold capitals, and begin with a dash: ``X`` becomes ``.x``, and ``_.`` goes before what no name of ours may
    begin with. No two ids of y-sweet become one name.
    """
    if not DOC_ID.fullmatch(doc_id):
        return check_document(doc_id)
    name = "".join(f".{char.lower()}" if char.isupper() else char for char in doc_id)
    return check_document(f"_.{name}" if name[0] in ".-" else name)
