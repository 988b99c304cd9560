"""When a page is told that all it holds is on disk (P27)."""

from __future__ import annotations

from crdt_sync.protocol.messages import Denied, NewUpdate, SaveMark, StateReply, StateRequest
from crdt_sync.updates.pieces import EMPTY_UPDATE
from server.rooms.room import Room
from server.rooms.turn import Arrived, Reply
from tests.unit.rooms.members import NOBODY, Writer, absorb, content, kept, make_room, replies, said


def page(room: Room, member: int, *, may_write: bool = True) -> None:
    absorb(room, Arrived(member, f"user-{member}", may_write, wants_echo=False, keeps_pending=True))


def marks(room: Room, member: int, *messages: object) -> list[int]:
    """What is said back in one turn of ``messages``."""
    turn = absorb(room, *(said(member, message) for message in messages))  # type: ignore[arg-type]
    return [message.version for message in replies(turn, member) if isinstance(message, SaveMark)]


def test_P27_a_mark_comes_back_in_the_turn_that_keeps_what_was_said_before_it() -> None:
    room, writer = make_room(), Writer(1)
    page(room, 1)
    assert marks(room, 1, StateRequest(NOBODY), StateReply(EMPTY_UPDATE), SaveMark(0)) == [0]
    turn = absorb(room, said(1, NewUpdate(writer.set("shirt", 3))), said(1, SaveMark(1)))
    assert len(turn.kept) == 1
    assert turn.deliveries[-1] == Reply(1, SaveMark(1), True)


def test_P27_the_mark_of_a_page_that_came_back_waits_for_what_it_did_meanwhile() -> None:
    room, writer = make_room(), Writer(1)
    writer.set("shirt", 3)
    page(room, 1)
    assert marks(room, 1, StateRequest({1: 1}), SaveMark(7)) == []
    assert marks(room, 1, SaveMark(8)) == []
    turn = absorb(room, said(1, StateReply(writer.doc.get_update())))
    assert content(kept(turn)) == ({"shirt": 3}, "")
    assert turn.deliveries[-1] == Reply(1, SaveMark(8), True)
    assert marks(room, 1, SaveMark(8)) == [8]


def test_P27_while_a_gap_is_open_no_mark_comes_back() -> None:
    room, writer = make_room(), Writer(1)
    page(room, 1)
    assert marks(room, 1, StateRequest(NOBODY), StateReply(EMPTY_UPDATE), SaveMark(0)) == [0]
    writer.set("shirt", 3)
    beyond = writer.set("shirt", 4)
    assert marks(room, 1, NewUpdate(beyond), SaveMark(2)) == []
    assert marks(room, 1, StateReply(writer.doc.get_update())) == [2]


def test_P27_a_state_that_could_not_be_kept_whole_brings_no_mark_back() -> None:
    room, writer, other = make_room(), Writer(1), Writer(2)
    page(room, 1)
    other.apply(writer.set("shirt", 1))
    other.set("shoe", 2)
    other.set("shirt", 5)
    beyond = other.doc.get_update(writer.doc.get_state())
    assert marks(room, 1, StateRequest(NOBODY), StateReply(beyond), SaveMark(2)) == []
    assert marks(room, 1, StateReply(other.doc.get_update())) == [2]


def test_P27_who_was_denied_an_edit_is_never_told_that_it_is_on_disk() -> None:
    room, writer = make_room(), Writer(1)
    page(room, 1, may_write=False)
    assert marks(room, 1, StateRequest(NOBODY), StateReply(EMPTY_UPDATE), SaveMark(0)) == [0]
    turn = absorb(room, said(1, NewUpdate(writer.set("shirt", 3))), said(1, SaveMark(1)))
    assert [type(message) for message in replies(turn, 1)] == [Denied]
    assert marks(room, 1, SaveMark(1)) == []


def test_P27_the_latest_of_several_marks_is_said_once() -> None:
    room = make_room()
    page(room, 1)
    assert marks(room, 1, StateRequest(NOBODY), SaveMark(1), SaveMark(2), StateReply(EMPTY_UPDATE), SaveMark(3)) == [3]
    assert marks(room, 1) == []
