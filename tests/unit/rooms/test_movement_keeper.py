"""What the relay writes down by itself when a movement is changed after the fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pycrdt import Array, Doc, Map

from crdt_sync.documents.schema import MOVEMENTS
from crdt_sync.documents.stock.originals import ORIGINALS
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import NewUpdate, StateReply
from crdt_sync.replica import replay
from crdt_sync.updates.rewrites import ELEMENTS_MAX, RewriteIndex, to_base36
from server.rooms.history import History
from server.rooms.keeper import AUTHOR, open_keeper
from server.rooms.room import Room
from server.rooms.turn import Broadcast, Compacted, Turn
from tests.unit.rooms.members import absorb, arrive, broadcasts, empty_history, kept, replies, said

RELAY = 2**53 - 5
DOCUMENT = "inventory/2026-11"
SALE = ["sale", "tea", "shop", 3, "till-7", 889_500_467_200_000]
OTHER = ["sale", "tea", "shop", 30, "till-7", 889_500_467_200_000]
Log = list[tuple[bytes, str | None]]


class Page:
    """A page with a client id; each edit is one transaction."""

    def __init__(self, client: int, *updates: bytes, is_collecting: bool = True) -> None:
        self.doc: Doc[Any] = Doc(client_id=client, skip_gc=not is_collecting)
        self.learn(*updates)

    def forge(self, mid: str, row: Any) -> bytes:
        """What no page ever has to do: write an original."""
        made: list[bytes] = []
        subscription = self.doc.observe(lambda event: made.append(event.update))
        root = self.doc.get(ORIGINALS, type=Map)
        with self.doc.transaction():
            if row is None:
                del root[mid]
            else:
                root[mid] = row
        self.doc.unobserve(subscription)
        (update,) = made
        return update

    def learn(self, *updates: bytes) -> None:
        for update in updates:
            self.doc.apply_update(update)

    def set(self, **rows: Any) -> bytes:
        return self._made({key.replace("_", "."): row for key, row in rows.items()})

    def delete(self, key: str) -> bytes:
        return self._made({key: None})

    def _made(self, rows: Mapping[str, Any]) -> bytes:
        made: list[bytes] = []
        subscription = self.doc.observe(lambda event: made.append(event.update))
        with self.doc.transaction():
            for key, row in rows.items():
                if row is None:
                    del self.doc.get(MOVEMENTS, type=Map)[key]
                else:
                    self.doc.get(MOVEMENTS, type=Map)[key] = row
        self.doc.unobserve(subscription)
        (update,) = made
        return update


def open_room(log: Log | None = None, client: int = RELAY) -> Room:
    log = log or []
    history = History.load(b"", 0, b"", [update for update, _ in log], DEFAULT_LIMITS, document=DOCUMENT)
    room = Room(history if log else empty_history(), DEFAULT_LIMITS, open_keeper(DOCUMENT, client, log, DEFAULT_LIMITS))
    arrive(room, 1, 2)
    return room


def originals(updates: Sequence[bytes]) -> dict[str, Any]:
    return replay(updates).entries(ORIGINALS)


def hear(room: Room, *updates: bytes) -> list[bytes]:
    """What the room keeps of these, and what it adds."""
    return [one for update in updates for one in kept(absorb(room, said(1, NewUpdate(update))))]


def test_P21_the_original_is_kept_and_told_before_the_change_and_the_author_is_named() -> None:
    room, till = open_room(), Page(7)
    first = till.set(**{"7_0": SALE})
    hear(room, first)
    change = Page(8, first).set(**{"7_0": OTHER})
    turn = absorb(room, said(2, NewUpdate(change)))
    assert [(one.author, one.update == change) for one in turn.kept] == [(AUTHOR, False), ("user-2", True)]
    note = turn.kept[0].update
    assert broadcasts(turn)[:2] == [Broadcast(NewUpdate(note), 2, None), Broadcast(NewUpdate(change), 3, 2)]
    assert [(changed.author, list(changed.movements)) for changed in turn.changed] == [("user-2", ["7.0"])]
    assert originals([first, note]) == {"7.0": SALE}


def test_P21_a_deleted_movement_is_put_back_once() -> None:
    room, till = open_room(), Page(7)
    first = till.set(**{"7_0": SALE})
    log = hear(room, first, Page(8, first).delete("7.0"), Page(9, first).delete("7.0"))
    assert len(log) == 3
    assert originals(log) == {"7.0": SALE}


@pytest.mark.parametrize("has_seen_it", [True, False])
def test_the_same_row_again_under_another_client_is_no_change_until_it_is_deleted(has_seen_it: bool) -> None:
    room, till = open_room(), Page(7)
    first = till.set(**{"7_0": SALE})
    steward = Page(8, first) if has_seen_it else Page(8)
    again = steward.set(**{"7_0": SALE})
    log = hear(room, first, again)
    assert len(log) == 2
    # Whoever holds both says that the one behind is deleted: nobody has done that.
    reader = Page(9, *log)
    log += hear(room, reader.set(**{"9_0": SALE}))
    log += kept(absorb(room, said(2, StateReply(reader.doc.get_update()))))
    assert originals(log) == {}
    log += hear(room, reader.delete("7.0"))
    assert originals(log) == {"7.0": SALE}


def test_a_row_is_put_back_with_all_that_it_says() -> None:
    row = ["ship", "Söckchen 🧦", "A", 3.5, "x", -1, None, {"to": "B", "for": [True, None, {"deep": "ok"}]}]
    room = open_room()
    first = Page(7).set(**{"7_0": row})
    log = hear(room, first, Page(8, first).set(**{"7_0": SALE}))
    assert originals(log) == {"7.0": row}


@pytest.mark.parametrize("first", [[], "text", Array([1])])
def test_what_was_no_movement_at_first_is_none_later(first: Any) -> None:
    room = open_room()
    made = Page(7).set(**{"7_0": first})
    log = hear(room, made, Page(8, made).set(**{"7_0": SALE}))
    assert originals(log) == {"7.0": first if isinstance(first, str) else []}


def test_what_a_page_changed_before_anybody_saw_it_stands_as_it_came() -> None:
    room, page = open_room(), Page(7)
    page.set(**{"7_0": OTHER, "7_1": SALE})
    page.set(**{"7_0": SALE})
    page.delete("7.1")
    log = kept(absorb(room, said(1, StateReply(page.doc.get_update()))))
    assert len(log) == 1
    log += hear(room, Page(8, *log).set(**{"7_0": OTHER}))
    assert originals(log) == {"7.0": SALE}


def test_a_merged_state_that_holds_the_movement_and_its_change_puts_back_the_first() -> None:
    till = Page(7, is_collecting=False)
    till.set(**{"7_0": SALE})
    till.set(**{"7_0": OTHER})
    turn = absorb(open_room(), said(1, StateReply(till.doc.get_update())))
    assert originals(kept(turn)) == {"7.0": SALE}


def test_a_change_is_found_after_a_compaction_and_after_a_restart() -> None:
    till = Page(7)
    log = [till.set(**{f"7_{number}": [*SALE[:3], number + 1, *SALE[4:]]}) for number in range(9)]
    change = Page(8, *log).set(**{"7_4": OTHER})
    state = replay(log).snapshot()
    compacted = open_room()
    hear(compacted, *log)
    absorb(compacted, Compacted(state, len(log)))
    for room in (compacted, open_room([(state, None)]), open_room([(update, "x") for update in log])):
        added = hear(room, change)
        assert originals([*log, *added]) == {"7.4": [*SALE[:3], 5, *SALE[4:]]}


def test_what_an_earlier_relay_did_not_put_back_is_put_back_at_the_next_update() -> None:
    till = Page(7)
    first = till.set(**{"7_0": SALE})
    change = Page(8, first).set(**{"7_0": OTHER})
    log = [first, change]
    log += hear(open_room([(first, "till"), (change, "page")]), till.set(**{"7_1": SALE}))
    assert originals(log) == {"7.0": SALE}
    # And with it in the log, nobody does so again.
    assert len(hear(open_room([(update, None) for update in log], RELAY - 1), till.set(**{"7_2": SALE}))) == 1


def test_a_viewer_changes_nothing_and_is_told_so() -> None:
    room = open_room()
    first = Page(7).set(**{"7_0": SALE})
    hear(room, first)
    arrive(room, 3, may_write=False)
    turn: Turn = absorb(room, said(3, NewUpdate(Page(8, first).set(**{"7_0": OTHER}))))
    assert (kept(turn), turn.changed) == ([], [])
    assert replies(turn, 3)


def test_keys_that_are_no_ids_of_ours_are_followed_too() -> None:
    keys = ["by hand", "07.0", "7.00", "Z.1", "8.0", "zzzzzzzzzzzz.1"]
    room, page = open_room(), Page(7)
    rows = {key: [*SALE[:3], number + 1, *SALE[4:]] for number, key in enumerate(["7.0", *keys])}
    first = page._made(rows)
    log = hear(room, first, Page(9, first)._made(dict.fromkeys(rows, OTHER)))
    assert originals(log) == rows


def test_a_key_that_is_written_without_end_is_put_back_and_not_followed_any_more() -> None:
    room, page = open_room(), Page(7)
    log = hear(room, *(page.set(**{"7_0": SALE}) for _ in range(ELEMENTS_MAX + 20)))
    assert originals(log) == {"7.0": SALE}
    assert len(log) == ELEMENTS_MAX + 21
    assert room._keeper is not None
    assert room._keeper._index._several == {}  # type: ignore[attr-defined]


def test_an_update_that_deletes_thousands_of_movements_is_answered_in_portions() -> None:
    room, till = open_room(), Page(7)
    first = till._made({f"7.{number}": SALE for number in range(1_200)})
    hear(room, first)
    page = Page(8, first)
    turn = absorb(room, said(2, NewUpdate(page._made({f"7.{number}": None for number in range(1_200)}))))
    assert len(turn.kept) == 4
    assert len(originals([first, *kept(turn)])) == 1_200


def test_writers_that_count_cost_no_memory_for_each_movement() -> None:
    room, till = open_room(), Page(7)
    hear(room, *(till._made({f"7.{to_base36(number)}": SALE}) for number in range(1_000)))
    index = room._keeper._index  # type: ignore[union-attr]
    assert isinstance(index, RewriteIndex)
    assert len(index._writers[7].own.clocks) == 1
    assert list(index.elements("7.rr")) == [(7, 999)]
    assert index.elements("7.rs") == ()


def test_P21_an_original_that_a_page_forges_is_put_right() -> None:
    room, till = open_room(), Page(7)
    first = till.set(**{"7_0": SALE, "7_1": OTHER})
    log = hear(room, first)
    # Of a movement that nobody has changed, of one that is put back already, and by deleting what was put back.
    log += hear(room, Page(8, *log).forge("7.0", OTHER))
    assert originals(log)["7.0"] == SALE
    log += hear(room, Page(9, *log).set(**{"7_1": SALE}))
    for client, row in ((10, SALE), (2**53 - 1, SALE), (12, None)):
        turn = absorb(room, said(2, NewUpdate(Page(client, *log).forge("7.1", row))))
        assert [(changed.author, list(changed.movements)) for changed in turn.changed] == [("user-2", ["7.1"])]
        log += kept(turn)
        assert originals(log) == {"7.0": SALE, "7.1": OTHER}
    # Two that have not seen each other, and a room that was opened again.
    blind = [Page(client, *log).forge("7.0", OTHER) for client in (3, 2**53 - 2)]
    room = open_room([(update, None) for update in log], RELAY - 1)
    for update in blind:
        log += hear(room, update)
        assert originals(log)["7.0"] == SALE


def test_an_original_that_peers_bring_back_to_a_relay_which_knows_less_stays() -> None:
    log = hear(open_room(), first := Page(7).set(**{"7_0": SALE}), Page(8, first).set(**{"7_0": OTHER}))
    peer = Page(9, *log)
    room = open_room(client=RELAY - 1)
    again = kept(absorb(room, said(1, StateReply(peer.doc.get_update()))))
    assert len(again) == 1
    assert originals(again) == {"7.0": SALE}
    assert hear(room, Page(10, *again).forge("7.0", SALE)) != []
