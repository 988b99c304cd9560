"""P33, beside a model: whatever several subjects say, restarts included, each client id is written under by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from hypothesis import event, given
from hypothesis import strategies as st

from crdt_sync.errors import ClientIdTaken
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import Message, NewUpdate, Presence, PresenceEntry, StateReply
from crdt_sync.stores.update_log import Binding
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import join, write_entries
from crdt_sync.updates.pieces import whole
from server.rooms.ownership import Owners
from server.rooms.room import Room
from server.rooms.turn import Arrived, Carried, Departed, Turn
from tests.unit.rooms.members import absorb, empty_history, said

SUBJECTS = ("ada", "bob", "eve")
CLIENTS = (7, 8, 9)

Step: TypeAlias = tuple[Literal["edit", "answer", "announce", "leave", "reopen"], int, list[int]]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["edit", "edit", "answer", "answer", "announce", "leave", "reopen"]),
        st.integers(0, len(SUBJECTS) - 1),
        st.lists(st.sampled_from(CLIENTS), min_size=1, max_size=2, unique=True),
    ),
    max_size=40,
)


@dataclass
class Model:
    """The rules of docs/explanation/client-ids.md, one for each line."""

    may_carry: bool
    owners: dict[int, tuple[str, str]] = field(default_factory=dict)
    announced: dict[int, str] = field(default_factory=dict)

    def judge(self, verb: str, subject: str, clients: list[int]) -> list[str] | None:
        """Whose work each of the ids carries ("" for nobody's), or None for a refusal, which changes nothing."""
        before, carried = dict(self.owners), []
        for client in clients:
            owner = self._one(verb, subject, client)
            if owner is None:
                self.owners = before
                return None
            carried.append(owner)
        return carried

    def _one(self, verb: str, subject: str, client: int) -> str | None:
        owner, how = self.owners.get(client, ("", "free"))
        announcer = self.announced.get(client, "")
        if how in ("firm", "mixed"):
            if owner == subject:
                return ""
            if verb == "edit" or not self.may_carry:
                return None  # R3, R5
            self.owners[client] = (owner, "mixed")
            return owner  # R5
        if verb == "edit" or announcer == subject:
            if announcer not in ("", subject):
                return None  # R6
            self.owners[client] = (subject, "firm")
            return ""  # R1, R4
        if announcer and not self.may_carry:
            return None  # R6
        if how == "free":
            self.owners[client] = (subject, "carried")
            return announcer  # R2
        return announcer or (owner if owner != subject else "")  # R5


class Conversation:
    """A room with one connection for each subject, and what the store would have."""

    def __init__(self, *, may_carry: bool) -> None:
        self.model = Model(may_carry)
        self.clocks = dict.fromkeys(CLIENTS, 0)
        self.stored: dict[int, Binding] = {}
        self.writers: dict[int, set[str]] = {client: set() for client in CLIENTS}
        self._presence_clock = 0
        self._members = 0
        self._open()

    def _open(self) -> None:
        history = empty_history()
        history.ledger.clocks.update({client: clock for client, clock in self.clocks.items() if clock})
        self.room = Room(history, DEFAULT_LIMITS, owners=Owners(self.stored, may_carry=self.model.may_carry))
        self.model.announced.clear()
        self.members: dict[str, int] = {}

    def member(self, subject: str) -> int:
        if subject not in self.members:
            self._members += 1
            self.members[subject] = self._members
            absorb(self.room, Arrived(self._members, subject, True, wants_echo=True, keeps_pending=True))
        return self.members[subject]

    def leave(self, subject: str) -> None:
        absorb(self.room, Departed(self.member(subject)))
        self._is_gone(subject)

    def _is_gone(self, subject: str) -> None:
        del self.members[subject]
        for client in [client for client, who in self.model.announced.items() if who == subject]:
            del self.model.announced[client]

    def announce(self, subject: str, client: int) -> None:
        member, holder = self.member(subject), self.model.owners.get(client)
        self._presence_clock += 1
        absorb(self.room, said(member, Presence((PresenceEntry(client, self._presence_clock, "{}"),))))
        heard = self.room._roster.announcer(client)
        if holder is not None and holder[1] != "carried" and holder[0] != subject:
            assert heard != subject, "somebody announced another's id"
        if heard is not None:
            # Who is seen under an id is for the roster's own tests; here it counts that nobody takes a taken one.
            before = self.model.announced.setdefault(client, heard)
            assert before == heard

    def say(self, verb: str, subject: str, clients: list[int]) -> None:
        member = self.member(subject)
        updates = [write_entries(client, self.clocks[client], "m", {f"{client}": 1}) for client in clients]
        (update,) = join([whole(decode_update(one)) for one in updates])
        message: Message = NewUpdate(update) if verb == "edit" else StateReply(update)
        sections = [section.client for section in decode_update(update).sections]
        carries = self.model.judge(verb, subject, sections)
        turn = absorb(self.room, said(member, message))
        if carries is None:
            self._check_refused(turn, subject)
            return
        assert turn.expelled == []
        assert [one.update for one in turn.kept] == [update]
        assert turn.carried == [
            Carried(subject, owner, client, self.clocks[client], self.clocks[client] + 1)
            for client, owner in zip(sections, carries, strict=True)
            if owner
        ]
        for client in sections:
            self.clocks[client] += 1
            if verb == "edit":
                self.writers[client].add(subject)
        self.stored |= {binding.client: binding for one in turn.kept for binding in one.bindings}

    def _check_refused(self, turn: Turn, subject: str) -> None:
        ((_, error),) = turn.expelled
        assert isinstance(error, ClientIdTaken)
        assert (turn.kept, turn.carried) == ([], [])
        event("refused")
        self._is_gone(subject)

    def check(self) -> None:
        stored = {client: (one.subject, one.how) for client, one in self.stored.items()}
        assert stored == self.model.owners
        assert all(len(writers) <= 1 for writers in self.writers.values()), "two wrote under one id"


@given(steps=STEPS, may_carry=st.booleans())
def test_P33_each_client_id_is_written_under_by_one_subject(steps: list[Step], may_carry: bool) -> None:
    conversation = Conversation(may_carry=may_carry)
    for verb, number, clients in steps:
        subject = SUBJECTS[number]
        match verb:
            case "announce":
                conversation.announce(subject, clients[0])
            case "leave":
                conversation.leave(subject)
            case "reopen":
                conversation._open()
            case _:
                conversation.say(verb, subject, clients)
        conversation.check()
