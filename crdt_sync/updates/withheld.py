"""What of a document is kept out although somebody has brought it: it ends processes that load it.

A record that is set aside leaves its *outline*: an update without content, which says where its elements stand and what
it deletes. What is behind such an element of the same client is kept out, too, because clocks have no holes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from crdt_sync.errors import Quarantined
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.protocol.wire import uint
from crdt_sync.updates.decode import COLLECTED, DecodedUpdate, Deletes, decode_update
from crdt_sync.updates.encode import trim, write_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import EMPTY_UPDATE, Piece, Span, span, whole
from crdt_sync.updates.ranges import Range, Ranges
from crdt_sync.values import ClientId, Clock


class Withheld:
    """For each client the clock from which on its elements are kept out, and the deletes that are. False when empty."""

    def __init__(self) -> None:
        self.clocks: dict[ClientId, Clock] = {}
        self.deletes: dict[ClientId, Ranges] = {}

    def __bool__(self) -> bool:
        return bool(self.clocks or self.deletes)

    def add(self, outline: bytes, ledger: Ledger) -> None:
        """Keep out what ``outline`` names, but for what ``ledger`` holds: that came back in another way."""
        update = decode_update(outline, DEFAULT_LIMITS.for_stored())
        for section in update.sections:
            first = section.structs[0].clock
            if ledger.clocks.get(section.client, 0) <= first:
                self.clocks[section.client] = min(first, self.clocks.get(section.client, first))
        for client, ranges in ledger.new_deletes(update.deletes).items():
            self.deletes.setdefault(client, Ranges()).update(ranges)

    def check(self, update: DecodedUpdate) -> None:
        """Raises :class:`Quarantined` when ``update`` holds any of it."""
        if self._touches(update):
            raise Quarantined("the relay has set this aside, and keeps it, because it ends what loads it")

    def without(self, update: DecodedUpdate, limits: Limits) -> DecodedUpdate:
        """``update`` but for what is kept out; the same object when it holds nothing of it."""
        if not self._touches(update):
            return update
        spans: list[Span] = []
        for section in update.sections:
            first = self.clocks.get(section.client)
            # One that reaches beyond is left out whole: its sender has what is before that from us.
            structs = [s for s in section.structs if first is None or s.clock + s.length <= first]
            if structs:
                spans.append(span(section.client, structs))
        return decode_update(trim(update.raw, spans, self._other_deletes(update.deletes)).raw, limits.for_stored())

    def _touches(self, update: DecodedUpdate) -> bool:
        for client, structs in update.sections:
            first = self.clocks.get(client)
            if first is not None and structs[-1].clock + structs[-1].length > first:
                return True
        return self._other_deletes(update.deletes) != update.deletes

    def _other_deletes(self, deletes: Deletes) -> Deletes:
        if not any(client in self.clocks or client in self.deletes for client in deletes):
            return deletes
        others: dict[ClientId, list[Range]] = {}
        for client, ranges in deletes.items():
            first, kept_out = self.clocks.get(client), self.deletes.get(client)
            rest = [(start, end if first is None else min(end, first)) for start, end in ranges]
            if kept_out is not None:
                rest = [part for start, end in rest if start < end for part in kept_out.missing(start, end)]
            if rest := [(start, end) for start, end in rest if start < end]:
                others[client] = rest
        return others


def outline(ends: Mapping[ClientId, tuple[Clock, Clock]], deletes: Deletes) -> bytes:
    """An update of collected elements, from the first clock to the second for each client, and deletes."""
    sections = [
        (Span(client, first, end, 1, 0, 0), bytes([COLLECTED]) + uint(end - first))
        for client, (first, end) in ends.items()
    ]
    return write_update(sections, deletes)


def outline_of(update: DecodedUpdate, deletes: Deletes) -> bytes:
    """The outline of all of ``update``, with ``deletes`` for its own."""
    ends = {client: (structs[0].clock, structs[-1].clock + structs[-1].length) for client, structs in update.sections}
    return outline(ends, deletes)


class Served(NamedTuple):
    """What is served of one record."""

    piece: Piece
    missing: bytes | None
    """The outline of what is not, because it builds on what is kept out; None when nothing is."""


NOTHING: Final = Piece(EMPTY_UPDATE, (), {})
"""What is served of a record that is set aside: an empty place, so that the numbers stay."""


def serve_without(ledger: Ledger, updates: Sequence[bytes], culprits: Collection[int], limits: Limits) -> list[Served]:
    """What is left of ``updates``, which follow from ``ledger``, without those at the places ``culprits``.

    ``ledger`` moves on. What builds on a culprit goes with it, element by element. Raises :class:`ProtocolError` for
    bytes that were never let in."""
    served = []
    for place, raw in enumerate(updates):
        if place in culprits:
            served.append(Served(NOTHING, None))
            continue
        found = _serve(decode_update(raw, limits), ledger, limits)
        ledger.admit(found.piece)
        served.append(found)
    return served


def ready_part(update: DecodedUpdate, ledger: Ledger, limits: Limits) -> Piece:
    """What of ``update`` is new and builds on nothing that is missing."""
    return judge(update, ledger, limits, keep_ready_part=True).fresh or NOTHING


def _serve(update: DecodedUpdate, ledger: Ledger, limits: Limits) -> Served:
    if not judge(update, ledger, limits).gap:
        return Served(whole(update), None)
    piece = ready_part(update, ledger, limits)
    reached = {part.client: part.end_clock for part in piece.spans}
    missing = {}
    for client, structs in update.sections:
        first, end = reached.get(client, ledger.clocks.get(client, 0)), structs[-1].clock + structs[-1].length
        if first < end:
            missing[client] = max(first, structs[0].clock), end
    return Served(piece, outline(missing, {}))
