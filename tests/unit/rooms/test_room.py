"""A room's decisions. The rules P1 to P12 stand in docs/reference/protocol.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import ClientIdReused, LimitExceeded, MalformedUpdate, OutOfTurn, StoreCorrupted
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import (
    Ack,
    Denied,
    Leave,
    NewUpdate,
    Presence,
    PresenceEntry,
    PresenceRequest,
    StateReply,
    StateRequest,
)
from crdt_sync.updates.pieces import EMPTY_UPDATE
from server.rooms.history import History
from server.rooms.room import Room
from server.rooms.turn import Broadcast, Compacted, Departed, Drained, Listens, Reply
from server.scribes.tasks import compact
from tests.unit.rooms.members import (
    Writer,
    absorb,
    arrive,
    broadcasts,
    content,
    kept,
    listeners,
    make_room,
    replies,
    said,
    told,
)


def test_P3_what_is_kept_and_shown_is_what_arrived() -> None:
    room = make_room()
    arrive(room, 1, 2)
    update = Writer(1).set("shirt", 3)
    turn = absorb(room, said(1, NewUpdate(update)))
    assert kept(turn) == [update]
    assert broadcasts(turn) == [Broadcast(NewUpdate(update), 1, 1)]
    assert turn.kept[0].author == "user-1"


def test_P3_only_the_new_part_of_a_state_is_kept_and_it_is_a_slice() -> None:
    room, writer = make_room(), Writer(1)
    arrive(room, 1)
    first, second = writer.set("shirt", 3), writer.set("shoe", 4)
    absorb(room, said(1, NewUpdate(first)))
    turn = absorb(room, said(1, StateReply(writer.doc.get_update())))
    (row,) = kept(turn)
    assert len(row) < len(writer.doc.get_update())
    assert content([first, row]) == content([first, second])


def test_P1_one_ack_for_each_sender_ends_the_turn_and_counts_all_that_it_sent() -> None:
    room, writers = make_room(), [Writer(1), Writer(2)]
    arrive(room, 1, 2)
    turn = absorb(room, *(said(i + 1, NewUpdate(writers[i].set("k", n))) for n in range(3) for i in (0, 1)))
    assert turn.deliveries[-2:] == [Reply(1, Ack(3), True), Reply(2, Ack(3), True)]
    assert len(turn.kept) == 6


def test_P1_an_echo_is_the_ack_of_a_dialect_without_one() -> None:
    room, update = make_room(), Writer(1).set("shirt", 3)
    arrive(room, 1, wants_echo=True)
    assert broadcasts(absorb(room, said(1, NewUpdate(update)))) == [Broadcast(NewUpdate(update), 1, None)]


def test_P1_what_is_known_is_echoed_and_acked_and_not_kept() -> None:
    room, update = make_room(), Writer(1).set("shirt", 3)
    arrive(room, 1, wants_echo=True)
    absorb(room, said(1, NewUpdate(update)))
    turn = absorb(room, said(1, NewUpdate(update)))
    assert (kept(turn), turn.known) == ([], 1)
    assert replies(turn, 1) == [NewUpdate(update), Ack(2)]


def test_P1_a_state_that_is_kept_in_part_is_not_echoed() -> None:
    room, writer, other = make_room(), Writer(1), Writer(2)
    arrive(room, 1, wants_echo=True)
    other.apply(writer.set("shirt", 1))
    other.set("shoe", 2)
    other.set("shirt", 5)
    beyond = other.doc.get_update(writer.doc.get_state())
    turn = absorb(room, said(1, StateReply(beyond)))
    assert content(kept(turn)) == ({"shoe": 2}, "")
    assert NewUpdate(beyond) not in replies(turn, 1)


def test_P8_a_peers_whole_state_with_a_hole_ends_its_conversation_and_is_not_acked() -> None:
    room, writer, other = make_room(), Writer(1), Writer(2)
    arrive(room, 1)
    other.apply(writer.set("shirt", 1))
    other.set("shoe", 2)
    other.set("shirt", 5)
    turn = absorb(room, said(1, StateReply(other.doc.get_update(writer.doc.get_state()))))
    assert (kept(turn), replies(turn, 1)) == ([], [])
    ((member, error),) = turn.expelled
    assert (member, type(error)) == (1, OutOfTurn)


def test_P8_a_gap_is_not_kept_not_acked_and_asked_for_once() -> None:
    room, writer = make_room(), Writer(1)
    arrive(room, 1)
    first, second, third = (writer.set("shirt", n) for n in range(3))
    turn = absorb(room, said(1, NewUpdate(second)), said(1, NewUpdate(third)))
    assert (kept(turn), turn.gaps) == ([], 2)
    assert replies(turn, 1) == [StateRequest({})]
    turn = absorb(room, said(1, StateReply(writer.doc.get_update())))
    assert replies(turn, 1) == [Ack(3)]
    assert content(kept(turn)) == content([first, second, third])


def test_P2_a_newcomer_is_told_everything_before_it_listens() -> None:
    room, writer = make_room(), Writer(1)
    arrive(room, 1, 2)
    updates = [writer.set("shirt", 1), writer.delete("shirt"), writer.set("shoe", 2)]
    absorb(room, *(said(1, NewUpdate(update)) for update in updates))
    turn = absorb(room, said(2, StateRequest({})))
    assert content(list(told(turn, 2))) == content(updates)
    kinds = [type(one.message) if isinstance(one, Reply) else type(one) for one in turn.deliveries]
    assert kinds.index(Listens) == kinds.index(StateReply) + 1
    assert replies(turn, 2)[-1] == StateRequest(dict(room.history.ledger.state))


def test_a_member_is_welcomed_once_and_answered_each_time() -> None:
    room = make_room()
    arrive(room, 1)
    assert listeners(absorb(room, said(1, StateRequest({})))) == [1]
    turn = absorb(room, said(1, StateRequest({})))
    assert (listeners(turn), replies(turn, 1)) == ([], [StateReply(EMPTY_UPDATE)])


def test_who_asks_alike_in_one_turn_gets_the_same_messages_and_nobody_gets_old_ones() -> None:
    room = make_room()
    arrive(room, 1, 2, 3)
    writer = Writer(7)
    first, second = writer.set("tea", 1), writer.set("tea", 2)
    turn = absorb(room, said(1, NewUpdate(first)), *(said(member, StateRequest({})) for member in (2, 3)))
    answers = [next(one for one in replies(turn, member) if isinstance(one, StateReply)) for member in (2, 3)]
    assert answers[0] is answers[1]
    later = absorb(room, said(2, StateRequest({})), said(1, NewUpdate(second)), said(3, StateRequest({})))
    content_of = {member: content(list(told(later, member)))[0] for member in (2, 3)}
    assert content_of == {2: {"tea": 2.0}, 3: {"tea": 2.0}}


def test_P10_a_shed_member_is_told_exactly_what_it_missed() -> None:
    room, writer = make_room(), Writer(1)
    arrive(room, 1, 2)
    updates = [writer.set("shirt", n) for n in range(5)]
    absorb(room, said(2, StateRequest({})), *(said(1, NewUpdate(update)) for update in updates[:4]))
    turn = absorb(room, Drained(2, 2), said(1, NewUpdate(updates[4])))
    assert turn.deliveries[0] == Listens(2)
    assert content([*updates[:2], *told(turn, 2)]) == content(updates)


def test_P10_a_snapshot_taken_meanwhile_is_told_instead() -> None:
    room, writer = make_room(), Writer(1)
    arrive(room, 1, 2)
    updates = [writer.set("shirt", n) for n in range(5)]
    absorb(room, *(said(1, NewUpdate(update)) for update in updates))
    state, _ = compact(updates[:4])
    turn = absorb(room, Compacted(state, 4), Drained(2, 2))
    assert content(list(told(turn, 2))) == content(updates)


def test_P10_acks_that_were_dropped_with_the_queue_are_said_again() -> None:
    room = make_room()
    arrive(room, 1)
    absorb(room, said(1, NewUpdate(Writer(1).set("shirt", 1))))
    assert replies(absorb(room, Drained(1, 1)), 1)[-1] == Ack(1)


def test_P10_a_shed_member_hears_who_has_left() -> None:
    room = make_room()
    arrive(room, 1, 2)
    here = PresenceEntry(70, 1, '{"name": "Ada"}')
    absorb(room, said(1, Presence((here,))))
    absorb(room, Departed(1), now_s=1)
    turn = absorb(room, Drained(2, 0), now_s=2)
    assert Presence((replace(here, state=None),)) in replies(turn, 2)


def test_P12_compaction_changes_neither_content_nor_numbers() -> None:
    room, writer = make_room(), Writer(1)
    arrive(room, 1, 2)
    updates = [writer.set("shirt", n) for n in range(4)]
    absorb(room, *(said(1, NewUpdate(update)) for update in updates))
    state, _ = compact(updates[:3])
    absorb(room, Compacted(state, 3))
    assert (room.history.seq, room.history.tail()) == (4, [updates[3]])
    assert room.history.size_bytes == len(state) + len(updates[3])
    assert content(list(told(absorb(room, said(2, StateRequest({}))), 2))) == content(updates)
    assert broadcasts(absorb(room, said(1, NewUpdate(writer.set("shoe", 1)))))[0].seq == 5


def test_P5_a_reader_is_told_once_that_its_edits_stay_with_it() -> None:
    room, writer = make_room(), Writer(1)
    arrive(room, 1, may_write=False)
    turn = absorb(room, *(said(1, NewUpdate(writer.set("shirt", n))) for n in range(2)))
    assert kept(turn) == []
    (denied,) = replies(turn, 1)
    assert isinstance(denied, Denied)
    assert denied.code == "forbidden"


def test_P13_a_reader_that_holds_nothing_of_its_own_learns_that_it_is_done() -> None:
    room = make_room()
    arrive(room, 1, may_write=False)
    assert replies(absorb(room, said(1, StateRequest({}))), 1) == [StateReply(EMPTY_UPDATE), StateRequest({})]
    assert replies(absorb(room, said(1, StateReply(EMPTY_UPDATE))), 1) == [Ack(1)]


def test_P1_a_reader_that_was_denied_something_is_never_acked() -> None:
    room, known = make_room(), Writer(1).set("shirt", 1)
    arrive(room, 1, may_write=False)
    arrive(room, 2)
    absorb(room, said(2, NewUpdate(known)))
    absorb(room, said(1, NewUpdate(Writer(3).set("shoe", 2))))
    assert replies(absorb(room, said(1, NewUpdate(known))), 1) == []


def test_P9_two_contents_under_one_clock_cost_the_second_writer_its_connection() -> None:
    room = make_room()
    arrive(room, 1, 2, 3)
    first, second = Writer(7).set("pay", "100"), Writer(7).set("pay", "999")
    turn = absorb(room, said(1, NewUpdate(first)), said(2, NewUpdate(second)), said(3, StateRequest({})))
    ((member, error),) = turn.expelled
    assert (member, type(error)) == (2, ClientIdReused)
    assert (kept(turn), list(told(turn, 3))[-1]) == ([first], first)


def test_an_expelled_member_is_not_heard_again_and_its_presence_goes() -> None:
    limits = replace(DEFAULT_LIMITS, document_bytes_max=170)
    room, writer = make_room(limits), Writer(1)
    arrive(room, 1, 2)
    absorb(room, said(1, Presence((PresenceEntry(70, 1, "{}"),))))
    turn = absorb(room, *(said(1, NewUpdate(writer.set("shirt", "x" * 20))) for _ in range(6)))
    assert [(member, type(error)) for member, error in turn.expelled] == [(1, LimitExceeded)]
    assert Broadcast(Presence((PresenceEntry(70, 1, None),)), None, 1) in turn.deliveries
    assert replies(turn, 1) == []
    assert kept(absorb(room, said(2, NewUpdate(Writer(2).set("a", 1))))) != []


@pytest.mark.parametrize("message", [Ack(1), Denied("forbidden", "because")])
def test_what_only_a_relay_may_say_means_nothing_from_a_member(message: Ack | Denied) -> None:
    room = make_room()
    arrive(room, 1)
    assert absorb(room, said(1, message)).deliveries == []


def test_who_leaves_a_document_is_no_member_of_it_any_more() -> None:
    room = make_room()
    arrive(room, 1, 2)
    turn = absorb(room, said(1, Leave()), said(1, NewUpdate(Writer(1).set("shirt", 1))), Drained(1, 0))
    assert (kept(turn), turn.deliveries) == ([], [])


def test_P11_presence_is_told_to_others_and_on_request() -> None:
    room = make_room()
    arrive(room, 1, 2)
    here = Presence((PresenceEntry(70, 1, '{"name": "Ada"}'),))
    assert broadcasts(absorb(room, said(1, here))) == [Broadcast(here, None, 1)]
    assert replies(absorb(room, said(2, PresenceRequest())), 2) == [here]
    assert here in replies(absorb(room, said(2, StateRequest({}))), 2)
    gone = Presence((PresenceEntry(70, 1, None),))
    assert broadcasts(absorb(room, Departed(1))) == [Broadcast(gone, None, 1)]


def reopened(rows: Sequence[bytes], snapshot: bytes = b"", through: int = 0, ledger: bytes = b"") -> History:
    return History.load(snapshot, through, ledger, rows, DEFAULT_LIMITS, document="acme/stock")


def test_P12_a_row_that_deletes_what_the_snapshot_says_deleted_is_no_corruption() -> None:
    overwritten, winner = Writer(1), Writer(2)
    state, ledger = compact([overwritten.set("shirt", 1), winner.set("shirt", 2)])
    # Its writer deletes it, not knowing that it was overwritten.
    row = overwritten.delete("shirt")
    history = reopened([row], state, 2, ledger)
    assert (history.seq, history.tail()) == (3, [row])


@pytest.mark.parametrize("damage", ["repeated", "missing", "cut"])
def test_a_log_that_does_not_follow_is_corrupted_and_never_shorter(damage: str) -> None:
    writer = Writer(1)
    rows = [writer.set("shirt", n) for n in range(4)]
    match damage:
        case "repeated":
            rows.insert(2, rows[1])
        case "missing":
            del rows[1]
        case _:
            rows[2] = rows[2][:-1]
    with pytest.raises(StoreCorrupted, match="update 3|update 2"):
        reopened(rows)


def test_malformed_bytes_never_reach_a_room() -> None:
    with pytest.raises(MalformedUpdate):
        said(1, NewUpdate(b"\x01\x00"))


ACTS = st.sampled_from(["set", "delete", "type"])
EDITS = st.lists(st.tuples(st.integers(0, 2), ACTS, st.integers(0, 2)), max_size=20)


def history_of(edits: Sequence[tuple[int, str, int]]) -> list[bytes]:
    """Updates of three writers who see each other's edits at once."""
    writers = [Writer(client) for client in (1, 2, 3)]
    updates: list[bytes] = []
    for writer, what, key in edits:
        one = writers[writer]
        try:
            made = one.delete(f"k{key}") if what == "delete" else one.set(f"k{key}", f"{writer}")
        except KeyError:
            made = one.type("ab")
        updates.append(made)
        for other in writers:
            if other is not one:
                other.apply(made)
    return updates


