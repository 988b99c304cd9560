"""Who is told what: the same bytes for all who speak alike, nothing for who is full, and nobody hears itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import SyncError
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import multiplexed, y_websocket
from crdt_sync.protocol.messages import Ack, NewUpdate, StateReply
from crdt_sync.values import RoomId
from server.rooms.audience import Audience
from server.rooms.dialect import MULTIPLEXED, Y_WEBSOCKET, Dialect
from server.rooms.inbox import Inbox
from server.rooms.member import Member
from server.rooms.outbox import Outbox
from server.rooms.parcels import Parcel
from server.rooms.turn import Broadcast, Drained, Listens, Reply, Turn
from server.telemetry.meters import Meters

DOCUMENT = "stock"
LIMITS = replace(DEFAULT_LIMITS, outbox_messages_max=DEFAULT_LIMITS.turn_messages_max + 1)


class Socket:
    """A member, and what it was told."""

    def __init__(self, number: int, dialect: Dialect, *, reads: bool = True) -> None:
        self.reads = reads
        self.parcels: list[Parcel] = []
        self.member = Member(number, f"user-{number}", may_write=True, dialect=dialect, outbox=Outbox(LIMITS, self))

    @property
    def is_ready(self) -> bool:
        return self.reads

    def write(self, parcels: Sequence[Parcel]) -> None:
        self.parcels += parcels

    def end(self, reason: SyncError) -> None:
        raise AssertionError("nobody is expelled here")

    @property
    def heard(self) -> list[bytes]:
        return [frame for parcel in self.parcels for frame in parcel.frames]


def opened(*sockets: Socket) -> tuple[Audience, Inbox]:
    inbox = Inbox(LIMITS.inbox_messages_max)
    audience = Audience(RoomId("acme", DOCUMENT), 0, inbox, Meters())
    for socket in sockets:
        audience.add(socket.member)
    audience.deliver(Turn(deliveries=[Listens(socket.member.id) for socket in sockets]))
    return audience, inbox


def spelled(dialect: Dialect, message: NewUpdate) -> bytes:
    return y_websocket.encode(message) if dialect is Y_WEBSOCKET else multiplexed.encode(DOCUMENT, message)


TURNS = st.lists(
    st.one_of(
        st.tuples(st.just("all"), st.sampled_from([None, 0, 1, 2, 3])),
        st.tuples(st.just("one"), st.sampled_from([0, 1, 2, 3])),
    ),
    max_size=12,
)


@given(TURNS)
def test_each_member_hears_what_is_for_it_in_the_turns_order(turn: list[tuple[str, int | None]]) -> None:
    dialects = [Y_WEBSOCKET, MULTIPLEXED, Y_WEBSOCKET, MULTIPLEXED]
    sockets = [Socket(number, dialect) for number, dialect in enumerate(dialects)]
    audience, _ = opened(*sockets)
    deliveries: list[Broadcast | Reply | Listens] = []
    expected: list[list[bytes]] = [[], [], [], []]
    for seq, (kind, who) in enumerate(turn, 1):
        message = NewUpdate(bytes([seq]) * 3)
        if kind == "one":
            assert who is not None
            deliveries.append(Reply(who, message))
        else:
            deliveries.append(Broadcast(message, seq, who))
        for number, dialect in enumerate(dialects):
            if (number == who) == (kind == "one"):
                expected[number].append(spelled(dialect, message))
    audience.deliver(Turn(deliveries=deliveries))
    assert [socket.heard for socket in sockets] == expected


def test_who_speaks_alike_shares_one_parcel() -> None:
    sockets = [Socket(number, Y_WEBSOCKET) for number in range(5)]
    audience, _ = opened(*sockets)
    audience.deliver(Turn(deliveries=[Broadcast(NewUpdate(bytes([seq])), seq, 4) for seq in range(3)]))
    shared = {id(socket.parcels[0]) for socket in sockets[:4]}
    assert len(shared) == 1
    assert [len(socket.parcels) for socket in sockets] == [1, 1, 1, 1, 0]


def test_a_member_that_does_not_read_is_shed_and_resumes_behind_what_it_was_told() -> None:
    stuck, other = Socket(1, Y_WEBSOCKET, reads=False), Socket(2, Y_WEBSOCKET)
    audience, inbox = opened(stuck, other)
    size = LIMITS.outbox_messages_max
    audience.deliver(Turn(deliveries=[Broadcast(NewUpdate(b"x"), seq, None) for seq in range(1, size + 1)]))
    audience.deliver(Turn(deliveries=[Broadcast(NewUpdate(b"y"), size + 1, None), Reply(1, Ack(1))]))
    assert stuck.member.was_shed
    assert len(other.heard) == size + 1
    stuck.reads = True
    stuck.member.outbox.flush()
    assert len(stuck.heard) == size
    assert inbox.take(9) == [Drained(1, size)]


def test_a_crowd_that_asks_alike_in_one_turn_shares_one_answer() -> None:
    sockets = [Socket(number, Y_WEBSOCKET) for number in range(4)]
    audience, _ = opened(*sockets)
    answer = StateReply(b"much")
    audience.deliver(Turn(deliveries=[Reply(number, answer, True) for number in range(4)]))
    assert len({id(socket.parcels[0]) for socket in sockets}) == 1
    assert [socket.heard for socket in sockets] == [[y_websocket.encode(answer)]] * 4
