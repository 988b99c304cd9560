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
from crdt_sync.stores.update_log import Binding
from crdt_sync.updates.encode import write_entries
from crdt_sync.updates.pieces import Span
from server.rooms.history import History
from server.rooms.keeper import AUTHOR, PORTION_ENTRIES, Authors, CatalogKeeper, keeps, open_keeper
from server.rooms.ownership import Owners
from server.rooms.room import Room
from server.rooms.turn import Broadcast
from tests.unit.rooms.members import absorb, arrive, broadcasts, empty_history, kept, said

RELAY = 2**53 - 5


def room_with_keeper() -> Room:
    room = Room(empty_history(), DEFAULT_LIMITS, CatalogKeeper(RELAY))
    arrive(room, 1, 2)
    return room


def page(client: int, *keys: str, value: Any) -> bytes:
    """What a page sends that has seen nothing and sets some keys."""
    doc: Doc[Map] = Doc(client_id=client)
    with doc.transaction():
        for key in keys:
            doc.get(ATTRIBUTES, type=Map)[key] = value
    return doc.get_update()


def test_P22_what_stands_against_each_other_is_noted_in_the_same_turn_for_everybody() -> None:
    room = room_with_keeper()
    first, second = page(7, "tea/price", value=450), page(8, "tea/price", value="4.75 €")
    assert kept(absorb(room, said(1, NewUpdate(first)))) == [first]
    turn = absorb(room, said(2, NewUpdate(second)))
    assert [update.author for update in turn.kept] == ["user-2", AUTHOR]
    _, note = kept(turn)
    assert broadcasts(turn)[1] == Broadcast(NewUpdate(note), 3, None)
    reader = replay([first, second, note])
    assert reader.entries(VAULT) == {
        "tea/price|7.0": [450, None, None, "user-1"],
        "tea/price|8.0": ["4.75 €", None, None, "user-2"],
    }


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
    notes_of_a_peer = dict(unvaulted(watching, watching))
    for tip, entry in reader.entries(VAULT).items():
        # Who sent it is for the relay alone to know.
        assert entry.pop(3) == "user-1"
        assert entry == notes_of_a_peer[tip][:3]
    assert sorted(entry[1] for entry in reader.entries(VAULT).values()) == ["till-450", "till-475"]


def test_a_room_that_was_opened_again_knows_what_is_noted_and_goes_on_under_another_id() -> None:
    room = room_with_keeper()
    log = [page(7, "tea/price", value=7), page(8, "tea/price", value=8)]
    for update in list(log):
        log += kept(absorb(room, said(1, NewUpdate(update))))[1:]
    for stored in (log, [replay(log).snapshot()]):
        known = [(update, "user-1") for update in stored]
        again = open_keeper("inventory/catalog", RELAY - 1, known, DEFAULT_LIMITS)
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


@pytest.mark.parametrize("is_snapshot", [False, True])
def test_who_brought_a_value_is_noted_as_long_as_the_log_says_it(is_snapshot: bool) -> None:
    first, second = page(7, "tea/price", value=7), page(8, "tea/price", value=8)
    log: list[tuple[bytes, str | None]] = [(first, "ann"), (second, "bob")]
    if is_snapshot:
        log = [(replay([first, second]).snapshot(), None)]
    history = History.load(b"", 0, b"", [raw for raw, _ in log], DEFAULT_LIMITS, document="acme/inventory/catalog")
    room = Room(history, DEFAULT_LIMITS, open_keeper("inventory/catalog", RELAY, log, DEFAULT_LIMITS))
    arrive(room, 1, author="eve")
    turn = absorb(room, said(1, NewUpdate(page(9, "tea/price", value=9))))
    noted = {tip: entry[3:] for tip, entry in replay([raw for raw, _ in log] + kept(turn)).entries(VAULT).items()}
    if is_snapshot:
        # In it, what lost is collected: there is nothing left to note of the first one.
        assert noted == {"tea/price|8.0": [], "tea/price|9.0": ["eve"]}
    else:
        assert noted == {"tea/price|7.0": ["ann"], "tea/price|8.0": ["bob"], "tea/price|9.0": ["eve"]}


