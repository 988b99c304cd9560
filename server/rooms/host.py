"""The loop of one open room: drain the inbox, let the room decide, append, and only then deliver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from crdt_sync.errors import (
    DocumentRetired,
    ReplicaBroken,
    RoomClosing,
    ScribeDied,
    ScribeError,
    StoreCorrupted,
    StoreError,
    SyncError,
)
from crdt_sync.limits import Limits
from crdt_sync.stores.update_log import Record, Snapshot, UpdateLog
from crdt_sync.values import RoomId
from server.rooms.audience import Audience
from server.rooms.inbox import Inbox
from server.rooms.member import Member
from server.rooms.room import Room
from server.rooms.suspicions import Suspicions
from server.rooms.turn import Arrived, Carried, Compacted, Departed, Envelope, Granted, Said, Turn
from server.scribes.pool import Scribes
from server.storage.audit_events import AuditEvent
from server.telemetry.meters import Meters

log = structlog.get_logger(__name__)

CHANGED_NAMED_MAX = 20
"""So many movements that one update has changed are named in the log; the document says all."""


@dataclass(frozen=True, slots=True)
class CompactionRule:
    """A log is compacted when it has ``records_max`` records, or ``bytes_min`` and ``ratio`` times its snapshot."""

    records_max: int
    bytes_min: int
    ratio: float

    def wants(self, records: int, tail_bytes: int, snapshot_bytes: int) -> bool:
        return records >= self.records_max or tail_bytes >= max(self.bytes_min, self.ratio * snapshot_bytes)


@dataclass(frozen=True, slots=True)
class HostParts:
    """What every host of a relay shares."""

    limits: Limits
    compaction: CompactionRule
    scribes: Scribes
    meters: Meters
    check_free_space: Callable[[], int]
    """Raises :class:`StoreUnavailable` when the disk is nearly full: writes stop before SQLite fails half-way."""
    suspicions: Suspicions = field(default_factory=Suspicions)
    """Told of documents that have ended a scribe."""
    may_carry: bool = True
    """Whether a member may bring, in answers, what is under another's client id."""
    note: Callable[[AuditEvent], None] = lambda _: None
    """Puts on record who was refused something."""


