"""The relay without an event loop: the real Room, Audience, Inbox and Outbox, driven step by step.

Only what waits is replaced. Host.run's three lines (absorb, append, deliver) become three steps, so that anything
may happen between them; a connection's sender becomes :meth:`Port.pump`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from crdt_sync.errors import ProtocolError, RoomClosing, StoreError, SyncError
from crdt_sync.protocol.messages import NewUpdate, StateReply, StateRequest
from crdt_sync.stores.update_log import Binding, Loaded, Record, Snapshot
from server.rooms.audience import Audience
from server.rooms.dialect import Dialect
from server.rooms.history import History
from server.rooms.inbox import Inbox
from server.rooms.keeper import AUTHOR, Keeper, open_keeper
from server.rooms.member import Member
from server.rooms.outbox import Outbox
from server.rooms.ownership import Owners
from server.rooms.parcels import Parcel
from server.rooms.room import Room
from server.rooms.turn import Arrived, Compacted, Departed, Drained, Envelope, Said, Turn
from server.scribes.tasks import compact
from server.telemetry.meters import Meters
from tests.simulation.bounds import LIMITS, ROOM
from tests.simulation.disk import RelayDisk
from tests.simulation.network import Link
from tests.simulation.witness import Witness

RELAY_CLIENT: Final = 2**52
"""The ids under which the simulated relay writes begin here; those of others are smaller."""


class Port:
    """The relay's end of a connection: what its outbox hands over, and what the network has not taken yet."""

    def __init__(self, link: Link, number: int, name: str, dialect: Dialect, witness: Witness) -> None:
        self.link = link
        self.member = Member(number, name, may_write=True, dialect=dialect, outbox=Outbox(LIMITS, self))
        self._witness = witness
        self._taken: deque[bytes] = deque()
        self._has_ended = False
        self.is_done = False

    @property
    def has_work(self) -> bool:
        outbox = self.member.outbox
        return bool(self._taken or outbox._parcels or outbox._when_drained or outbox.ended)

    @property
    def is_ready(self) -> bool:
        return not self._taken and not self.link.down.is_full

    def write(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            self._taken.extend(parcel.frames)

    def end(self, reason: SyncError) -> None:
        self._has_ended = True

    def pump(self) -> None:
        """Hand frames to the network until it takes no more."""
        while not self.link.down.is_full:
            if not self._taken:
                self.member.outbox.flush()
            if not self._taken:
                if self._has_ended:
                    self.link.end()
                    self.is_done = True
                return
            frame = self._taken.popleft()
            self._check_visible(frame)
            self.link.down.send(frame, self._witness.now_s)

    def _check_visible(self, frame: bytes) -> None:
        message = self._witness.read(self.member.dialect, frame)
        if isinstance(message, NewUpdate | StateReply):
            self._witness.shown(self.member.author, message.update)


@dataclass(frozen=True, slots=True)
class Compaction:
    """A scribe's work, done and not yet put in place."""

    snapshot: Snapshot


class SimulatedHost:
    """Mirrors server/rooms/host.py: one turn at a time, each of its three parts a step of its own."""

    def __init__(self, disk: RelayDisk, witness: Witness, meters: Meters, room_type: type[Room]) -> None:
        self.disk = disk
        self.witness = witness
        loaded = disk.load()
        self.room = room_type(open_history(loaded), LIMITS, self.open_keeper(loaded), self.open_owners(loaded))
        self.inbox = Inbox(LIMITS.inbox_messages_max)
        self.audience = Audience(ROOM, self.room.history.seq, self.inbox, meters)
        self.turn: Turn | None = None
        self.batch: Sequence[Envelope] = ()
        self.is_appended = False
        self.compaction: Compaction | None = None

    def open_owners(self, loaded: Loaded) -> Owners:
        return Owners(loaded.bindings)

    def open_keeper(self, loaded: Loaded) -> Keeper | None:
        """As the registry does. Nobody has written under its id: with every update on the disk there is another."""
        log: list[tuple[bytes, str | None]] = [(record.update, record.author) for record in loaded.tail]
        if loaded.snapshot is not None:
            log.insert(0, (loaded.snapshot.state, None))
        return open_keeper(ROOM.document, RELAY_CLIENT + loaded.last_seq, log, LIMITS)

    @property
    def is_busy(self) -> bool:
        return self.turn is not None or not self.inbox.is_empty

    def step(self, now_s: float) -> None:
        """The next part of a turn. Raises :class:`StoreError` when the disk does."""
        if self.turn is None:
            if not self.inbox.is_empty:
                self.absorb(now_s)
        elif self.turn.kept and not self.is_appended:
            self.append()
        else:
            self.deliver()

    def absorb(self, now_s: float) -> None:
        self.batch = self.inbox.take(LIMITS.turn_messages_max)
        self._note_questions()
        self.turn = self.room.absorb(self.batch, now_s=now_s)
        self.is_appended = False

    def _note_questions(self) -> None:
        history = self.room.history
        for envelope in self.batch:
            if isinstance(envelope, Drained):
                self.witness.reached("catch-ups of shed members")
            elif isinstance(envelope, Said) and isinstance(envelope.message, StateRequest) and history.snapshot:
                is_covered = history._covers_snapshot(envelope.message.state)
                self.witness.reached("resyncs from the tail" if is_covered else "resyncs from the snapshot")

    def append(self) -> None:
        assert self.turn is not None
        records = [Record(kept.update, kept.author, 0) for kept in self.turn.kept]
        bindings = [binding for kept in self.turn.kept for binding in kept.bindings]
        self._check_owners(bindings)
        before = len(self.disk.archive)
        try:
            seq = self.disk.append(records, bindings)
        finally:
            sources = [envelope.update.raw for envelope in self.batch if isinstance(envelope, Said) and envelope.update]
            for record in self.disk.archive[before:]:
                self.witness.relay_logged(record.update, sources, is_own=record.author == AUTHOR)
        self.is_appended = True
        if seq != self.room.history.seq:
            self.witness.accuse("P12", f"the log stands at {seq}, its room at {self.room.history.seq}")

    def _check_owners(self, bindings: Sequence[Binding]) -> None:
        """P33: who has written under an id is its owner for good."""
        for binding in bindings:
            held = self.disk.bindings.get(binding.client)
            if held is not None and held.how != "carried" and held.subject != binding.subject:
                self.witness.accuse("P33", f"{binding.client} was {held.subject}'s, and is {binding.subject}'s now")
            if held is not None and held.how == binding.how:
                self.witness.accuse("P33", f"{binding.client} is bound to {binding.subject} once more")
            self.witness.reached(f"client ids {binding.how}")

    def deliver(self) -> None:
        assert self.turn is not None
        turn, self.turn = self.turn, None
        self._count(turn)
        shed = [member for member in self.audience._members.values() if member.was_shed]
        self.audience.deliver(turn)
        now_shed = [member for member in self.audience._members.values() if member.was_shed]
        self.witness.reached("members shed", sum(member not in shed for member in now_shed))

    def _count(self, turn: Turn) -> None:
        reached = self.witness.reached
        reached("gaps asked", turn.gaps)
        reached("known updates", turn.known)
        raws = {envelope.update.raw for envelope in self.batch if isinstance(envelope, Said) and envelope.update}
        reached("partial accepts", sum(kept.update not in raws and kept.author != AUTHOR for kept in turn.kept))
        reached("movements changed", len(turn.changed))
        reached("group commits", len(turn.kept) > 1)

    def enter(self, member: Member) -> None:
        self.audience.add(member)
        dialect = member.dialect
        self.inbox.post(Arrived(member.id, member.author, member.may_write, dialect.wants_echo, dialect.keeps_pending))

    def leave(self, member: Member) -> None:
        if self.audience.remove(member):
            self.inbox.post(Departed(member.id))

    def begin_compaction(self) -> bool:
        """Let the real scribes' code rebuild and verify the document; only between turns, as the host does."""
        history = self.room.history
        if self.turn is not None or self.compaction is not None or history.tail_length < 2:
            return False
        state, ledger = compact([history.snapshot, *history.tail()] if history.snapshot else list(history.tail()))
        self.compaction = Compaction(Snapshot(history.seq, state, ledger))
        return True

    def install_compaction(self) -> bool:
        """Make the snapshot durable, and tell the room; anything may have been appended meanwhile."""
        if self.compaction is None:
            return False
        snapshot, self.compaction = self.compaction.snapshot, None
        self.disk.compact(snapshot)
        self.witness.compacted(snapshot.state, [record.update for record in self.disk.archive[: snapshot.through]])
        self.inbox.post(Compacted(snapshot.state, snapshot.through))
        self.witness.reached("compactions")
        return True


def open_history(loaded: Loaded) -> History:
    snapshot = loaded.snapshot
    tail = [record.update for record in loaded.tail]
    if snapshot is None:
        return History.load(b"", 0, b"", tail, LIMITS, document=str(ROOM))
    return History.load(snapshot.state, snapshot.through, snapshot.ledger, tail, LIMITS, document=str(ROOM))


class Relay:
    """The process: up or down, with its room open or closed. The disk outlives it."""

    def __init__(self, witness: Witness, host_type: type[SimulatedHost], room_type: type[Room]) -> None:
        self.disk = RelayDisk()
        self.is_up = True
        self.host: SimulatedHost | None = None
        self.ports: list[Port] = []
        self._witness = witness
        self._meters = Meters()
        self._host_type = host_type
        self._room_type = room_type
        self._members = 0

    def accept(self, link: Link, name: str, dialect: Dialect) -> None:
        if self.host is None:
            self.host = self._host_type(self.disk, self._witness, self._meters, self._room_type)
            self._witness.reached("rooms opened")
        self._members += 1
        port = Port(link, self._members, name, dialect, self._witness)
        self.ports.append(port)
        self.host.enter(port.member)

    def may_hear(self, port: Port) -> bool:
        """Backpressure: neither a busy room nor a connection that does not read is read from."""
        outbox = port.member.outbox
        if self.host is None or outbox.ended or outbox.is_full:
            return False
        return len(self.host.inbox._envelopes) < LIMITS.inbox_messages_max

    def hear(self, port: Port, frame: bytes) -> None:
        assert self.host is not None
        try:
            message = self._witness.read(port.member.dialect, frame)
            update = self._witness.decode(message.update) if isinstance(message, NewUpdate | StateReply) else None
        except ProtocolError as error:
            self._witness.expelled(port.member.author, error, hostile=port.link.hostile)
            port.member.outbox.end(error)
            return
        self.host.inbox.post(Said(port.member.id, message, update))

    def step(self, now_s: float) -> bool:
        """One part of a turn; a failing store ends the room as Host.run does."""
        if self.host is None or not self.host.is_busy:
            return False
        turn = self.host.turn
        try:
            self.host.step(now_s)
        except StoreError as error:
            self._witness.reached("store failures")
            self._witness.note(f"store fails: {error}")
            self.drop_room(error)
            return True
        if turn is not None and self.host.turn is None:
            self._judge_expelled(turn)
        return True

    def _judge_expelled(self, turn: Turn) -> None:
        by_id: Mapping[int, Port] = {port.member.id: port for port in self.ports}
        for member_id, error in turn.expelled:
            if (port := by_id.get(member_id)) is not None:
                self._witness.expelled(port.member.author, error, hostile=port.link.hostile)

    def drop_room(self, reason: SyncError) -> None:
        """What a host does at its end: every member's connection is closed, memory is thrown away."""
        assert self.host is not None
        self.host.audience.end(reason)
        self.host = None

    def notice(self, port: Port) -> None:
        """The relay learns that a connection is gone."""
        self.ports.remove(port)
        if self.host is not None:
            self.host.leave(port.member)

    def close_idle(self) -> bool:
        """Close a room that nobody is in, after comparing what it knew with what its disk knows."""
        if self.host is None or self.host.is_busy or self.ports:
            return False
        self.check_disk()
        self.drop_room(RoomClosing("idle"))
        self._witness.reached("rooms closed idle")
        return True

    def check_disk(self) -> None:
        """P12: a history read from the disk knows what the one in memory knows."""
        if self.host is None:
            return
        memory, stored = self.host.room.history, open_history(self.disk.load())
        if stored.seq != memory.seq or stored.ledger.clocks != memory.ledger.clocks:
            self._witness.accuse("P12", "the log on disk and the room in memory differ in numbers or clocks")
        # A snapshot may say more deletes: of values that were overwritten. It never says fewer.
        for client, ranges in memory.ledger.deleted.items():
            if stored.ledger.new_deletes({client: list(ranges)}):
                self._witness.accuse("P12", "the room in memory knows deletes that its disk does not")

    def crash(self, chance: Random) -> None:
        """The process is gone, in the middle of whatever it did."""
        host = self.host
        if host is not None and host.turn is not None and host.turn.kept:
            between = "append and deliver" if host.is_appended else "absorb and append"
            self._witness.reached(f"relay crashes between {between}")
        self._witness.reached("relay crashes")
        for port in self.ports:
            # Frames that are in flight may still arrive, or not.
            port.link.end() if chance.random() < 0.5 else port.link.cut()
        self.ports, self.host, self.is_up = [], None, False
