"""Bugs that others have shipped, each planted at one seam of the simulated world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from zlib import crc32

from pycrdt import Doc, TransactionEvent

from crdt_sync.errors import StoreError
from crdt_sync.limits import Limits
from crdt_sync.protocol.messages import Ack, Message, Presence, StateRequest
from crdt_sync.session import Received
from crdt_sync.stores.update_log import Loaded
from crdt_sync.updates import encode
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from crdt_sync.updates.gate import Verdict
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.order import Run
from crdt_sync.updates.pieces import Piece, Span, whole
from crdt_sync.updates.ranges import Range
from crdt_sync.values import ClientId
from server.rooms.keeper import Keeper, open_keeper
from server.rooms.ownership import Owners
from server.rooms.room import Room
from server.rooms.turn import Broadcast, Kept, Listens, MemberId, Reply, Turn
from tests.simulation.actors import Till
from tests.simulation.bounds import LIMITS, ROOM
from tests.simulation.relay import RELAY_CLIENT, SimulatedHost


class DeliversBeforeAppend(SimulatedHost):
    """Tells first, promises later: what most relays do."""

    _told: Turn | None = None

    def step(self, now_s: float) -> None:
        if self.turn is not None and not self.is_appended and self.turn is not self._told:
            self._told = self.turn
            self.audience.deliver(self.turn)
        elif self.turn is not None and self.turn.kept and not self.is_appended:
            self.append()
        elif self.turn is not None:
            self.turn = None
        else:
            super().step(now_s)


class AcksBeforeAppend(SimulatedHost):
    """Fans out in time, but answers the writer from memory."""

    def absorb(self, now_s: float) -> None:
        super().absorb(now_s)
        assert self.turn is not None
        acks = [reply for reply in self.turn.deliveries if isinstance(reply, Reply) and isinstance(reply.message, Ack)]
        self.audience.deliver(Turn(deliveries=list(acks)))


class GoesOnWithoutItsStore(SimulatedHost):
    """Takes a failing append for a hiccup."""

    def append(self) -> None:
        try:
            super().append()
        except StoreError:
            self.is_appended = True


class LogsItsDocsDiff(SimulatedHost):
    """Keeps a document beside the log, and logs what its observer says, as pycrdt-websocket does."""

    _doc: Doc[Any] | None = None

    def append(self) -> None:
        assert self.turn is not None
        if self._doc is None:
            self._doc = Doc()
            for record in self.disk.archive:
                self._doc.apply_update(record.update)
        self.turn.kept = [Kept(self._observed(self._doc, kept.update), kept.author) for kept in self.turn.kept]
        super().append()

    def _observed(self, doc: Doc[Any], update: bytes) -> bytes:
        with observed(doc) as seen:
            doc.apply_update(update)
        return seen[-1] if seen else update


class KeepsNoOriginals(SimulatedHost):
    """Passes on what a page has made of a movement, and nothing else."""

    def open_keeper(self, loaded: Loaded) -> None:
        return None


class ForgetsItsLog(SimulatedHost):
    """Knows which movements there are as long as the room stays open."""

    def open_keeper(self, loaded: Loaded) -> Keeper | None:
        return open_keeper(ROOM.document, RELAY_CLIENT + loaded.last_seq, (), LIMITS)


class ForgetsItsOwners(SimulatedHost):
    """Knows whose each client id is as long as the room stays open."""

    def open_owners(self, loaded: Loaded) -> Owners:
        return Owners()


class CompactsPastItsSnapshot(SimulatedHost):
    """Asks how long the log is when the snapshot is put in place, not when it was made."""

    def install_compaction(self) -> bool:
        if self.compaction is not None:
            late = replace(self.compaction.snapshot, through=len(self.disk.archive))
            self.compaction = replace(self.compaction, snapshot=late)
        return super().install_compaction()


class TillLogsItsDocsDiff(Till):
    """Appends to its log what the document's observer says about a merge."""

    _seen: Sequence[bytes] = ()

    def take(self, message: Message) -> None:
        assert self.replica is not None
        with observed(self.replica._doc) as seen:
            self._seen = seen
            super().take(message)

    def keep(self, message: Message, received: Received) -> None:
        super().keep(message, Received(self._seen) if received.fresh else received)


class TillReusesItsClientId(Till):
    """Stores its client id and starts with it again."""

    def next_client_id(self) -> int:
        self.fresh_client_id()
        return crc32(self.name.encode())


class ForgetsTheShed(Room):
    """Lets a shed member listen again, and does not tell it what it missed."""

    def _catch_up(self, member_id: MemberId, seq: int, turn: Turn) -> None:
        turn.deliveries.append(Listens(member_id))


class KeepsGhosts(Room):
    """Does not say who has left."""

    def _tell(self, news: Presence, source: MemberId, turn: Turn) -> None:
        super()._tell(Presence(tuple(entry for entry in news.entries if entry.state is not None)), source, turn)


class DropsGaps(Room):
    """Does not keep what has a gap, and does not ask for what is missing either."""

    def absorb(self, envelopes: Sequence[Any], *, now_s: float) -> Turn:
        turn = super().absorb(envelopes, now_s=now_s)
        if turn.gaps:
            turn.deliveries = [one for one in turn.deliveries if not _asks(one)]
        return turn


def accept_all(update: DecodedUpdate, ledger: Ledger, limits: Limits, *, keep_ready_part: bool = False) -> Verdict:
    """A gate that is always open."""
    runs = [Run(index, 0, len(section.structs)) for index, section in enumerate(update.sections)]
    return Verdict(whole(update), False, runs)


def trim_without_deletes(raw: bytes, spans: Sequence[Span], deletes: Mapping[ClientId, Sequence[Range]]) -> Piece:
    """Cuts out the new structs, and forgets that the update also deletes."""
    return encode.trim(raw, spans, {} if spans else deletes)


def join_without_deletes(pieces: Sequence[Piece]) -> Sequence[bytes]:
    """Joins sections, and forgets the deletes that close each update."""
    joined = encode.join(pieces)
    return [_without_deletes(update) for update in joined] if len(pieces) > 1 else joined


def _without_deletes(update: bytes) -> bytes:
    decoded = whole(decode_update(update))
    return encode.write_update([(span, update[span.start : span.end]) for span in decoded.spans], {})


def _asks(delivery: Broadcast | Reply | Listens) -> bool:
    return isinstance(delivery, Reply) and isinstance(delivery.message, StateRequest)


@contextmanager
def observed(doc: Doc[Any]) -> Iterator[list[bytes]]:
    """What the document's observer says while the block runs."""
    seen: list[bytes] = []

    def note(event: TransactionEvent) -> None:
        seen.append(event.update)

    subscription = doc.observe(note)
    try:
        yield seen
    finally:
        doc.unobserve(subscription)
