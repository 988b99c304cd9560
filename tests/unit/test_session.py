"""A peer's side of the conversation. The rules P1 to P12 stand in docs/reference/protocol.md."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import OutOfTurn
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import (
    Ack,
    Denied,
    Leave,
    Message,
    NewUpdate,
    Presence,
    PresenceRequest,
    StateReply,
    StateRequest,
)
from crdt_sync.replica import Replica, Write, contents, replay
from crdt_sync.session import NOTHING, PeerSession
from crdt_sync.updates.pieces import EMPTY_UPDATE
from tests.unit.rooms.members import NOBODY, absorb, arrive, broadcasts, listeners, make_room, replies, said


class Peer:
    """A replica with its log, and a session over it."""

    def __init__(self, replica: Replica | None = None) -> None:
        self.replica = replica or Replica()
        self.log: list[bytes] = []
        self.session = PeerSession(self.replica, 0)
        self.session.open()

    def write(self, key: str, value: object) -> list[Message]:
        """An edit that is in the log; what the session says about it."""
        update = self.replica.write([Write("stock", key, value)])
        assert update is not None
        self.log.append(update)
        return list(self.session.local(update, len(self.log)))

    def receive(self, message: Message) -> list[Message]:
        received = self.session.receive(message)
        self.log += received.fresh
        return list(received.replies)


def updates_of(*keys: str) -> list[bytes]:
    """The edits of somebody else, each building on the one before."""
    peer = Peer()
    for key in keys:
        peer.write(key, key)
    return peer.log


def test_the_first_words_say_what_the_peer_holds() -> None:
    peer = Peer()
    peer.write("shirt", 1)
    assert PeerSession(peer.replica, 1).open() == (StateRequest({peer.replica.client_id: 1}),)


def test_an_edit_before_the_relays_question_waits_for_the_answer_to_it() -> None:
    peer = Peer()
    assert peer.write("shirt", 1) == []
    assert peer.receive(StateRequest(NOBODY)) == [StateReply(peer.log[0])]
    assert peer.write("shoe", 2) == [NewUpdate(peer.log[1])]


def test_P1_only_an_ack_of_everything_makes_the_log_durable() -> None:
    peer = Peer()
    peer.write("shirt", 1)
    assert not peer.session.all_durable
    peer.receive(StateRequest(NOBODY))
    peer.write("shoe", 2)
    peer.receive(Ack(1))
    assert (peer.session.durable_mark, peer.session.all_durable) == (1, False)
    peer.receive(Ack(2))
    assert (peer.session.durable_mark, peer.session.all_durable) == (2, True)


def test_P1_a_part_of_an_answer_that_is_acked_is_not_the_whole() -> None:
    peer = Peer(Replica(replace(DEFAULT_LIMITS, update_part_bytes_max=40)))
    for n in range(6):
        peer.write(f"key-{n}", "x" * 20)
    parts = peer.receive(StateRequest(NOBODY))
    assert [type(part) for part in parts] == [NewUpdate] * (len(parts) - 1) + [StateReply]
    assert len(parts) > 2
    peer.receive(Ack(len(parts) - 1))
    assert peer.session.durable_mark == 0
    peer.receive(Ack(len(parts)))
    assert peer.session.durable_mark == 6


@pytest.mark.parametrize("through", [2, 0])
def test_an_ack_beyond_what_was_sent_or_backwards_ends_the_connection(through: int) -> None:
    peer = Peer()
    peer.write("shirt", 1)
    peer.receive(StateRequest(NOBODY))
    peer.receive(Ack(1))
    with pytest.raises(OutOfTurn):
        peer.receive(Ack(through))


def test_an_empty_log_is_durable_once_the_relay_has_said_so() -> None:
    peer = Peer()
    assert not peer.session.all_durable
    assert peer.receive(StateRequest(NOBODY)) == [StateReply(EMPTY_UPDATE)]
    peer.receive(Ack(1))
    assert peer.session.all_durable


def test_P13_synced_means_that_the_relays_state_has_arrived() -> None:
    peer, (first, second) = Peer(), updates_of("a", "b")
    peer.receive(NewUpdate(first))
    assert not peer.session.synced
    peer.receive(StateReply(second))
    assert peer.session.synced
    assert peer.log == [first, second]


def test_P5_what_is_known_is_not_logged_again() -> None:
    peer, (update,) = Peer(), updates_of("a")
    peer.receive(StateReply(update))
    assert peer.session.receive(NewUpdate(update)) == NOTHING


def test_P8_a_gap_is_not_kept_and_asked_for_once() -> None:
    peer, (first, second, third) = Peer(), updates_of("a", "a", "a")
    peer.receive(StateReply(EMPTY_UPDATE))
    assert peer.receive(NewUpdate(second)) == [StateRequest({})]
    assert peer.receive(NewUpdate(third)) == []
    assert peer.log == []
    for update in (first, second):
        peer.receive(NewUpdate(update))
    peer.receive(StateReply(third))
    assert contents(replay(peer.log)) == contents(peer.replica)


def test_P8_a_state_with_a_hole_ends_the_connection_and_leaves_nothing_behind() -> None:
    other = Peer()
    other.write("shirt", 1)
    # Ready by itself, and beside it what is not.
    alone = Peer()
    alone.replica.merge(other.log[0])
    alone.write("shoe", 2)
    alone.write("shirt", 3)
    peer = Peer()
    with pytest.raises(OutOfTurn):
        peer.receive(StateReply(alone.replica.since({other.replica.client_id: 1})))
    assert (dict(peer.replica.state), peer.log) == ({}, [])


def test_P5_a_refusal_is_there_to_be_read() -> None:
    peer, denied = Peer(), Denied("forbidden", "read only")
    peer.receive(denied)
    assert peer.session.denied == denied


@pytest.mark.parametrize("message", [Presence(()), PresenceRequest(), Leave()])
def test_what_is_no_business_of_documents_changes_nothing(message: Message) -> None:
    assert Peer().session.receive(message) == NOTHING


class Conversation:
    """Two peers and the real room, with every message in flight until it is delivered."""

    def __init__(self) -> None:
        self.room = make_room()
        self.peers = {1: Peer(), 2: Peer()}
        self.up: dict[int, deque[Message]] = {1: deque(), 2: deque()}
        self.down: dict[int, deque[Message]] = {1: deque(), 2: deque()}
        self.listening: set[int] = set()
        arrive(self.room, 1, 2)
        for member, peer in self.peers.items():
            self.up[member] += PeerSession(peer.replica, 0).open()

    def act(self, member: int, what: str, key: str) -> bool:
        match what:
            case "write":
                self.up[member] += self.peers[member].write(key, f"{member}")
            case "up" if self.up[member]:
                self._tell(member, self.up[member].popleft())
            case "down" if self.down[member]:
                self.up[member] += self.peers[member].receive(self.down[member].popleft())
            case _:
                return False
        return True

    def _tell(self, member: int, message: Message) -> None:
        turn = absorb(self.room, said(member, message))
        assert turn.expelled == []
        self.listening |= set(listeners(turn))
        for each in self.peers:
            news = [one.message for one in broadcasts(turn) if one.excluded != each]
            self.down[each] += replies(turn, each) + (news if each in self.listening else [])

    def settle(self) -> None:
        while any(self.act(member, what, "") for member in self.peers for what in ("up", "down")):
            pass


ACTS = st.tuples(st.integers(1, 2), st.sampled_from(["write", "up", "down"]), st.sampled_from(["a", "b"]))


@given(st.lists(ACTS, max_size=30))
def test_P7_two_peers_and_a_room_agree_whatever_the_order(acts: list[tuple[int, str, str]]) -> None:
    conversation = Conversation()
    for act in acts:
        conversation.act(*act)
    conversation.settle()
    one, two = (contents(peer.replica) for peer in conversation.peers.values())
    assert one == two == contents(replay(conversation.room.history.tail()))
    for peer in conversation.peers.values():
        assert peer.session.all_durable
        assert contents(replay(peer.log)) == contents(peer.replica)