def test_members_that_take_turns_under_one_client_id_fill_no_memory() -> None:
    authors = Authors()
    for clock in range(10_000):
        authors.note([Span(7, clock, clock + 1, 1, 0, 0)], f"user-{clock % 2}")
    assert (authors.of(7, 0), authors.of(7, 101), authors.of(8, 0)) == ("user-0", "user-1", None)
    assert authors.of(7, 9_999) is None
    assert len(authors._turns[7]) < 300


def test_P22_the_vault_says_what_each_writer_had_before_it() -> None:
    room = room_with_keeper()
    base = page(6, "tea/stock", value=10)
    docs: list[Doc[Map[Any]]] = [Doc(client_id=client) for client in (7, 8)]
    log = [base, *kept(absorb(room, said(1, NewUpdate(base))))[1:]]
    for member, (doc, value) in enumerate(zip(docs, (12, 7), strict=True), 1):
        doc.apply_update(base)
        before = doc.get_state()
        doc.get(ATTRIBUTES, type=Map)["tea/stock"] = value
        log += kept(absorb(room, said(member, NewUpdate(doc.get_update(before)))))
    assert replay(log).entries(VAULT) == {
        "tea/stock|7.0": [12, None, None, "user-1", [10]],
        "tea/stock|8.0": [7, None, None, "user-2", [10]],
    }


@pytest.mark.parametrize(
    ("document", "is_kept"),
    [
        ("inventory/catalog", True),
        ("inventory/2026-11", True),
        ("inventory/2026-11-20", True),
        ("metrics/2026-11", False),
        ("chat", False),
        ("inventory/2026-99", False),
    ],
)
def test_only_catalogs_and_movements_are_followed(document: str, is_kept: bool) -> None:
    assert keeps(document) is is_kept
    assert (open_keeper(document, RELAY, [], DEFAULT_LIMITS) is not None) is is_kept


SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8"))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = SCALARS | NUMBERS | st.lists(SCALARS, max_size=4) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=3)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), VALUES, min_size=1, max_size=5))
def test_what_is_written_without_a_document_is_read_by_one(entries: dict[str, Value]) -> None:
    reader = Replica()
    assert not reader.merge(write_entries(RELAY, 0, VAULT, entries)).gap
    assert {key: reader.get(VAULT, key) for key in entries} == entries


def test_what_the_relay_never_writes_is_refused() -> None:
    with pytest.raises(TypeError):
        write_entries(RELAY, 0, VAULT, {"key": {"a", "set"}})


def test_P22_whose_a_client_id_is_says_who_wrote_what_only_a_snapshot_holds() -> None:
    log: list[tuple[bytes, str | None]] = [
        (replay([page(client, f"{client}/price", value=client) for client in (7, 8)]).snapshot(), None)
    ]
    history = History.load(b"", 0, b"", [raw for raw, _ in log], DEFAULT_LIMITS, document="acme/inventory/catalog")
    owners = {7: Binding(7, "ann", "firm"), 8: Binding(8, "bob", "mixed")}
    keeper = open_keeper("inventory/catalog", RELAY, log, DEFAULT_LIMITS, Owners(owners).person)
    room = Room(history, DEFAULT_LIMITS, keeper)
    arrive(room, 1, author="eve")
    turn = absorb(room, said(1, NewUpdate(page(9, "7/price", "8/price", value=9))))
    noted = {tip: entry[3:] for tip, entry in replay([raw for raw, _ in log] + kept(turn)).entries(VAULT).items()}
    assert noted == {"7/price|7.0": ["ann"], "8/price|8.0": [], "7/price|9.0": ["eve"], "8/price|9.1": ["eve"]}
