"""Bytes of a Yjs v1 update -> structs and delete ranges. Every count is checked against the bytes that are left.

::

    update  := count { count, client, clock, struct* } deletes          all integers are varUints
    deletes := count { client, count { clock, length } }
    struct  := 0, length                                                collected: nothing but a length is left
             | 10, length                                               skip: the sender does not have these
             | info, [origin], [right], [parent, [key]], content        info = kind | 128 origin | 64 right | 32 key

The parent stands there only when neither origin does; the key only with the parent. The format is that of
https://github.com/yjs/yjs (v13, src/utils/encoding.js and src/structs). Decoding proves form, not causality:
that is the gate's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from crdt_sync.errors import LimitExceeded, MalformedUpdate
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.updates.portable import unreadable
from crdt_sync.updates.ranges import Range
from crdt_sync.values import ClientId, Id, read_json

COLLECTED, DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, SUBDOCUMENT, SKIP = range(11)

CLIENT_MAX = 2**53 - 1
CLOCK_MAX = 2**31 - 1

_HAS_ORIGIN, _HAS_RIGHT, _HAS_KEY, _KIND = 128, 64, 32, 31
_HOOK = 5
_NAMED_TYPES = (3, _HOOK)
_TYPE_MAX = 6
_LONG_VARINT_SHIFT = 49
_FIXED_BYTES: Final[Mapping[int, int]] = {120: 0, 121: 0, 122: 8, 123: 8, 124: 4, 126: 0, 127: 0}


class Struct(NamedTuple):
    """One run of elements. ``raw[start:end]`` of its update are its bytes, wherever they are put."""

    clock: int
    length: int
    kind: int
    origin: Id | None
    right: Id | None
    parent: str | Id | None
    """Root name or the id of a type; None when an origin says it."""
    key: str | None
    content: int
    """Where the content begins."""
    start: int
    end: int


class Section(NamedTuple):
    """Consecutive structs of one client: each begins where the one before it ends."""

    client: ClientId
    structs: Sequence[Struct]


Deletes: TypeAlias = Mapping[ClientId, Sequence[Range]]


class DecodedUpdate(NamedTuple):
    """An update whose form is proven."""

    raw: bytes
    sections: Sequence[Section]
    deletes: Deletes
    nests: bool
    """Some struct names an element as its parent, or may be one itself: only then the gate has to look for them."""


def decode_update(raw: bytes, limits: Limits = DEFAULT_LIMITS) -> DecodedUpdate:
    """Decode one v1 update. Raises :class:`MalformedUpdate`, or :class:`LimitExceeded`, whatever the bytes are."""
    cursor = Cursor(raw, limits)
    try:
        sections = _read_sections(cursor)
        deletes = _read_deletes(cursor)
    except IndexError:
        raise MalformedUpdate("the update ends in the middle of a value") from None
    if cursor.pos != len(raw):
        raise MalformedUpdate(f"{len(raw) - cursor.pos} bytes follow the update")
    # Past the generated constructor, as for every struct.
    return tuple.__new__(DecodedUpdate, (raw, sections, deletes, cursor.nests))


class Cursor:
    """A position in an update. Reading past the end raises IndexError, which :func:`decode_update` translates."""

    __slots__ = ("limits", "nests", "pos", "raw", "structs_left")

    def __init__(self, raw: bytes, limits: Limits = DEFAULT_LIMITS, pos: int = 0) -> None:
        self.raw = raw
        self.pos = pos
        self.limits = limits
        self.structs_left = limits.update_structs_max
        self.nests = False

    def uint(self, maximum: int = CLOCK_MAX) -> int:
        raw, pos = self.raw, self.pos
        byte = raw[pos]
        pos += 1
        if byte < 0x80:
            self.pos = pos
            return byte
        value, shift = byte & 0x7F, 7
        while True:
            byte = raw[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > _LONG_VARINT_SHIFT:
                raise MalformedUpdate("an integer is longer than eight bytes")
        if value > maximum:
            raise MalformedUpdate(f"integer {value} is more than {maximum}")
        self.pos = pos
        return value

    def count(self, entry_bytes_min: int) -> int:
        count = self.raw[self.pos]
        if count < 0x80:
            self.pos += 1
        else:
            count = self.uint()
        if count * entry_bytes_min > len(self.raw) - self.pos:
            raise MalformedUpdate(f"{count} entries are announced, but only {len(self.raw) - self.pos} bytes follow")
        return count

    def id(self) -> Id:
        return (self.uint(CLIENT_MAX), self.uint())

    def blob(self) -> bytes:
        length = self.uint()
        start = self.pos
        if start + length > len(self.raw):
            raise MalformedUpdate(f"{length} bytes are announced, but only {len(self.raw) - start} follow")
        self.pos = start + length
        return self.raw[start : self.pos]

    def text(self) -> str:
        raw, pos = self.raw, self.pos
        # Most texts are short, and this is where most of the time goes.
        length = raw[pos]
        if length < 0x80:
            self.pos = end = pos + 1 + length
            data = raw[pos + 1 : end]
            if end > len(raw):
                raise MalformedUpdate(f"{length} bytes are announced, but only {len(data)} follow")
        else:
            data = self.blob()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise MalformedUpdate(f"text is not UTF-8: {error.reason}") from None

    def skip(self, length: int) -> None:
        self.pos += length
        if self.pos > len(self.raw):
            raise MalformedUpdate("the update ends in the middle of a value")


def _read_sections(cursor: Cursor) -> list[Section]:
    sections: list[Section] = []
    seen: set[ClientId] = set()
    for _ in range(cursor.count(5)):
        struct_count = cursor.count(2)
        client, clock = cursor.uint(CLIENT_MAX), cursor.uint()
        if struct_count == 0:
            raise MalformedUpdate(f"client {client} has a section without structs")
        cursor.structs_left -= struct_count
        if cursor.structs_left < 0:
            maximum = cursor.limits.update_structs_max
            raise LimitExceeded("update_structs_max", maximum, maximum - cursor.structs_left)
        if client in seen:
            raise MalformedUpdate(f"client {client} has two sections")
        seen.add(client)
        structs = []
        for _ in range(struct_count):
            try:
                struct = read_struct(cursor, clock)
            except MalformedUpdate as error:
                raise MalformedUpdate(f"{error} (client {client}, clock {clock})") from None
            clock += struct.length
            if struct.length == 0 or clock > CLOCK_MAX:
                raise MalformedUpdate(f"client {client} has a struct of length {struct.length} at {struct.clock}")
            structs.append(struct)
        sections.append(Section(client, structs))
    if len(sections) > cursor.limits.clients_max:
        raise LimitExceeded("clients_max", cursor.limits.clients_max, len(sections))
    return sections


def read_struct(cursor: Cursor, clock: int) -> Struct:
    """Read the struct at the cursor, whose first element is ``clock``."""
    raw, start = cursor.raw, cursor.pos
    info = raw[start]
    cursor.pos = start + 1
    kind = info & _KIND
    if info in (COLLECTED, SKIP):
        length = cursor.uint()
        cursor.nests = cursor.nests or kind == COLLECTED
        return Struct(clock, length, kind, None, None, None, None, cursor.pos, start, cursor.pos)
    origin = cursor.id() if info & _HAS_ORIGIN else None
    right = cursor.id() if info & _HAS_RIGHT else None
    parent: str | Id | None = None
    key = None
    if origin is None and right is None:
        parent = _read_parent(cursor)
        if info & _HAS_KEY:
            key = _bounded(cursor.text(), cursor.limits.key_bytes_max, "key_bytes_max")
    content = cursor.pos
    length = _read_content(cursor, kind)
    # The generated constructor takes twice the time, and this is done for every struct.
    return tuple.__new__(Struct, (clock, length, kind, origin, right, parent, key, content, start, cursor.pos))


def _read_parent(cursor: Cursor) -> str | Id:
    match cursor.uint():
        case 1:
            return _bounded(cursor.text(), cursor.limits.name_bytes_max, "name_bytes_max")
        case 0:
            cursor.nests = True
            return cursor.id()
        case other:
            raise MalformedUpdate(f"a parent is a name (1) or an id (0), not {other}")


def _bounded(text: str, maximum: int, limit: str) -> str:
    # Characters never outnumber bytes, so the encoding is measured only near the bound.
    if len(text) * 4 > maximum and len(text.encode()) > maximum:
        raise LimitExceeded(limit, maximum, len(text.encode()))
    return text


def _read_content(cursor: Cursor, kind: int) -> int:
    """Walk over the content of one struct and return its length in elements."""
    length = 1
    if kind == ANY:
        length = cursor.count(1)
        _skip_values(cursor, length, cursor.limits.any_depth_max)
    elif kind == STRING:
        length = utf16_length(cursor.text())
    elif kind == DELETED:
        length = cursor.uint()
        cursor.nests = True
    elif kind == TYPE:
        _skip_type(cursor)
        cursor.nests = True
    elif kind == BINARY:
        cursor.blob()
    elif kind == EMBED:
        _skip_json(cursor)
    elif kind == FORMAT:
        cursor.text()
        _skip_json(cursor)
    elif kind == SUBDOCUMENT:
        cursor.text()
        _skip_values(cursor, 1, cursor.limits.any_depth_max)
    elif kind == JSON:
        # yrs reads one string more than the length says and writes one that it cannot read back.
        raise MalformedUpdate("content of kind JSON (before Yjs 13.0) is not supported; convert the document first")
    else:
        raise MalformedUpdate(f"there is no content of kind {kind}")
    return length


def utf16_length(text: str) -> int:
    """Length as Yjs counts it: UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _skip_type(cursor: Cursor) -> None:
    kind = cursor.uint()
    if kind > _TYPE_MAX:
        raise MalformedUpdate(f"there is no shared type {kind}")
    if kind == _HOOK and not cursor.limits.is_for_stored:
        raise MalformedUpdate("an XML hook is not supported: yrs does not read its name, and what follows it wrongly")
    if kind in _NAMED_TYPES:
        _bounded(cursor.text(), cursor.limits.name_bytes_max, "name_bytes_max")


