"""A member that counts acks, as pages of Hocuspocus do; and one whose token is replaced by another."""

from __future__ import annotations

from crdt_sync.protocol.messages import Ack, Denied, NewUpdate, Stateless, StateReply, StateRequest
from crdt_sync.updates.pieces import EMPTY_UPDATE
from server.rooms.room import Room
from server.rooms.turn import Arrived, Broadcast, Granted
from tests.unit.rooms.members import NOBODY, Writer, absorb, arrive, broadcasts, kept, make_room, replies, said


def page(room: Room, member: int, *, may_write: bool = True) -> None:
    absorb(room, Arrived(member, "page", may_write, wants_echo=False, keeps_pending=True, counts_acks=True))


def test_P25_no_ack_before_its_state_is_here() -> None:
    room, writer = make_room(), Writer(1)
    page(room, 1)
    turn = absorb(room, said(1, StateRequest(NOBODY)), said(1, NewUpdate(writer.set("shirt", 3))))
    assert len(kept(turn)) == 1
    assert not [one for one in replies(turn, 1) if isinstance(one, Ack)]
    assert replies(absorb(room, said(1, StateReply(EMPTY_UPDATE))), 1) == [Ack(2)]


def test_P25_a_state_with_a_gap_settles_nothing_until_one_is_whole() -> None:
    room, writer, other = make_room(), Writer(1), Writer(2)
    page(room, 1)
    other.apply(writer.set("shirt", 1))
    other.set("shirt", 5)
    turn = absorb(
        room, said(1, StateRequest(NOBODY)), said(1, StateReply(other.doc.get_update(writer.doc.get_state())))
    )
    assert not [one for one in replies(turn, 1) if isinstance(one, Ack)]
    assert replies(absorb(room, said(1, StateReply(other.doc.get_update()))), 1) == [Ack(2)]


def test_P25_each_of_its_questions_is_asked_back() -> None:
    room = make_room()
    page(room, 1)
    arrive(room, 2, wants_echo=True)
    for member, wanted in ((1, [1, 1]), (2, [1, 0])):
        asked = [
            [type(one) for one in replies(absorb(room, said(member, StateRequest(NOBODY))), member)].count(StateRequest)
            for _ in range(2)
        ]
        assert asked == wanted


def test_P26_a_token_that_may_write_brings_what_was_refused() -> None:
    room, writer = make_room(), Writer(1)
    page(room, 1, may_write=False)
    absorb(room, said(1, StateRequest(NOBODY)), said(1, StateReply(EMPTY_UPDATE)))
    turn = absorb(room, said(1, NewUpdate(writer.set("shirt", 3))))
    assert [type(one) for one in replies(turn, 1)] == [Denied]
    assert replies(absorb(room, Granted(1, may_write=True)), 1) == [StateRequest(NOBODY)]
    turn = absorb(room, said(1, StateReply(writer.doc.get_update())))
    assert len(kept(turn)) == 1
    assert replies(turn, 1) == [Ack(3)]


def test_P26_a_token_that_may_only_read_ends_writing_at_once() -> None:
    room, writer = make_room(), Writer(1)
    page(room, 1)
    absorb(room, said(1, StateRequest(NOBODY)), said(1, StateReply(EMPTY_UPDATE)))
    turn = absorb(room, Granted(1, may_write=False), said(1, NewUpdate(writer.set("shirt", 3))))
    assert kept(turn) == []
    assert [type(one) for one in replies(turn, 1)] == [Denied]
    assert absorb(room, Granted(9, may_write=True)).deliveries == []


def test_a_stateless_message_goes_to_the_others_and_is_not_kept() -> None:
    room = make_room()
    page(room, 1)
    turn = absorb(room, said(1, Stateless("hello")))
    assert broadcasts(turn) == [Broadcast(Stateless("hello"), None, 1)]
    assert kept(turn) == []
