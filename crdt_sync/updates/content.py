"""What a struct holds, element by element: for comparing and for reading single values, not for the hot path."""

from __future__ import annotations

import struct as binary
import sys
from array import array
from collections.abc import Iterator
from itertools import repeat
from typing import Any, Final

from crdt_sync.errors import MalformedUpdate
from crdt_sync.updates.decode import (
    ANY,
    BINARY,
    COLLECTED,
    DELETED,
    EMBED,
    FORMAT,
    SKIP,
    STRING,
    SUBDOCUMENT,
    TYPE,
    Cursor,
    Struct,
)
from crdt_sync.values import read_json


class Gone:
    """Stands for an element whose content was deleted: its id is left, nothing else."""


GONE: Final = Gone()


def elements(raw: bytes, struct: Struct) -> Iterator[Any]:
    """The elements of ``struct``, one a clock; ``raw`` is the update that it was decoded from.

    Strings give UTF-16 code units as integers; values what JSON would, with every number a float and undefined as
    None; anything else a tuple of its kind and what every encoder keeps of it.
    """
    cursor = Cursor(raw, pos=struct.content)
    match struct.kind:
        case kind if kind in (COLLECTED, DELETED, SKIP):
            return repeat(GONE, struct.length)
        case kind if kind == ANY:
            return (_any(cursor) for _ in range(cursor.count(1)))
        case kind if kind == STRING:
            return iter(array("H", cursor.text().encode(f"utf-16-{sys.byteorder[0]}e")))
        case kind if kind in (BINARY, TYPE):
            return iter([(kind, raw[struct.content : struct.end])])
        case kind if kind == EMBED:
            return iter([(kind, _json(cursor))])
        case kind if kind == FORMAT:
            return iter([(kind, cursor.text(), _json(cursor))])
        case kind if kind == SUBDOCUMENT:
            # yrs drops options that it does not know, so only the guid is common to all encodings.
            return iter([(kind, cursor.text())])
        case kind:
            raise MalformedUpdate(f"content of kind {kind} has no elements")


def last_but_one(raw: bytes, struct: Struct) -> bytes | None:
    """The value before the last of a run of values, as the content of an element of its own."""
    if struct.kind != ANY:
        return None
    cursor = Cursor(raw, pos=struct.content)
    start = end = cursor.pos
    for _ in range(cursor.count(1) - 1):
        start = cursor.pos
        _any(cursor)
        end = cursor.pos
    return b"\x01" + raw[start:end]


def _json(cursor: Cursor) -> Any:
    text = cursor.text()
    # Its depth was proven when the update was decoded.
    return read_json(text, len(text))


def _any(cursor: Cursor) -> Any:
    tag = cursor.raw[cursor.pos]
    cursor.pos += 1
    match tag:
        case 116:
            return cursor.blob()
        case 117:
            return [_any(cursor) for _ in range(cursor.count(1))]
        case 118:
            return {cursor.text(): _any(cursor) for _ in range(cursor.count(2))}
        case 119:
            return cursor.text()
        case 120 | 121:
            return tag == 120
        case 122 | 123 | 124:
            return _fixed_number(cursor, tag)
        case 125:
            return float(_signed(cursor))
        case _:
            return None


def _fixed_number(cursor: Cursor, tag: int) -> float:
    form, size = {122: (">q", 8), 123: (">d", 8), 124: (">f", 4)}[tag]
    start = cursor.pos
    cursor.skip(size)
    (number,) = binary.unpack(form, cursor.raw[start : cursor.pos])
    return float(number)


def _signed(cursor: Cursor) -> int:
    byte = cursor.raw[cursor.pos]
    cursor.pos += 1
    negative, value, shift = byte & 0x40, byte & 0x3F, 6
    while byte & 0x80:
        byte = cursor.raw[cursor.pos]
        cursor.pos += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return -value if negative else value


def type_of(raw: bytes, content: int) -> int:
    """Which shared type a struct of kind TYPE holds; ``content`` is where its content begins."""
    return Cursor(raw, pos=content).uint()
