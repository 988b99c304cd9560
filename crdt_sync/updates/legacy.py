"""Content of kind JSON, as Yjs wrote it before 13.0, rewritten as the values that Yjs writes today. Pure.

Elements keep their ids, lengths and places; everything else stays byte for byte. See docs/adr/0013.
"""

from __future__ import annotations

import struct as binary
from typing import Any, Final, NamedTuple

from crdt_sync.errors import MalformedUpdate
from crdt_sync.limits import Limits
from crdt_sync.protocol.wire import text, uint
from crdt_sync.updates.decode import ANY, CLIENT_MAX, JSON, Cursor, decode_update, read_struct
from crdt_sync.values import read_json

_HAS_ORIGIN: Final = 128
_HAS_RIGHT: Final = 64
_HAS_KEY: Final = 32
_KIND: Final = 31
_SMALL_INTEGER_MAX: Final = 2**31 - 1


class Converted(NamedTuple):
    """An update without content of kind JSON."""

    update: bytes
    elements: int
    """How many elements were rewritten; 0 means that the update is what it was."""


def convert_legacy(raw: bytes, limits: Limits) -> Converted:
    """Rewrite what of ``raw``, a v1 update, is of kind JSON.

    Raises :class:`MalformedUpdate` or :class:`LimitExceeded`, also where a value has no counterpart: text with half of
    a surrogate pair, which UTF-8 can't hold, and numbers beyond a double.
    """
    cursor = Cursor(raw, limits)
    parts: list[bytes] = []
    copied_to = elements = 0
    try:
        for _ in range(cursor.count(5)):
            structs = cursor.count(2)
            cursor.uint(CLIENT_MAX)
            clock = cursor.uint()
            for _ in range(structs):
                start = cursor.pos
                info = raw[start]
                if info & _KIND != JSON:
                    clock += read_struct(cursor, clock).length
                    continue
                cursor.pos += 1
                _skip_place(cursor, info)
                place_end = cursor.pos
                values = _read_values(cursor)
                parts += (raw[copied_to:start], bytes((info - JSON + ANY,)), raw[start + 1 : place_end], values.update)
                copied_to = cursor.pos
                clock += values.elements
                elements += values.elements
    except IndexError:
        raise MalformedUpdate("the update ends in the middle of a value") from None
    update = b"".join((*parts, raw[copied_to:])) if elements else raw
    # Also proves what was only copied: empty sections, the deletes, and that nothing follows them.
    decode_update(update, limits)
    return Converted(update, elements)


def _skip_place(cursor: Cursor, info: int) -> None:
    """Walk over origin, right, parent and key."""
    if info & _HAS_ORIGIN:
        cursor.id()
    if info & _HAS_RIGHT:
        cursor.id()
    if info & (_HAS_ORIGIN | _HAS_RIGHT):
        return
    if cursor.uint(1):
        cursor.text()
    else:
        cursor.id()
    if info & _HAS_KEY:
        cursor.text()


def _read_values(cursor: Cursor) -> Converted:
    """The content at the cursor, as content of kind Any."""
    count = cursor.count(1)
    parts = [uint(count)]
    for _ in range(count):
        written = cursor.text()
        # How Yjs wrote what JSON has no word for.
        if written == "undefined":
            parts.append(b"\x7f")
            continue
        try:
            parts.append(_any(read_json(written, cursor.limits.any_depth_max)))
        except UnicodeEncodeError:
            raise MalformedUpdate("content of kind JSON holds half of a surrogate pair") from None
        except ValueError as error:
            raise MalformedUpdate(f"content of kind JSON can't be read: {error}") from None
    return Converted(b"".join(parts), count)


def _any(value: Any) -> bytes:
    match value:
        case None:
            return b"\x7e"
        case bool():
            return b"\x78" if value else b"\x79"
        case float():
            return _number(value)
        case str():
            return b"\x77" + text(value)
        case list():
            return b"\x75" + uint(len(value)) + b"".join(map(_any, value))
        case _:
            return b"\x76" + uint(len(value)) + b"".join(text(key) + _any(item) for key, item in value.items())


def _number(value: float) -> bytes:
    """As Yjs chooses: small integers by their digits, the rest as a double."""
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is beyond what a double holds")
    if not value.is_integer() or abs(value) > _SMALL_INTEGER_MAX:
        return b"\x7b" + binary.pack(">d", value)
    sign = 0x40 if binary.pack(">d", value)[0] & 0x80 else 0
    rest = int(abs(value))
    digits = bytearray((0x7D, (0x80 if rest > 0x3F else 0) | sign | (rest & 0x3F)))
    rest >>= 6
    while rest:
        digits.append((0x80 if rest > 0x7F else 0) | (rest & 0x7F))
        rest >>= 7
    return bytes(digits)