@given(EDITS, st.integers(0, 20), st.integers(0, 20))
def test_P7_P13_whoever_joins_when_and_with_whatever_state_reads_the_same(
    edits: list[tuple[int, str, int]], held: int, compacted: int
) -> None:
    updates = history_of(edits)
    room = Room(reopened([]), DEFAULT_LIMITS)
    arrive(room, 1, 2)
    absorb(room, *(said(1, NewUpdate(update)) for update in updates))
    if through := min(compacted, len(updates)):
        absorb(room, Compacted(compact(updates[:through])[0], through))
    state = reopened(updates[:held]).ledger.clocks
    answer = list(told(absorb(room, said(2, StateRequest(dict(state)))), 2))
    assert content([*updates[:held], *answer]) == content(updates)


@given(EDITS, st.integers(0, 20), st.integers(0, 20))
def test_P10_whoever_was_told_a_part_is_told_the_rest(
    edits: list[tuple[int, str, int]], told_through: int, compacted: int
) -> None:
    updates = history_of(edits)
    room = Room(reopened([]), DEFAULT_LIMITS)
    arrive(room, 1, 2)
    absorb(room, *(said(1, NewUpdate(update)) for update in updates))
    told_through = min(told_through, len(updates))
    if through := min(compacted, len(updates)):
        absorb(room, Compacted(compact(updates[:through])[0], through))
    rest = list(told(absorb(room, Drained(2, told_through)), 2))
    assert content([*updates[:told_through], *rest]) == content(updates)


@given(EDITS, st.integers(1, 20))
def test_P12_a_room_that_is_opened_again_knows_what_it_knew(edits: list[tuple[int, str, int]], compacted: int) -> None:
    updates = history_of(edits)
    memory = reopened(updates)
    if not updates:
        return
    through = min(compacted, len(updates))
    state, ledger = compact(updates[:through])
    stored = reopened(updates[through:], state, through, ledger)
    memory.compact(state, through)
    assert (stored.seq, stored.tail(), stored.size_bytes) == (memory.seq, memory.tail(), memory.size_bytes)
    assert stored.ledger.clocks == memory.ledger.clocks
    assert not any(stored.ledger.new_deletes({c: list(r)}) for c, r in memory.ledger.deleted.items())
