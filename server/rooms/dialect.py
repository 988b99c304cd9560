"""How a member's connection spells messages. One value for each dialect, shared by all who speak it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crdt_sync.errors import OutOfTurn
from crdt_sync.protocol import hocuspocus, multiplexed, y_sweet, y_websocket
from crdt_sync.protocol.messages import Message


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
    keeps_pending: bool = True
    """Its client may hold what it can't use yet, and says so where it says what it holds; a peer of ours never does."""
    counts_acks: bool = False
    """Its client counts what is not on disk yet, anew from each StateRequest on; see rooms/tally.py."""
    is_impatient: bool = False
    """Its client leaves when it has said something and hears nothing for 3 s."""


def _encode_y_websocket(_document: str, message: Message) -> bytes | None:
    try:
        return y_websocket.encode(message)
    except OutOfTurn:
        return None


def _encode_y_sweet(_document: str, message: Message) -> bytes | None:
    try:
        return y_sweet.encode(message)
    except OutOfTurn:
        return None


def _encode_hocuspocus(address: str, message: Message) -> bytes | None:
    try:
        return hocuspocus.encode(address, message)
    except OutOfTurn:
        return None


def _encode_multiplexed(document: str, message: Message) -> bytes | None:
    try:
        return multiplexed.encode(document, message)
    except OutOfTurn:
        return None


Y_WEBSOCKET = Dialect(
    "y-websocket",
    _encode_y_websocket,
    wants_echo=True,
    sign_of_life=y_websocket.SIGN_OF_LIFE,
    carries_many=False,
)
Y_SWEET = Dialect(
    "y-sweet",
    _encode_y_sweet,
    wants_echo=False,
    sign_of_life=y_sweet.SIGN_OF_LIFE,
    carries_many=False,
    is_impatient=True,
)
HOCUSPOCUS = Dialect(
    "hocuspocus",
    _encode_hocuspocus,
    wants_echo=False,
    sign_of_life=hocuspocus.PING,
    carries_many=True,
    counts_acks=True,
)
MULTIPLEXED = Dialect(
    "multiplexed", _encode_multiplexed, wants_echo=False, sign_of_life=None, carries_many=True, keeps_pending=False
)
