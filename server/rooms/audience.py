"""Who is in a room, and telling them: each broadcast is encoded once a dialect, the same bytes go to every outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from crdt_sync.errors import DocumentRetired, LimitExceeded, SyncError
from crdt_sync.protocol.messages import Denied, Message, StateReply
from crdt_sync.values import RoomId
from server.rooms.inbox import Inbox
from server.rooms.member import Member
from server.rooms.parcels import Parcel
from server.rooms.turn import Broadcast, Drained, Listens, Reply, Turn
from server.storage.audit_events import AuditEvent, AuditKind
from server.telemetry.meters import Meters

log = structlog.get_logger(__name__)


class Audience:
    """The members of one room, as its host sees them."""

    def __init__(
        self,
        room_id: RoomId,
        seq: int,
        inbox: Inbox,
        meters: Meters,
        note: Callable[[AuditEvent], None] = lambda _: None,
    ) -> None:
        """``note`` puts on record who was refused something, or expelled."""
        self._room_id = room_id
        self._inbox = inbox
        self._meters = meters
        self._note = note
        self._members: dict[int, Member] = {}
        self._told_seq = seq

    def __len__(self) -> int:
        return len(self._members)

    def has_other_than(self, author: str) -> bool:
        """Somebody else is here, too."""
        return any(member.author != author for member in self._members.values())

    def add(self, member: Member) -> None:
        self._members[member.id] = member
        self._meters.members.inc()

    def remove(self, member: Member) -> bool:
        if self._members.pop(member.id, None) is None:
            return False
        self._meters.members.dec()
        return True

    def end(self, reason: SyncError) -> None:
        """Close everybody's connection for ``reason``. Of a document that has ended, a connection that is about many
        is told, and goes on."""
        for member in list(self._members.values()):
            if isinstance(reason, DocumentRetired) and member.dialect.carries_many:
                self._put(member, Denied(reason.code, str(reason)))
            else:
                member.outbox.end(reason)
            self.remove(member)

    def deliver(self, turn: Turn) -> None:
        """Tell what a turn has to tell, in its order. Never waits: whoever is full is shed."""
        touched: dict[int, Member] = {}
        shared: dict[tuple[int, str, str | None], Parcel] = {}
        run: list[Broadcast] = []
        for delivery in turn.deliveries:
            if isinstance(delivery, Broadcast):
                run.append(delivery)
                continue
            if run:
                self._broadcast(run, touched)
                run = []
            member = self._members.get(delivery.member)
            if member is None:
                continue
            if isinstance(delivery, Listens):
                member.listens, member.was_shed = True, False
            elif self._reply(delivery, member, shared):
                touched[member.id] = member
        if run:
            self._broadcast(run, touched)
        for member in touched.values():
            member.outbox.flush()
        for member_id, error in turn.expelled:
            if (member := self._members.get(member_id)) is not None:
                self._meters.updates_refused.labels(reason=error.code).inc()
                if isinstance(error, LimitExceeded):
                    self._meters.limits_reached.labels(limit=error.limit).inc()
                log.warning("member expelled", room=str(self._room_id), author=member.author, error=str(error))
                self._put_on_record("expelled", member, error.code, str(error))
                member.outbox.end(error)

    def _broadcast(self, run: Sequence[Broadcast], touched: dict[int, Member]) -> None:
        """Queue what goes to everybody, as one parcel that all share who call the document alike in one dialect."""
        authors = {broadcast.excluded for broadcast in run}
        spelled: dict[tuple[str, str | None], tuple[list[bytes | None], Parcel]] = {}
        for member in self._members.values():
            if not member.listens:
                continue
            if member.outbox.is_full:
                self._shed(member)
                continue
            spelling = member.dialect.name, member.address
            found = spelled.get(spelling)
            if found is None:
                frames = [member.frame_for_all(self._room_id.document, broadcast.message) for broadcast in run]
                found = spelled[spelling] = frames, Parcel([frame for frame in frames if frame is not None])
            parcel = found[1]
            if member.id in authors:
                told = zip(run, found[0], strict=True)
                parcel = Parcel([frame for each, frame in told if frame is not None and each.excluded != member.id])
            if parcel.frames:
                member.outbox.queue(parcel)
                touched[member.id] = member
        for broadcast in run:
            if broadcast.seq is not None:
                self._told_seq = broadcast.seq

    def _reply(self, reply: Reply, member: Member, shared: dict[tuple[int, str, str | None], Parcel]) -> bool:
        """Queue what one member is told; whether there was anything. Who came in one turn and asked alike gets one
        parcel: a crowd that joins a large document would otherwise hold a copy of it each."""
        if not reply.essential:
            if member.was_shed:
                return False
            if member.outbox.is_full:
                self._shed(member)
                return False
        if isinstance(reply.message, Denied) and reply.message.code != DocumentRetired.code:
            self._put_on_record("refused", member, reply.message.code, reply.message.reason)
        if isinstance(reply.message, StateReply) and member.spell is None:
            spelling = id(reply.message), member.dialect.name, member.address
            parcel = shared.get(spelling)
            if parcel is None:
                parcel = shared[spelling] = Parcel(member.frames(self._room_id.document, reply.message))
        else:
            parcel = Parcel(member.frames(self._room_id.document, reply.message))
        if parcel.frames:
            member.outbox.queue(parcel)
        return bool(parcel.frames)

    def _put_on_record(self, kind: AuditKind, member: Member, code: str, sentence: str) -> None:
        room = self._room_id
        event = AuditEvent(kind, room.tenant, member.author, room.document, member.client_address, code, sentence)
        self._note(event)

    def _put(self, member: Member, message: Message) -> None:
        for frame in member.frames(self._room_id.document, message):
            member.outbox.put(frame)

    def _shed(self, member: Member) -> None:
        """Stop telling a member that does not read; once it has read what is queued, the room brings it up to date."""
        member.listens, member.was_shed = False, True
        told = self._told_seq
        self._meters.members_shed.inc()
        member.outbox.when_drained(lambda: self._inbox.post(Drained(member.id, told)))