class Host:
    """Runs a :class:`Room`. A failure of its store ends it: members reconnect, the log is the truth."""

    def __init__(self, room_id: RoomId, room: Room, update_log: UpdateLog, parts: HostParts) -> None:
        self.room_id = room_id
        self._room = room
        self._log = update_log
        self._parts = parts
        self._meters = parts.meters
        self._inbox = Inbox(parts.limits.inbox_messages_max)
        self._audience = Audience(room_id, room.history.seq, self._inbox, parts.meters, parts.note)
        self._compacting: asyncio.Task[None] | None = None
        self._retry_compaction_at_records = 0
        self._presence_refused = 0
        self._closing: SyncError | None = None
        self.failure: SyncError | None = None
        """Why the room stopped by itself, if it did."""
        self.idle_since_s = time.monotonic()

    @property
    def member_count(self) -> int:
        return len(self._audience)

    def is_visited_by_other_than(self, author: str) -> bool:
        """Somebody besides ``author`` is here."""
        return self._audience.has_other_than(author)

    @property
    def is_closing(self) -> bool:
        return self._closing is not None

    @property
    def is_idle(self) -> bool:
        """Nobody is here and nothing is left to do."""
        return not len(self._audience) and self._inbox.is_empty and self._compacting is None

    def enter(self, member: Member) -> None:
        """Let a connection in. Raises :class:`RoomClosing`."""
        self._check_open()
        self._audience.add(member)
        dialect = member.dialect
        self._inbox.post(
            Arrived(
                member.id,
                member.author,
                member.may_write,
                dialect.wants_echo,
                dialect.keeps_pending,
                dialect.counts_acks,
                member.rights,
            )
        )

    def grant(self, member: Member) -> None:
        """Act on a change of what ``member`` may write."""
        self._inbox.post(Granted(member.id, member.may_write, member.rights))

    def leave(self, member: Member) -> None:
        """Let go of a connection; never fails."""
        if self._audience.remove(member):
            self.idle_since_s = time.monotonic()
            self._inbox.post(Departed(member.id))

    async def submit(self, said: Said) -> None:
        """Hand in one message; waits while the inbox is full. Raises :class:`RoomClosing`."""
        self._check_open()
        await self._inbox.submit(said)

    def close(self, reason: SyncError) -> None:
        """Take no more messages, finish those that are in, then end every member with ``reason``."""
        if self._closing is None:
            self._closing = reason
            self._inbox.wake()

    def _check_open(self) -> None:
        if isinstance(self._closing, DocumentRetired):
            raise self._closing
        if self._closing is not None:
            raise RoomClosing(f"room {self.room_id} is closing")

    async def run(self) -> None:
        """Take turns until :meth:`close`, or until the store fails."""
        try:
            while self._closing is None or not self._inbox.is_empty:
                await self._inbox.wait()
                batch = self._inbox.take(self._parts.limits.turn_messages_max)
                if batch:
                    await self._take_turn(batch)
        except DocumentRetired as error:
            self._end(error)
        except SyncError as error:
            self._fail(error)
        except Exception as error:
            # A defect of ours in one room must not take the others with it; what is in the log is safe.
            log.exception("room failed", room=str(self.room_id))
            self._fail(RoomClosing(f"room {self.room_id} failed: {type(error).__name__}"))
        finally:
            await self._stop_compacting()
            self._audience.end(self._closing or RoomClosing(f"room {self.room_id} was stopped"))

    async def _take_turn(self, batch: Sequence[Envelope]) -> None:
        if not self._room.knows_places and any(map(_has_bounds, batch)):
            # Beside the event loop: others wait for this room meanwhile, and nobody for the other rooms.
            await asyncio.to_thread(self._room.index_places)
        turn = self._room.absorb(batch, now_s=time.monotonic())
        if turn.kept:
            await self._append(turn)
        self._audience.deliver(turn)
        self._note(batch, turn)
        self._consider_compaction()

    async def _append(self, turn: Turn) -> None:
        self._parts.check_free_space()
        at_ms = time.time_ns() // 1_000_000
        started_s = time.perf_counter()
        records = [Record(kept.update, kept.author, at_ms) for kept in turn.kept]
        seq = await self._log.append(records, [binding for kept in turn.kept for binding in kept.bindings])
        self._meters.commit_seconds.observe(time.perf_counter() - started_s)
        if seq != self._room.history.seq:
            raise StoreCorrupted(f"the log of {self.room_id} stands at {seq}, its room at {self._room.history.seq}")

    def _note(self, batch: Sequence[Envelope], turn: Turn) -> None:
        meters = self._meters
        meters.turns.inc()
        if turn.kept:
            meters.updates_stored.inc(len(turn.kept))
            meters.turn_updates.observe(len(turn.kept))
            meters.stored_bytes.inc(sum(len(kept.update) for kept in turn.kept))
            now_s = time.monotonic()
            for envelope in batch:
                if isinstance(envelope, Said) and envelope.update is not None:
                    meters.ack_seconds.observe(now_s - envelope.heard_at_s)
        for changed in turn.changed:
            meters.movements_changed.inc(len(changed.movements))
            log.warning(
                "movements changed after the fact",
                room=str(self.room_id),
                author=changed.author,
                movements=list(changed.movements[:CHANGED_NAMED_MAX]),
                count=len(changed.movements),
            )
        for carried in turn.carried:
            meters.structs_carried.inc(carried.end_clock - carried.clock)
            log.warning(
                "carried what is under another's client id",
                room=str(self.room_id),
                bringer=carried.bringer,
                owner=carried.owner,
                client=carried.client,
                clock=carried.clock,
                end_clock=carried.end_clock,
            )
            self._put_on_record(carried)
        meters.updates_known.inc(turn.known)
        meters.gaps_asked.inc(turn.gaps)
        if (refused := self._room.presence_refused - self._presence_refused) > 0:
            self._presence_refused += refused
            meters.limits_reached.labels(limit="room_presence_bytes_max").inc(refused)

    def _put_on_record(self, carried: Carried) -> None:
        sentence = f"brought what {carried.owner} has written as client {carried.client}"
        room = self.room_id
        self._parts.note(AuditEvent("carried", room.tenant, carried.bringer, room.document, sentence=sentence))

    def _consider_compaction(self) -> None:
        history = self._room.history
        if self._compacting is not None or history.tail_length < self._retry_compaction_at_records:
            return
        if self._parts.suspicions.holds(self.room_id):
            # It would cost one more scribe.
            return
        if self._parts.compaction.wants(history.tail_length, history.tail_bytes, len(history.snapshot)):
            work = self._compact(history.snapshot, history.tail(), history.seq)
            self._compacting = asyncio.create_task(work, name=f"compact {self.room_id}")

    async def _compact(self, snapshot: bytes, tail: Sequence[bytes], through: int) -> None:
        try:
            result = await self._parts.scribes.on_behalf_of(self.room_id.tenant).compact(snapshot or None, tail)
            await self._log.compact(Snapshot(through, result.state, result.ledger))
            self._inbox.post(Compacted(result.state, through))
            self._meters.compactions.inc()
            self._retry_compaction_at_records = 0
        except (ScribeError, ReplicaBroken) as error:
            # The log is whole and stays; try again when it has doubled.
            self._retry_compaction_at_records = 2 * len(tail)
            self._meters.compactions_failed.labels(reason=error.code).inc()
            log.warning("compaction refused", room=str(self.room_id), error=str(error))
            if isinstance(error, ScribeDied) and error.at_work:
                self._parts.suspicions.add(self.room_id)
        except DocumentRetired as error:
            self._end(error)
        except StoreError as error:
            self._fail(error)
        finally:
            self._compacting = None

    async def _stop_compacting(self) -> None:
        if (task := self._compacting) is not None:
            task.cancel()
            await asyncio.wait([task])

    def _end(self, error: DocumentRetired) -> None:
        """The document is gone. What is still in the inbox was not acked; its senders have it."""
        self._inbox.clear()
        self.close(error)

    def _fail(self, error: SyncError) -> None:
        if self.failure is None:
            self.failure = error
            self._meters.store_failures.labels(reason=error.code).inc()
            log.error("room stopped", room=str(self.room_id), error=str(error), code=error.code)
        # What is still in the inbox was not acked; its senders have it.
        self._inbox.clear()
        self.close(error)


def _has_bounds(envelope: Envelope) -> bool:
    """Somebody is coming, or has shown a token, who may write some of the document."""
    return isinstance(envelope, Arrived | Granted) and envelope.rights is not None
