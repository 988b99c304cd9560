"""Update bytes from parts of updates: joined, cut or trimmed by slicing, so that no content is ever re-encoded."""

from __future__ import annotations

import struct as binary
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crdt_sync.protocol.wire import text, uint
from crdt_sync.updates.pieces import EMPTY_UPDATE, Piece, Span
from crdt_sync.updates.ranges import Range, Ranges
from crdt_sync.values import ClientId, Clock, Id


def write_update(sections: Iterable[tuple[Span, bytes]], deletes: Mapping[ClientId, Iterable[Range]]) -> bytes:
    """One update from sections (a span and its bytes; one per client) and the ranges that it deletes."""
    parts = [b""]
    for span, body in sections:
        parts += (uint(span.structs), uint(span.client), uint(span.clock), body)
    parts[0] = uint((len(parts) - 1) // 4)
    parts.append(write_deletes(deletes))
    return b"".join(parts)


def write_deletes(deletes: Mapping[ClientId, Iterable[Range]]) -> bytes:
    """The delete ranges that close an update."""
    parts = [uint(len(deletes))]
    for client, ranges in deletes.items():
        pairs = [uint(start) + uint(end - start) for start, end in ranges]
        parts += (uint(client), uint(len(pairs)), *pairs)
    return b"".join(parts)


def join(pieces: Sequence[Piece]) -> Sequence[bytes]:
    """Join updates, given in an order in which they can be applied, into as few as possible; usually one.

    Linear, unlike yrs' merge_updates. Structs of one client that overlap (a struct that was partly known when it
    came) can't stand in one section, so they begin another update.
    """
    joined: list[bytes] = []
    batch = _Batch()
    for piece in pieces:
        if not batch.takes(piece):
            joined.append(batch.write())
            batch = _Batch()
        batch.add(piece)
    if not batch.is_empty:
        joined.append(batch.write())
    return joined


class _Batch:
    """Updates whose sections continue one another without a hole or an overlap."""

    def __init__(self) -> None:
        self._sections: dict[ClientId, tuple[Span, list[bytes]]] = {}
        self._deletes: dict[ClientId, Ranges] = {}
        self._pieces: list[Piece] = []

    @property
    def is_empty(self) -> bool:
        return not self._pieces

    def takes(self, piece: Piece) -> bool:
        return all(
            (section := self._sections.get(span.client)) is None or section[0].end_clock == span.clock
            for span in piece.spans
        )

    def add(self, piece: Piece) -> None:
        self._pieces.append(piece)
        for span in piece.spans:
            body = piece.raw[span.start : span.end]
            section = self._sections.get(span.client)
            if section is None:
                self._sections[span.client] = span, [body]
            else:
                before, bodies = section
                bodies.append(body)
                longer = before._replace(end_clock=span.end_clock, structs=before.structs + span.structs)
                self._sections[span.client] = longer, bodies
        for client, ranges in piece.deletes.items():
            known = self._deletes.setdefault(client, Ranges())
            known.update(ranges)

    def write(self) -> bytes:
        if len(self._pieces) == 1:
            return self._pieces[0].raw
        sections = [(span, b"".join(bodies)) for span, bodies in self._sections.values()]
        return write_update(sections, self._deletes)


def trim(raw: bytes, spans: Sequence[Span], deletes: Mapping[ClientId, Sequence[Range]]) -> Piece:
    """The update that holds just ``spans`` of ``raw`` and ``deletes``."""
    if not spans and not deletes:
        return Piece(EMPTY_UPDATE, (), {})
    trimmed = write_update([(span, raw[span.start : span.end]) for span in spans], deletes)
    return Piece(trimmed, _spans_of_sections(spans), deletes)


def _spans_of_sections(spans: Sequence[Span]) -> Sequence[Span]:
    """Where the sections lie in the bytes that :func:`write_update` made of ``spans``."""
    placed = []
    pos = len(uint(len(spans)))
    for span in spans:
        pos += len(uint(span.structs)) + len(uint(span.client)) + len(uint(span.clock))
        length = span.end - span.start
        placed.append(span._replace(start=pos, end=pos + length))
        pos += length
    return placed


def write_entries(client: ClientId, clock: Clock, root: str, entries: Mapping[str, Any]) -> bytes:
    """An update that sets keys of a root map which nobody has written, without a document; one element an entry.

    Such an entry depends on nothing. Values are null, true, false, numbers, text, bytes, and lists and objects of
    these."""
    parts = [uint(1), uint(len(entries)), uint(client), uint(clock)]
    for key, value in entries.items():
        # An element of kind "any" that has no neighbours, so that its parent and its key are named.
        parts += (b"\x28\x01", text(root), text(key), b"\x01", _any(value))
    return b"".join([*parts, uint(0)])


def write_over(client: ClientId, clock: Clock, entries: Sequence[tuple[Id, Any]]) -> bytes:
    """An update that sets keys of root maps once more, without a document; each entry names the element that stands
    last under its key, and a value as :func:`write_entries` takes it."""
    parts = [uint(1), uint(len(entries)), uint(client), uint(clock)]
    for (last_client, last_clock), value in entries:
        # An element of kind "any" with an origin, which says where it belongs.
        parts += (b"\x88", uint(last_client), uint(last_clock), b"\x01", _any(value))
    return b"".join([*parts, uint(0)])


def _any(value: Any) -> bytes:
    match value:
        case None:
            return b"\x7e"
        case bool():
            return b"\x78" if value else b"\x79"
        case int() | float():
            return b"\x7b" + binary.pack(">d", value)
        case str():
            return b"\x77" + text(value)
        case list():
            return b"\x75" + uint(len(value)) + b"".join(map(_any, value))
        case dict():
            return b"\x76" + uint(len(value)) + b"".join(text(key) + _any(item) for key, item in value.items())
        case bytes():
            return b"\x74" + uint(len(value)) + value
        case _:
            raise TypeError(f"{type(value).__name__} is no value that the relay writes")
