"""Readers of movements that somebody has changed or deleted after they were written."""

from __future__ import annotations

import pytest

from crdt_sync.documents.schema import MOVEMENTS, Fault
from crdt_sync.documents.stock.originals import CHANGED, ORIGINALS, changed_movements, entries_of, entry_of, keys_of
from crdt_sync.errors import AlreadyExists
from tests.unit.documents.replicas import Replica, shop


def changed_shop() -> tuple[Replica, str, str]:
    """A page has made a sale of 3 one of 30 and deleted a sale of 2; the relay has put back both."""
    till = shop()
    with till.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
        overwritten = docs.inventory.sell("shirt", 3, at="A", ref="invoice 3")
        deleted = docs.inventory.sell("shirt", 2, at="A", ref="invoice 2")
    first = {mid: till.movements.get(MOVEMENTS, mid) for mid in (overwritten, deleted)}
    till.movements.put(MOVEMENTS, overwritten, ["sale", "shirt", "A", 30, "till-1", 1])
    del till.movements.root(MOVEMENTS)[deleted]
    for mid, row in first.items():
        till.movements.put(ORIGINALS, mid, row)
    return till, overwritten, deleted


def test_the_first_content_counts_for_every_reader() -> None:
    till, overwritten, deleted = changed_shop()
    inventory = till.inventory
    assert inventory.stock("shirt", "A") == 5
    assert inventory.refs() == {"invoice 2", "invoice 3"}
    assert [movement.quantity for movement in inventory.movements()] == [10, 3, 2]
    for mid, quantity in ((overwritten, 3), (deleted, 2)):
        movement = inventory.find(mid)
        assert movement is not None
        assert movement.quantity == quantity
        assert entry_of(till.movements, mid) == entries_of(till.movements)[mid]
    assert set(keys_of(till.movements)) == set(entries_of(till.movements))


def test_each_changed_movement_is_reported_once() -> None:
    till, *changed = changed_shop()
    assert [fault for fault in till.inventory.faults() if fault.reason == CHANGED] == [
        Fault(MOVEMENTS, mid, CHANGED) for mid in sorted(changed)
    ]
    assert changed_movements(till.movements) == sorted(changed)
    assert changed_movements(shop().movements) == []


def test_an_index_that_was_warm_before_the_change_says_the_same() -> None:
    till = shop()
    with till.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
        sold = docs.inventory.sell("shirt", 3, at="A")
        assert docs.inventory.stock("shirt", "A") == 7
    row = till.movements.get(MOVEMENTS, sold)
    del till.movements.root(MOVEMENTS)[sold]
    till.movements.put(ORIGINALS, sold, row)
    with till.edit() as docs:
        docs.inventory.sell("shirt", 1, at="A")
        assert docs.inventory.stock("shirt", "A") == 6


def test_a_till_does_not_take_the_id_of_its_last_movement_again_when_somebody_has_deleted_that() -> None:
    till, _, deleted = changed_shop()
    with till.edit() as docs:
        again = docs.inventory.sell("shirt", 1, at="A")
    assert again != deleted
    assert till.inventory.stock("shirt", "A") == 4


def test_a_movement_id_that_is_taken_is_refused_before_anything_is_written() -> None:
    till, overwritten, deleted = changed_shop()
    before = till.movements.doc.get_state()
    for taken in (overwritten, deleted):
        with till.edit() as docs:
            docs.inventory._next_sequence = int(taken.partition(".")[2], 36)
            with pytest.raises(AlreadyExists, match=taken):
                docs.inventory.sell("shirt", 1, at="A")
    assert till.movements.doc.get_state() == before


def test_an_original_that_is_no_movement_counts_nothing() -> None:
    till = shop()
    till.movements.put(MOVEMENTS, "x.1", ["adj", "shirt", "A", 7, "till-1", 1])
    till.movements.put(ORIGINALS, "x.1", [])
    assert till.inventory.stock("shirt", "A") == 0
    assert {fault.key for fault in till.inventory.faults()} == {"x.1"}
