"""A room decides: messages in, a :class:`Turn` out. Pure: no clock, no disk, no socket, no Doc.

The host promises (appends what a turn keeps) and only then tells (delivers). So whatever a turn says may be told as
soon as its updates are on disk, and never before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from crdt_sync.errors import ClientIdTaken, LimitExceeded, OutOfTurn, ProtocolError
from crdt_sync.limits import Limits
from crdt_sync.protocol.messages import (
    Ack,
    Denied,
    Leave,
    NewUpdate,
    Presence,
    PresenceRequest,
    SaveMark,
    Stateless,
    StateReply,
    StateRequest,
)
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.pieces import EMPTY_UPDATE, Piece
from crdt_sync.updates.places import PlaceIndex
from server.auth.patterns import PathRights
from server.rooms.history import History
from server.rooms.keeper import AUTHOR, NOTHING, Keeper, Notes
from server.rooms.ownership import Claim, Owners
from server.rooms.presence import Roster
from server.rooms.rights import objection
from server.rooms.turn import (
    Arrived,
    Broadcast,
    Changed,
    Compacted,
    Departed,
    Drained,
    Envelope,
    Granted,
    Kept,
    Listens,
    MemberId,
    Reply,
    Said,
    Turn,
)

READ_ONLY: Final = "this token may read the document, not write it; the edits stay with you"


@dataclass(slots=True)
class _Member:
    author: str
    may_write: bool
    wants_echo: bool
    keeps_pending: bool
    counts_acks: bool
    rights: PathRights | None = None
    subscribed: bool = False
    received: int = 0
    acked: int = 0
    owes_answers: int = 0
    """So many questions of ours for its state are on their way, or their answers are."""
    owes_state: bool = False
    """It sent something that builds on what we lack, and was asked for its state; until that is here, no ack."""
    holds_withheld: bool = False
    """Its state held what is set aside here."""
    keeps_back: bool = False
    """It also holds what builds on that. We never take it, so no ack can be true for all that it holds."""
    was_denied: bool = False
    is_here: bool = False
    """It has said all that it holds, and nothing of that was missing a part."""
    mark: int | None = None
    """To be said back once all that it holds is on disk."""


class Room:
    """One document's members and history. :meth:`absorb` is the only place where it decides."""

    def __init__(
        self, history: History, limits: Limits, keeper: Keeper | None = None, owners: Owners | None = None
    ) -> None:
        """``keeper`` writes down what lost, in documents where that matters; ``owners`` knows the ids on record."""
        self._history = history
        self._owners = owners if owners is not None else Owners()
        self._keeper = keeper
        self._limits = limits
        self._members: dict[MemberId, _Member] = {}
        self._roster = Roster(limits)
        self._unacked: set[MemberId] = set()
        self._places: PlaceIndex | None = None
        """Where each element lies, once somebody was here who may not write them all."""

    @property
    def history(self) -> History:
        return self._history

    @property
    def knows_places(self) -> bool:
        """Whether :meth:`index_places` was called already."""
        return self._places is not None

    @property
    def presence_refused(self) -> int:
        """Entries of presence that found the room full."""
        return self._roster.refused

    def absorb(self, envelopes: Sequence[Envelope], *, now_s: float) -> Turn:
        """Take in a batch, in order. A member that breaks the rules is expelled; nobody else notices."""
        turn = Turn()
        for envelope in envelopes:
            match envelope:
                case Arrived(member, author, may_write, wants_echo, keeps_pending, counts_acks, rights):
                    self._members[member] = _Member(author, may_write, wants_echo, keeps_pending, counts_acks, rights)
                case Granted():
                    self._regrant(envelope, turn)
                case Said():
                    self._hear(envelope, turn, now_s)
                case Drained(member, seq):
                    self._catch_up(member, seq, turn)
                case Departed(member):
                    self._dismiss(member, turn, now_s)
                case Compacted(state, through):
                    self._history.compact(state, through)
        self._acknowledge(turn)
        self._history.turned()
        return turn

    def _hear(self, said: Said, turn: Turn, now_s: float) -> None:
        member = self._members.get(said.member)
        if member is None:
            # It left or was expelled, maybe in this very batch; what it still had in flight is void.
            return
        try:
            self._act(said, member, turn, now_s)
        except (ProtocolError, ClientIdTaken) as error:
            turn.expelled.append((said.member, error))
            self._dismiss(said.member, turn, now_s)

    def _act(self, said: Said, member: _Member, turn: Turn, now_s: float) -> None:
        match said.message:
            case StateRequest(state):
                turn.deliveries += (Reply(said.member, message, True) for message in self._history.answer(state))
                if not member.subscribed:
                    self._welcome(said.member, member, turn)
                elif member.counts_acks:
                    self._ask(said.member, turn)
            case NewUpdate() | StateReply():
                self._take(said, member, turn)
            case Presence():
                heard = self._owners.audible(said.message, member.author)
                news = self._roster.hear(said.member, member.author, heard, now_s=now_s)
                self._tell(news, said.member, turn)
            case PresenceRequest():
                turn.deliveries.append(Reply(said.member, self._roster.everyone()))
            case SaveMark(version):
                member.mark = version
                self._unacked.add(said.member)
            case Leave():
                self._dismiss(said.member, turn, now_s)
            case Stateless():
                turn.deliveries.append(Broadcast(said.message, None, said.member))
            case _:
                # The rest is the relay's to say, or the edge's to hear; here it means nothing and costs nothing.
                return

    def _ask(self, member_id: MemberId, turn: Turn) -> None:
        self._members[member_id].owes_answers += 1
        turn.deliveries.append(Reply(member_id, StateRequest(dict(self._history.ledger.state)), True))

    def _welcome(self, member_id: MemberId, member: _Member, turn: Turn) -> None:
        member.subscribed = True
        turn.deliveries.append(Listens(member_id))
        # A viewer is asked, too: if it holds what it may not write, it is told so; if not, it learns that it is done.
        self._ask(member_id, turn)
        everyone = self._roster.everyone()
        if everyone.entries:
            turn.deliveries.append(Reply(member_id, everyone))

    def _take(self, said: Said, member: _Member, turn: Turn) -> None:
        assert said.update is not None, "the edge decodes every update"
        whole_state = isinstance(said.message, StateReply)
        said = self._sift(said, member, is_answer=self._is_answer(member, whole_state=whole_state))
        assert said.update is not None
        verdict = judge(said.update, self._history.ledger, self._limits, keep_ready_part=whole_state)
        member.received += 1
        if whole_state:
            member.owes_answers = max(0, member.owes_answers - 1)
        self._unacked.add(said.member)
        if not member.may_write and (verdict.fresh is not None or verdict.gap):
            # Not asked for what is missing either: it may not bring that.
            self._deny(said.member, member, turn, READ_ONLY)
            return
        if verdict.gap and member.holds_withheld:
            member.keeps_back = True
        elif whole_state and verdict.gap and not member.keeps_pending:
            # A page may hold what it can't use yet; a peer of ours never does, and would take the ack for all of it.
            raise OutOfTurn("a peer's whole state builds on something that is not in it")
        if member.rights is not None and (why := self._objection(said.update, verdict, member.rights)) is not None:
            self._deny(said.member, member, turn, why)
            return
        if verdict.fresh is not None:
            self._check_size(verdict.fresh)
            claim = self._claim(verdict.fresh, member, whole_state=whole_state)
            notes = self._notes(said.update, verdict, member.author, is_one_edit=not whole_state)
            self._keep_own(notes.before, turn)
            self._keep(verdict.fresh, claim, said, member, turn, is_whole=not verdict.gap)
            if self._places is not None:
                self._places.feed(said.update, verdict.runs)
            self._keep_own(notes.after, turn)
            if notes.changed:
                turn.changed.append(Changed(member.author, notes.changed))
        if verdict.gap and not whole_state:
            turn.gaps += 1
            if not member.owes_state and not member.keeps_back:
                member.owes_state = True
                self._ask(said.member, turn)
        elif whole_state:
            # A whole state that still has a gap can't be mended by asking again; what was ready of it is kept.
            member.owes_state = False
        if whole_state:
            member.is_here = not verdict.gap
        if verdict.fresh is None and not verdict.gap:
            turn.known += 1
            self._echo(said, member, turn)

    def _is_answer(self, member: _Member, *, whole_state: bool) -> bool:
        # A peer of ours says a long answer in several updates, of which only the last is a StateReply.
        return whole_state or (member.owes_answers > 0 and not member.keeps_pending)

    def _sift(self, said: Said, member: _Member, *, is_answer: bool) -> Said:
        """``said`` but for what is set aside: a state may hold that in good faith, an edit may not (Quarantined)."""
        withheld = self._history.withheld
        if not withheld:
            return said
        assert said.update is not None
        if not is_answer:
            withheld.check(said.update)
            return said
        update = withheld.without(said.update, self._limits)
        if update is said.update:
            return said
        member.holds_withheld = True
        return replace(said, update=update)

    def _claim(self, fresh: Piece, member: _Member, *, whole_state: bool) -> Claim:
        is_answer = self._is_answer(member, whole_state=whole_state)
        announcer_of = self._roster.announcer
        return self._owners.judge(fresh.spans, member.author, is_answer=is_answer, announcer_of=announcer_of)

    def _keep(self, fresh: Piece, claim: Claim, said: Said, member: _Member, turn: Turn, *, is_whole: bool) -> None:
        assert said.update is not None
        seq = self._history.add(fresh)
        turn.kept.append(Kept(fresh.raw, member.author, self._owners.admit(claim)))
        turn.carried += claim.carried
        if fresh.raw is said.update.raw and member.wants_echo:
            turn.deliveries.append(Broadcast(NewUpdate(fresh.raw), seq, None))
            return
        turn.deliveries.append(Broadcast(NewUpdate(fresh.raw), seq, said.member))
        if is_whole:
            # An echo says that all of it is on disk, which is not so where something was not ready.
            self._echo(said, member, turn)

    def index_places(self) -> None:
        """Find out where each element lies: once, before anybody is judged by it. A second for 100,000 entries."""
        if self._places is None:
            log = (self._history.snapshot, *self._history.tail())
            self._places = PlaceIndex.of_log(filter(None, log), self._limits)

    def _objection(self, update: DecodedUpdate, verdict: Verdict, rights: PathRights) -> str | None:
        self.index_places()
        assert self._places is not None
        return objection(update, verdict, rights, self._places, self._history, self._limits)

    def _check_size(self, fresh: Piece) -> None:
        size = self._history.size_bytes + len(fresh.raw)
        if size > self._limits.document_bytes_max:
            raise LimitExceeded("document_bytes_max", self._limits.document_bytes_max, size)

    def _notes(self, update: DecodedUpdate, verdict: Verdict, author: str, *, is_one_edit: bool) -> Notes:
        """What the relay itself has to write about an update."""
        if self._keeper is None:
            return NOTHING
        return self._keeper.note(update, verdict, self._history, author, is_one_edit=is_one_edit)

    def _keep_own(self, updates: Sequence[bytes], turn: Turn) -> None:
        """Keep what the relay writes, in the turn of the update that it is about."""
        if not updates:
            return
        # What we write is bound by what was written, not by what one member may send.
        stored = self._limits.for_stored()
        for raw in updates:
            own = decode_update(raw, stored)
            judged = judge(own, self._history.ledger, stored)
            assert judged.fresh is not None, "an entry under a fresh client id is new"
            if self._keeper is not None:
                self._keeper.recall(own, judged, AUTHOR)
            claim = self._owners.judge(judged.fresh.spans, AUTHOR, is_answer=False, announcer_of=self._roster.announcer)
            turn.kept.append(Kept(raw, AUTHOR, self._owners.admit(claim)))
            turn.deliveries.append(Broadcast(NewUpdate(raw), self._history.add(judged.fresh), None))
            if self._places is not None:
                self._places.feed(own, judged.runs)

    def _echo(self, said: Said, member: _Member, turn: Turn) -> None:
        assert said.update is not None
        if member.wants_echo and said.update.raw != EMPTY_UPDATE:
            turn.deliveries.append(Reply(said.member, NewUpdate(said.update.raw), True))

    def _deny(self, member_id: MemberId, member: _Member, turn: Turn, reason: str) -> None:
        if not member.was_denied:
            member.was_denied = True
            turn.deliveries.append(Reply(member_id, Denied("forbidden", reason), True))

    def _regrant(self, granted: Granted, turn: Turn) -> None:
        member = self._members.get(granted.member)
        if member is None:
            return
        member.may_write, member.rights = granted.may_write, granted.rights
        if member.may_write and member.was_denied:
            # What it was refused is still with it, and comes with its state.
            member.was_denied, member.owes_state = False, True
            self._ask(granted.member, turn)

    def _catch_up(self, member_id: MemberId, seq: int, turn: Turn) -> None:
        member = self._members.get(member_id)
        if member is None:
            return
        turn.deliveries.append(Listens(member_id))
        turn.deliveries += (Reply(member_id, message, True) for message in self._history.after(seq))
        # Those who left while it was shed would stay with it as ghosts.
        turn.deliveries.append(Reply(member_id, self._roster.with_farewells(), True))
        if member.owes_state:
            self._ask(member_id, turn)
        # Acks may have been dropped with the queue, so the latest is said again at the end of this turn.
        member.acked = 0
        self._unacked.add(member_id)

    def _dismiss(self, member_id: MemberId, turn: Turn, now_s: float) -> None:
        if self._members.pop(member_id, None) is not None:
            self._tell(self._roster.leave(member_id, now_s=now_s), member_id, turn)

    def _tell(self, news: Presence, source: MemberId, turn: Turn) -> None:
        if news.entries:
            turn.deliveries.append(Broadcast(news, None, source))

    def _acknowledge(self, turn: Turn) -> None:
        """Acks for this turn's senders; one that owes its state waits until that is here.

        A mark waits for the state in any case: who comes back asks before it has said what it did meanwhile."""
        owing = set()
        for member_id in self._unacked:
            member = self._members.get(member_id)
            # Who was denied something holds edits that are not on disk here, and may never hear that they are.
            if member is None or member.was_denied or member.keeps_back:
                continue
            if member.owes_state:
                owing.add(member_id)
            elif member.received > member.acked and (member.is_here or not member.counts_acks):
                # Who counts would take an ack of its updates for one of all that it holds.
                member.acked = member.received
                turn.deliveries.append(Reply(member_id, Ack(member.received), True))
            if member.mark is not None:
                if member.is_here and not member.owes_state:
                    turn.deliveries.append(Reply(member_id, SaveMark(member.mark), True))
                    member.mark = None
                else:
                    owing.add(member_id)
        self._unacked = owing