def _skip_json(cursor: Cursor) -> None:
    text = cursor.text()
    try:
        read_json(text, cursor.limits.any_depth_max)
    except ValueError as error:
        raise MalformedUpdate(str(error)) from None
    if not cursor.limits.is_for_stored and (why := unreadable(text)) is not None:
        raise MalformedUpdate(f"yrs can't read the JSON of an embed or a format: {why}")


def _skip_values(cursor: Cursor, count: int, depth_left: int) -> None:
    """Walk over ``count`` values. Scalars are told apart here, in one loop: they are most of what documents hold."""
    if depth_left < 0:
        raise LimitExceeded("any_depth_max", cursor.limits.any_depth_max, cursor.limits.any_depth_max + 1)
    raw = cursor.raw
    for _ in range(count):
        tag = raw[cursor.pos]
        cursor.pos += 1
        if tag == 119:
            cursor.text()
        elif tag == 125:
            if raw[cursor.pos] < 0x80:
                cursor.pos += 1
            else:
                _skip_signed(cursor)
        elif tag in _FIXED_BYTES:
            cursor.skip(_FIXED_BYTES[tag])
        elif tag == 117:
            _skip_values(cursor, cursor.count(1), depth_left - 1)
        elif tag == 118:
            for _ in range(cursor.count(2)):
                cursor.text()
                _skip_values(cursor, 1, depth_left - 1)
        elif tag == 116:
            cursor.blob()
        else:
            raise MalformedUpdate(f"there is no value of tag {tag}")


def _skip_signed(cursor: Cursor) -> None:
    for _ in range(8):
        byte = cursor.raw[cursor.pos]
        cursor.pos += 1
        if byte < 0x80:
            return
    raise MalformedUpdate("an integer is longer than eight bytes")


def _read_deletes(cursor: Cursor) -> Deletes:
    deletes: dict[ClientId, list[Range]] = {}
    for _ in range(cursor.count(3)):
        client = cursor.uint(CLIENT_MAX)
        ranges = deletes.setdefault(client, [])
        for _ in range(cursor.count(2)):
            clock, length = cursor.uint(), cursor.uint()
            if length == 0 or clock + length > CLOCK_MAX:
                raise MalformedUpdate(f"client {client} has a delete range of length {length} at {clock}")
            ranges.append((clock, clock + length))
    if len(deletes) > cursor.limits.clients_max:
        raise LimitExceeded("clients_max", cursor.limits.clients_max, len(deletes))
    return deletes
