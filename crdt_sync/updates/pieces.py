"""Where the parts of an update lie in its bytes, so that updates can be joined and cut without re-encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crdt_sync.updates.decode import DecodedUpdate, Deletes, Struct
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


EMPTY_UPDATE = b"\x00\x00"


def whole(update: DecodedUpdate) -> Piece:
    """All of ``update``, its bytes as they are."""
    return Piece(update.raw, [span(s.client, s.structs) for s in update.sections], update.deletes)


def span(client: ClientId, structs: Sequence[Struct]) -> Span:
    """The slice of consecutive ``structs`` of one section."""
    first, last = structs[0], structs[-1]
    return Span(client, first.clock, last.clock + last.length, len(structs), first.start, last.end)
