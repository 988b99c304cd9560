"""Who may write under which client id. Rule P33; the rules R1 to R6 are those of docs/explanation/client-ids.md."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pycrdt import Map

from crdt_sync.errors import ClientIdTaken
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import Ack, Message, NewUpdate, Presence, PresenceEntry, StateReply, StateRequest
from crdt_sync.stores.update_log import Binding
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.pieces import whole
from server.rooms.keeper import AUTHOR, CatalogKeeper
from server.rooms.ownership import Owners
from server.rooms.room import Room
from server.rooms.turn import Arrived, Carried, Departed, Said, Turn
from tests.unit.rooms.members import Writer, absorb, empty_history, kept, replies, said

ADA, BOB, TILL = 1, 2, 3
PEN = 2**40


def make_room(*, may_carry: bool = True, bindings: Mapping[int, Binding] | None = None) -> Room:
    """Ada and Bob are here with a page each, and a till that is one of our own peers."""
    room = Room(empty_history(), DEFAULT_LIMITS, owners=Owners(bindings, may_carry=may_carry))
    for member, author, is_page in ((ADA, "ada", True), (BOB, "bob", True), (TILL, "till", False)):
        absorb(room, Arrived(member, author, True, is_page, is_page))
    return room


def bindings(turn: Turn) -> list[tuple[int, str, str]]:
    return [(one.client, one.subject, one.how) for update in turn.kept for one in update.bindings]


def announces(member: int, client: int, clock: int = 1) -> Said:
    return said(member, Presence((PresenceEntry(client, clock, "{}"),)))


def check_refused(turn: Turn, member: int) -> None:
    ((expelled, error),) = turn.expelled
    assert (expelled, type(error)) == (member, ClientIdTaken)
    assert (kept(turn), turn.carried, replies(turn, member)) == ([], [], [])


def test_P33_R1_a_first_edit_binds_its_client_id_firmly_and_only_once() -> None:
    room, writer = make_room(), Writer(7)
    assert bindings(absorb(room, said(ADA, NewUpdate(writer.set("shirt", 1))))) == [(7, "ada", "firm")]
    assert bindings(absorb(room, said(ADA, NewUpdate(writer.set("shirt", 2))))) == []


def test_P33_R3_an_edit_under_an_id_of_somebody_else_ends_its_senders_connection() -> None:
    room, writer = make_room(), Writer(7)
    absorb(room, said(ADA, NewUpdate(writer.set("shirt", 1))))
    check_refused(absorb(room, said(BOB, NewUpdate(writer.set("shirt", 2)))), BOB)
    # Its owner goes on as if nothing had been.
    assert len(kept(absorb(room, said(ADA, NewUpdate(writer.set("shirt", 3)))))) == 0
    assert len(kept(absorb(room, said(ADA, StateReply(writer.doc.get_update()))))) == 1


def test_P33_what_is_known_and_what_only_deletes_is_bound_to_nobody() -> None:
    room, writer, other = make_room(), Writer(7), Writer(8)
    first = writer.set("shirt", 1)
    absorb(room, said(ADA, NewUpdate(first)))
    assert absorb(room, said(BOB, NewUpdate(first))).expelled == []
    other.apply(first)
    turn = absorb(room, said(BOB, NewUpdate(other.delete("shirt"))))
    assert (len(kept(turn)), bindings(turn)) == (1, [])


def test_P33_R2_what_comes_as_an_answer_first_is_carried_and_R1_an_edit_makes_it_firm() -> None:
    room, writer = make_room(), Writer(7)
    writer.set("shirt", 1)
    turn = absorb(room, said(ADA, StateReply(writer.doc.get_update())))
    assert (bindings(turn), turn.carried) == ([(7, "ada", "carried")], [])
    assert bindings(absorb(room, said(ADA, NewUpdate(writer.set("shirt", 2))))) == [(7, "ada", "firm")]


def test_P33_R4_the_first_who_really_writes_gets_an_id_that_was_only_carried() -> None:
    room, writer = make_room(), Writer(7)
    writer.set("shirt", 1)
    absorb(room, said(BOB, StateReply(writer.doc.get_update())))
    assert bindings(absorb(room, said(ADA, NewUpdate(writer.set("shirt", 2))))) == [(7, "ada", "firm")]
    check_refused(absorb(room, said(BOB, NewUpdate(writer.set("shirt", 3)))), BOB)


def test_P33_R5_an_answer_may_carry_what_is_anothers_and_that_is_recorded() -> None:
    room, writer = make_room(), Writer(7)
    absorb(room, said(ADA, NewUpdate(writer.set("shirt", 1))))
    writer.set("shirt", 2)
    turn = absorb(room, said(BOB, StateReply(writer.doc.get_update())))
    assert (len(kept(turn)), turn.expelled) == (1, [])
    assert turn.carried == [Carried("bob", "ada", 7, 1, 2)]
    # Not all that is under the id is Ada's for certain any more; but nobody else may edit under it.
    assert bindings(turn) == [(7, "ada", "mixed")]
    writer.set("shirt", 3)
    turn = absorb(room, said(BOB, StateReply(writer.doc.get_update())))
    assert (bindings(turn), len(turn.carried)) == ([], 1)
    check_refused(absorb(room, said(BOB, NewUpdate(writer.set("shirt", 4)))), BOB)


def test_P33_R5_without_carrying_such_an_answer_is_refused() -> None:
    room, writer = make_room(may_carry=False), Writer(7)
    absorb(room, said(ADA, NewUpdate(writer.set("shirt", 1))))
    writer.set("shirt", 2)
    check_refused(absorb(room, said(BOB, StateReply(writer.doc.get_update()))), BOB)


@pytest.mark.parametrize("may_carry", [True, False])
def test_P33_R5_what_two_have_only_carried_is_kept_and_recorded(may_carry: bool) -> None:
    room, writer = make_room(may_carry=may_carry), Writer(7)
    writer.set("shirt", 1)
    absorb(room, said(ADA, StateReply(writer.doc.get_update())))
    writer.set("shirt", 2)
    turn = absorb(room, said(BOB, StateReply(writer.doc.get_update())))
    assert (turn.carried, bindings(turn)) == ([Carried("bob", "ada", 7, 1, 2)], [])


def test_P33_R6_an_id_that_somebody_announces_is_not_for_others_to_use_first() -> None:
    room, writer = make_room(), Writer(7)
    absorb(room, announces(ADA, 7))
    check_refused(absorb(room, said(BOB, NewUpdate(writer.set("shirt", 1)))), BOB)
    absorb(room, Departed(ADA))
    room_without_ada = absorb(room, said(TILL, NewUpdate(writer.set("shirt", 2))))
    assert room_without_ada.expelled == []


@pytest.mark.parametrize("may_carry", [True, False])
def test_P33_R6_nor_to_carry_unseen(may_carry: bool) -> None:
    room, writer = make_room(may_carry=may_carry), Writer(7)
    absorb(room, announces(ADA, 7))
    writer.set("shirt", 1)
    turn = absorb(room, said(BOB, StateReply(writer.doc.get_update())))
    if not may_carry:
        check_refused(turn, BOB)
        return
    assert (turn.carried, bindings(turn)) == ([Carried("bob", "ada", 7, 0, 1)], [(7, "bob", "carried")])
    check_refused(absorb(room, said(BOB, NewUpdate(writer.set("shirt", 2)))), BOB)
    writer.set("shirt", 3)
    turn = absorb(room, said(ADA, StateReply(writer.doc.get_update())))
    assert (turn.carried, bindings(turn)) == ([], [(7, "ada", "firm")])


def test_P33_R2_who_announces_an_id_does_not_carry_it() -> None:
    room, writer = make_room(), Writer(7)
    absorb(room, announces(ADA, 7))
    writer.set("shirt", 1)
    turn = absorb(room, said(ADA, StateReply(writer.doc.get_update())))
    assert bindings(turn) == [(7, "ada", "firm")]


def test_P33_an_id_of_somebody_else_is_announced_in_vain() -> None:
    room, writer = make_room(), Writer(7)
    absorb(room, said(ADA, NewUpdate(writer.set("shirt", 1))))
    assert absorb(room, announces(BOB, 7)).deliveries == []
    assert len(absorb(room, announces(ADA, 7)).deliveries) == 1


def test_P33_connections_of_one_subject_share_their_ids() -> None:
    room, writer = make_room(), Writer(7)
    absorb(room, Arrived(9, "ada", True, True, True))
    absorb(room, said(ADA, NewUpdate(writer.set("shirt", 1))))
    assert absorb(room, said(9, NewUpdate(writer.set("shirt", 2)))).expelled == []


def test_P33_a_peers_long_answer_is_carried_in_all_its_parts() -> None:
    room, old, own = make_room(), Writer(7), Writer(8)
    absorb(room, said(ADA, NewUpdate(old.set("shirt", 1))))
    absorb(room, said(TILL, StateRequest({})))
    parts: list[Message] = [
        NewUpdate(old.set("shirt", 2)),
        NewUpdate(old.set("shirt", 3)),
        StateReply(own.set("shoe", 1)),
    ]
    turn = absorb(room, *(said(TILL, part) for part in parts))
    assert (len(kept(turn)), [one.client for one in turn.carried]) == (3, [7, 7])
    assert Ack(3) in replies(turn, TILL)
    # From here on it speaks for itself.
    check_refused(absorb(room, said(TILL, NewUpdate(old.set("shirt", 4)))), TILL)


def test_P33_a_page_can_not_hide_an_edit_in_an_answer_that_it_owes() -> None:
    room, writer = make_room(), Writer(7)
    absorb(room, said(ADA, NewUpdate(writer.set("shirt", 1))))
    absorb(room, said(BOB, StateRequest({})))
    check_refused(absorb(room, said(BOB, NewUpdate(writer.set("shirt", 2)))), BOB)


def test_P33_nobody_writes_under_the_relays_ids_not_even_in_an_answer() -> None:
    room = Room(empty_history(), DEFAULT_LIMITS, CatalogKeeper(PEN))
    for member, author in ((ADA, "ada"), (BOB, "bob")):
        absorb(room, Arrived(member, author, True, True, True))
    ada, bob = Catalog(7), Catalog(8)
    first, second = ada.price(1.0), bob.price(2.0)
    turn = absorb(room, said(ADA, NewUpdate(first)), said(BOB, NewUpdate(second)))
    assert bindings(turn) == [(7, "ada", "firm"), (8, "bob", "firm"), (PEN, AUTHOR, "firm")]
    forger = Catalog(PEN)
    for update in kept(turn):
        forger.apply(update)
    messages: tuple[Message, ...] = (NewUpdate(forger.price(3.0)), StateReply(forger.doc.get_update()))
    for message in messages:
        check_refused(absorb(room, said(BOB, message)), BOB)
        absorb(room, Arrived(BOB, "bob", True, True, True))


@pytest.mark.parametrize("may_carry", [True, False])
def test_P33_after_a_restore_members_bring_back_what_the_relay_wrote(may_carry: bool) -> None:
    pen = Writer(PEN)
    room = make_room(may_carry=may_carry, bindings={PEN: Binding(PEN, AUTHOR, "carried")})
    pen.set("note", 1)
    turn = absorb(room, said(ADA, StateReply(pen.doc.get_update())))
    assert turn.carried == [Carried("ada", AUTHOR, PEN, 0, 1)]
    check_refused(absorb(room, said(BOB, NewUpdate(pen.set("note", 2)))), BOB)


def test_P33_a_log_from_before_there_were_owners_tells_who_brought_what() -> None:
    updates = [Writer(client).set("k", client) for client in (7, 8, 9, 10)]
    owners = Owners({7: Binding(7, "eve", "firm")})
    spans = [whole(decode_update(update)).spans for update in updates]
    owners.recall(zip(spans, ["ada", "bob", AUTHOR, "import"], strict=True))
    room = Room(empty_history(), DEFAULT_LIMITS, owners=owners)
    absorb(room, Arrived(ADA, "ada", True, True, True))
    turn = absorb(room, said(ADA, NewUpdate(Writer(10).set("k", 1))))
    assert bindings(turn) == [(8, "bob", "carried"), (9, AUTHOR, "firm"), (10, "ada", "firm")]
    assert [owners.person(client) for client in (7, 8, 9, 10, 11)] == ["eve", None, AUTHOR, "ada", None]
    assert bindings(absorb(room, said(ADA, NewUpdate(Writer(11).set("k", 1))))) == [(11, "ada", "firm")]


class Catalog(Writer):
    """Writes the price of one product as our documents do."""

    def price(self, value: float) -> bytes:
        return self._made(lambda: self.doc.get("attr", type=Map).__setitem__("shirt|price", value))
