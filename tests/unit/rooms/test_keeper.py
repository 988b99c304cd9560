"""What the relay writes down by itself: values of plain pages that stand against each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Map

from crdt_sync.documents.catalog.conflicts import unvaulted
from crdt_sync.documents.catalog.siblings import EDITS, VAULT
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import NewUpdate
from crdt_sync.replica import Replica, Write, replay
from crdt_sync.updates.encode import write_entries
from server.rooms.keeper import AUTHOR, PORTION_ENTRIES, Keeper, keeps
from server.rooms.room import Broadcast, Room
from tests.unit.rooms.members import absorb, arrive, broadcasts, empty_history, kept, said

RELAY = 2**53 - 5


def room_with_keeper() -> Room:
    room = Room(empty_history(), DEFAULT_LIMITS, Keeper(RELAY))
    arrive(room, 1, 2)
    return room


def page(client: int, *keys: str, value: Any) -> bytes:
    """What a page sends that has seen nothing and sets some keys."""
    doc: Doc[Map] = Doc(client_id=client)
    with doc.transaction():
        for key in keys:
            doc.get(ATTRIBUTES, type=Map)[key] = value
    return doc.get_update()


def test_what_stands_against_each_other_is_noted_in_the_same_turn_for_everybody() -> None:
    room = room_with_keeper()
    first, second = page(7, "tea/price", value=450), page(8, "tea/price", value="4.75 €")
    assert kept(absorb(room, said(1, NewUpdate(first)))) == [first]
    turn = absorb(room, said(2, NewUpdate(second)))
    assert [update.author for update in turn.kept] == ["user-2", AUTHOR]
    _, note = kept(turn)
    assert broadcasts(turn)[1] == Broadcast(NewUpdate(note), 3, None)
    reader = replay([first, second, note])
    assert reader.entries(VAULT) == {"tea/price|7.0": [450, None, None], "tea/price|8.0": ["4.75 €", None, None]}


def test_a_write_that_follows_and_a_note_that_is_there_already_make_no_more() -> None:
    room = room_with_keeper()
    first, second, third = (page(client, "tea/price", value=client) for client in (7, 8, 9))
    peer = replay([first, second])
    peer.write([Write(VAULT, "tea/price|7.0", [7, None, None]), Write(VAULT, "tea/price|8.0", [8, None, None])])
    absorb(room, said(1, NewUpdate(peer.snapshot())))
    turn = absorb(room, said(2, NewUpdate(third)))
    reader = replay([peer.snapshot(), *kept(turn)])
    assert list(reader.entries(VAULT)) != []
    assert len(kept(turn)) == 2
    assert reader.state[RELAY] == 1, "only the third value was missing"
    assert kept(absorb(room, said(2, NewUpdate(third)))) == []


def test_the_relay_notes_what_a_peer_would_note() -> None:
    updates = []
    for client_price in (450, 475):
        peer = Replica()
        signature = Write(EDITS, f"{peer.client_id}.0", [f"till-{client_price}", 7_000])
        update = peer.write([signature, Write(ATTRIBUTES, "tea/price", client_price)])
        assert update is not None
        updates.append(update)
    watching = Replica()
    watching.watch([ATTRIBUTES])
    for update in updates:
        watching.merge(update)
    room = room_with_keeper()
    notes = [note for update in updates for note in kept(absorb(room, said(1, NewUpdate(update))))[1:]]
    reader = replay([*updates, *notes])
    assert reader.entries(VAULT) == dict(unvaulted(watching, watching))
    assert sorted(entry[1] for entry in reader.entries(VAULT).values()) == ["till-450", "till-475"]


def test_a_room_that_was_opened_again_knows_what_is_noted_and_goes_on_under_another_id() -> None:
    room = room_with_keeper()
    log = [page(7, "tea/price", value=7), page(8, "tea/price", value=8)]
    for update in list(log):
        log += kept(absorb(room, said(1, NewUpdate(update))))[1:]
    for stored in (log, [replay(log).snapshot()]):
        again = Keeper.load(RELAY - 1, stored, DEFAULT_LIMITS)
        reopened = Room(empty_history(), DEFAULT_LIMITS, again)
        arrive(reopened, 1)
        turn = absorb(reopened, said(1, NewUpdate(page(9, "tea/price", value=9))))
        assert len(kept(turn)) == 2
        assert replay([*log, *kept(turn)]).state[RELAY - 1] == 1


def test_an_update_that_meets_thousands_of_writes_is_noted_in_portions() -> None:
    room = room_with_keeper()
    keys = [f"{number}/price" for number in range(PORTION_ENTRIES)]
    absorb(room, said(1, NewUpdate(page(7, *keys, value=7))))
    turn = absorb(room, said(2, NewUpdate(page(8, *keys, value=8))))
    assert len(kept(turn)) == 3
    reader = replay([page(7, *keys, value=7), *kept(turn)])
    assert len(reader.entries(VAULT)) == 2 * PORTION_ENTRIES


def test_only_catalogs_are_followed() -> None:
    assert keeps("inventory/catalog")
    assert not keeps("inventory/2026-11")


SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8"))
VALUES = SCALARS | st.floats(allow_nan=False, allow_infinity=False) | st.lists(SCALARS, max_size=4)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), VALUES, min_size=1, max_size=5))
def test_what_is_written_without_a_document_is_read_by_one(entries: dict[str, Value]) -> None:
    reader = Replica()
    assert not reader.merge(write_entries(RELAY, 0, VAULT, entries)).gap
    assert {key: reader.get(VAULT, key) for key in entries} == entries


def test_what_the_relay_never_writes_is_refused() -> None:
    with pytest.raises(TypeError):
        write_entries(RELAY, 0, VAULT, {"key": {"an": "object"}})
