"""What a room already holds: a clock per client, the ranges that are deleted, and what others may lie in. No content.

An element may lie in a shared type, or where one may have been: what was deleted or collected when it came, and what a
snapshot has deleted, for that keeps no content. yrs can't load a document where something lies in anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from crdt_sync.errors import MalformedUpdate, ProtocolError, StoreCorrupted
from crdt_sync.limits import Limits
from crdt_sync.protocol import state_vector, wire
from crdt_sync.updates.decode import Deletes, decode_update
from crdt_sync.updates.encode import write_deletes
from crdt_sync.updates.pieces import Piece
from crdt_sync.updates.ranges import Range, Ranges
from crdt_sync.updates.remembered import Remembered
from crdt_sync.values import ClientId, Clock, Id, StateVector

# What we admitted under generous limits must still be readable.
_OUR_OWN: Final = Limits(clients_max=wire.UINT_MAX)


class Ledger:
    """The gate's memory of one document. Moves on only by :meth:`admit`.

    ``remembers`` keeps the admitted updates within reach, so that a second content for a known (client, clock) is
    noticed; they are the very bytes that the room's tail holds, so it costs a reference each.
    """

    __slots__ = ("_admitted", "_gone", "_parents", "_remembers", "clocks", "deleted")

    def __init__(self, *, remembers: bool = False) -> None:
        self.clocks: dict[ClientId, Clock] = {}
        self.deleted: dict[ClientId, Ranges] = {}
        # None: an earlier version wrote this ledger, and did not say. The next snapshot will.
        self._parents: dict[ClientId, Ranges] | None = {}
        self._gone: dict[ClientId, Ranges] = {}
        self._remembers = remembers
        self._admitted: dict[ClientId, list[Remembered]] = {}

    @property
    def state(self) -> StateVector:
        return self.clocks

    def admit(self, piece: Piece) -> None:
        """Take note of an update that the gate found to be new and ready."""
        if piece.parents and self._parents is not None:
            self._note_parents(self._parents, piece.parents)
        for span in piece.spans:
            self.clocks[span.client] = span.end_clock
        for client, ranges in piece.deletes.items():
            known = self.deleted.get(client)
            if known is None:
                known = self.deleted[client] = Ranges()
            known.update(ranges)
        if self._remembers:
            self._remember(piece)

    def _note_parents(self, known: dict[ClientId, Ranges], found: Deletes) -> None:
        for client, ranges in found.items():
            # Of a struct that was partly known when it came, those that came first count.
            held = self.clocks.get(client, 0)
            if fresh := [(max(start, held), end) for start, end in ranges if end > held]:
                known.setdefault(client, Ranges()).update(fresh)

    def may_be_parent(self, id_: Id) -> bool:
        """Whether a held element can have others in it, as far as is known."""
        client, clock = id_
        return self._parents is None or any(
            clock in places[client] for places in (self._parents, self._gone) if client in places
        )

    def new_deletes(self, deletes: Deletes) -> dict[ClientId, Sequence[Range]]:
        """The part of ``deletes`` that is not known yet."""
        fresh: dict[ClientId, Sequence[Range]] = {}
        for client, ranges in deletes.items():
            known = self.deleted.get(client)
            # A sender may list ranges in any order, overlapping, so they are merged first.
            merged = list(Ranges(ranges)) if len(ranges) > 1 else ranges
            missing = merged if known is None else [gap for r in merged for gap in known.missing(*r)]
            if missing:
                fresh[client] = missing
        return fresh

    def remembered(self, client: ClientId) -> Sequence[Remembered]:
        """What is remembered of ``client``, by rising end clocks."""
        return self._admitted.get(client, ())

    def forget_admitted(self, but: Iterable[Piece] = ()) -> None:
        """Let go of remembered updates ``but`` these: a snapshot has taken their place."""
        self._admitted.clear()
        for piece in but:
            self._remember(piece)

    def _remember(self, piece: Piece) -> None:
        for span in piece.spans:
            self._admitted.setdefault(span.client, []).append(Remembered(piece.raw, span))

    def encode(self) -> bytes:
        """As bytes, to be kept beside a snapshot, in which nothing that is deleted has content."""
        parts = [state_vector.encode(self.clocks), b"\x00" + write_deletes(self.deleted)]
        if self._parents is not None:
            parts.append(b"\x00" + write_deletes(self._alive(self._parents)))
        return b"".join(map(wire.blob, parts))

    def _alive(self, parents: dict[ClientId, Ranges]) -> Deletes:
        alive: dict[ClientId, Sequence[Range]] = {}
        for client, ranges in parents.items():
            deleted = self.deleted.get(client)
            left = list(ranges) if deleted is None else [part for one in ranges for part in deleted.missing(*one)]
            if left:
                alive[client] = left
        return alive

    @classmethod
    def decode(cls, data: bytes, *, remembers: bool = False) -> Ledger:
        """The inverse of :meth:`encode`. Raises :class:`StoreCorrupted`: nobody but us writes these bytes."""
        ledger = cls(remembers=remembers)
        try:
            reader = wire.Reader(data)
            ledger.clocks = state_vector.decode(reader.blob(), wire.UINT_MAX)
            ledger.deleted = _ranges(reader.blob())
            ledger._parents = _ranges(reader.blob()) if reader.remaining else None
            reader.finish()
        except ProtocolError as error:
            raise StoreCorrupted(f"a ledger can't be read: {error}") from error
        ledger._gone = {client: ranges.copy() for client, ranges in ledger.deleted.items()}
        return ledger

    def __eq__(self, other: object) -> bool:
        # Not what may be a parent: a snapshot no longer says that of what it has collected.
        return isinstance(other, Ledger) and self.clocks == other.clocks and self.deleted == other.deleted

    __hash__ = None  # type: ignore[assignment]  # mutable


def _ranges(raw: bytes) -> dict[ClientId, Ranges]:
    update = decode_update(raw, _OUR_OWN)
    if update.sections:
        raise MalformedUpdate("it holds structs")
    return {client: Ranges(ranges) for client, ranges in update.deletes.items()}
