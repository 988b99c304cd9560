"""I10: a fold in steps, twice, at once and by half; and the defects that the law is there to find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import Fault
from crdt_sync.documents.stock import folding, folds, warm_stock
from crdt_sync.documents.stock.books import Books, FoldStep
from crdt_sync.documents.stock.coverage import read_covers
from crdt_sync.limits import Limits
from crdt_sync.replica import replay
from tests.laws import periods_of_tills
from tests.laws.periods_of_tills import PERIODS, Tills
from tests.laws.test_documents_periods import play

STAYS, NOTES = folding._Sorter.stays, folds.read_notes


def fold_open_holds(self: folding._Sorter, mid: str) -> bool:
    return self._rows[mid][0] != "hold" and STAYS(self, mid)


def fold_stock_takes(self: folding._Sorter, mid: str) -> bool:
    return self._rows[mid][0] != "cnt" and STAYS(self, mid)


def everything(*_: object) -> None:
    return None


def never(*_: object) -> bool:
    return False


def all_noted(notes: Mapping[str, object], _: object) -> tuple[str, ...]:
    return tuple(sorted(notes))


def all_closed(self: Books, _: str) -> list[str]:
    return [period for period, document in self._documents.items() if read_covers(document) is not None]


def switched_on_at_once(catalog: RootsView) -> tuple[dict[str, folds.FoldNote], list[Fault]]:
    begun = {str(value[0]) for value in catalog.entries("fold").values() if isinstance(value, list)}
    noted, faults = NOTES(catalog)
    return {period: folds.FoldNote(0, 0, "0" * 16) for period in sorted(begun)} | noted, faults


MUTANTS: dict[str, list[tuple[Any, str, object]]] = {
    "open holds are added up": [(folding._Sorter, "stays", fold_open_holds)],
    "stock-takes are added up": [(folding._Sorter, "stays", fold_stock_takes)],
    "what a fold covers counts once more from its document": [(warm_stock, "_counting_ids", everything)],
    "a shipment that was booked in before the fold is booked in again": [(folds.Folds, "is_done_with", never)],
    "what has moved on to two periods counts in both folds": [(folds.Folds, "has_counted", never)],
    "a fold is used before its document says what it counts": [
        (warm_stock, "usable", all_noted),
        (periods_of_tills, "usable", all_noted),
    ],
    "late movements of one's own are put away with their document": [(Books, "without_late", all_closed)],
    "rows count before the switch": [
        (warm_stock, "read_notes", switched_on_at_once),
        (folds, "read_notes", switched_on_at_once),
    ],
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_I10_kills_the_mutant(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, planted in MUTANTS[mutant]:
        monkeypatch.setattr(owner, name, planted)
    # Client ids are drawn anew for every run, so the history that tells is not always the same one.
    with pytest.raises(AssertionError):
        play_many(60)


def play_many(worlds: int) -> None:
    for seed in range(worlds):
        play(seed)


def closed_month() -> tuple[Tills, str]:
    """Two tills with a closed month of all sorts of movements, which both of them hold as a whole."""
    shops = Tills.open(2)
    period = PERIODS[0]

    def trade(inventory: InventoryDocument) -> None:
        inventory.receive("shirt", 20, at="A")
        inventory.transfer("shirt", 5, source="A", to="B")
        inventory.ship("shirt", 2, source="A", to="B")
        inventory.confirm(inventory.hold("shirt", 3, at="A"))
        inventory.hold("shirt", 4, at="A")
        inventory.count("shirt", 9, at="A")
        inventory.sell("cap", 2, at="A", short="back-order")

    for till in range(2):
        shops.act(till, period, trade)
    shops.meet()
    shops.close(period)
    shops.meet()
    return shops, period


def test_I10_two_that_fold_at_once_write_the_same_and_a_second_fold_writes_nothing() -> None:
    shops, period = closed_month()
    for step in (FoldStep.WRITTEN, FoldStep.FOLDED):
        assert [shops.fold(till) for till in range(2)] == [step, step]
    one, other = (till.catalog for till in shops.tills)
    for root in ("folds", "carry", "ended", "settled"):
        assert {key: one.get(root, key) for key in one.keys(root)} == {
            key: other.get(root, key) for key in other.keys(root)
        }
    for root in ("fold", "seen"):
        written = [
            {key.removesuffix(f"/{till.rid}"): value for key, value in till.catalog.entries(root).items()}
            for till in shops.tills
        ]
        assert written[0] == written[1] != {}
    before = one.doc.get_state()
    with shops.tills[0].edit(PERIODS[0]) as inventory:
        assert inventory.books.fold(period) is FoldStep.KNOWN
    assert one.doc.get_state() == before
    shops.meet()
    for till in shops.tills:
        shops.check(till)


def test_I10_a_fold_that_has_arrived_by_half_changes_nothing() -> None:
    """Entry by entry, as a relay that is cut off may hand them on."""
    shops, period = closed_month()
    folder, reader = shops.tills
    table, rights = reader.read().stock_table(), reader.read().rights("shirt", "A")
    parts = 0
    for step in (FoldStep.WRITTEN, FoldStep.FOLDED):
        known = replay([folder.catalog.doc.get_update()]).state
        assert shops.fold(0) is step
        folded = replay([folder.catalog.doc.get_update()], Limits(update_part_bytes_max=1))
        for part in folded.parts_since(known):
            parts += 1
            reader.catalog.doc.apply_update(part)
            used = list(reader.warm.folds(reader.catalog, reader.documents).notes)
            assert used == ([period] if step is FoldStep.FOLDED else [])
            assert (reader.read().stock_table(), reader.read().rights("shirt", "A")) == (table, rights)
            shops.check(reader)
    assert parts > 10
