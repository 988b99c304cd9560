"""Where the parts of an update lie in its bytes, so that updates can be joined and cut without re-encoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from crdt_sync.updates.decode import COLLECTED, DELETED, TYPE, DecodedUpdate, Deletes, Section, Struct
from crdt_sync.updates.ranges import Range
from crdt_sync.values import ClientId, Clock


class Span(NamedTuple):
    """Consecutive structs of one client, as a slice of the update's bytes."""

    client: ClientId
    clock: Clock
    end_clock: Clock
    structs: int
    start: int
    end: int


class Piece(NamedTuple):
    """An update with the places of its spans."""

    raw: bytes
    spans: Sequence[Span]
    deletes: Deletes
    parents: Deletes = MappingProxyType({})
    """Elements that others may lie in: shared types, and what may have been one and has lost its content."""


EMPTY_UPDATE = b"\x00\x00"
_PARENTS: Final = (TYPE, DELETED, COLLECTED)


def whole(update: DecodedUpdate) -> Piece:
    """All of ``update``, its bytes as they are."""
    spans = [span(s.client, s.structs) for s in update.sections]
    if update.nests:
        return Piece(update.raw, spans, update.deletes, parents_of(update.sections))
    return Piece(update.raw, spans, update.deletes)


def parents_of(sections: Iterable[Section]) -> Deletes:
    """The elements that others may lie in: yrs takes a shared type for a parent, a deleted or a collected element
    (what lies there is gone, too), and nothing else."""
    found: dict[ClientId, list[Range]] = {}
    for client, structs in sections:
        for struct in structs:
            if struct.kind in _PARENTS:
                found.setdefault(client, []).append((struct.clock, struct.clock + struct.length))
    return found


def span(client: ClientId, structs: Sequence[Struct]) -> Span:
    """The slice of consecutive ``structs`` of one section."""
    first, last = structs[0], structs[-1]
    return Span(client, first.clock, last.clock + last.length, len(structs), first.start, last.end)
