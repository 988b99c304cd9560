"""The laws of folds notice planted bugs: each is run on one history that a naive closing gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from crdt_sync.documents.metrics import coverage, folds, history, retention
from crdt_sync.documents.metrics.coverage import Coverage, Reach
from crdt_sync.documents.metrics.gauges import read_gauges
from crdt_sync.documents.roots import RootsView, Value
from tests.laws import test_documents_folds as laws

PLANT = pytest.MonkeyPatch


def go_by_stamps_alone(patch: PLANT) -> None:
    reach = Coverage.reach
    patch.setattr(Coverage, "reach", lambda self, *where: Reach(10**9, reach(self, *where).stamp))


def go_by_numbers_alone(patch: PLANT) -> None:
    reach = Coverage.reach
    patch.setattr(Coverage, "reach", lambda self, *where: Reach(reach(self, *where).number, 2**53))


def forget_counters(patch: PLANT) -> None:
    patch.setattr(coverage, "_READERS", {root: read for root, read in coverage._READERS.items() if root != "c"})


def give_every_closing_one_name(patch: PLANT) -> None:
    patch.setattr(retention, "_name", lambda contents, covers: "aaaaa")


def never_take_back_an_answer(patch: PLANT) -> None:
    late_answers = retention.late_answers

    def without_none(document: RootsView, period: str, year: RootsView) -> dict[str, Value]:
        return {key: value for key, value in late_answers(document, period, year).items() if value is not None}

    patch.setattr(retention, "late_answers", without_none)


def add_up_all_folds(patch: PLANT) -> None:
    patch.setattr(folds.FoldsView, "_counts", lambda self, root, key: True)


def believe_half_a_fold(patch: PLANT) -> None:
    def init(self: folds.FoldsView, year: RootsView, only: object = None) -> None:
        self._year = year
        self.notes = folds.read_fold_notes(year)[0]
        self._writers = {folds.fold_writer(period, note.closing) for period, note in self.notes.items()}

    patch.setattr(folds.FoldsView, "__init__", init)


def count_the_closed_document_beside_its_fold(patch: PLANT) -> None:
    patch.setattr(history.History, "_unfolded", lambda self: iter(self._documents.items()))


def say_no_first_sample(patch: PLANT) -> None:
    patch.setattr(retention, "first_sample", lambda *args: None)


def forget_who_stated_a_gauge(patch: PLANT) -> None:
    patch.setattr(history, "read_gauges", lambda entries, *, is_fold: read_gauges(entries))


HALVES = [("act", 0, "mentions", 60, True), ("close", 3)]
GROWN = [("act", 0, "mentions", 1, False), ("pull", 3, 0), ("close", 3), ("act", 0, "mentions", 2, False)]
COUNTED_ON = [("act", 0, "count", 5, False), ("pull", 3, 0), ("close", 3), ("act", 0, "count", 5, False)]
TWO_CLOSINGS = [
    *(("act", 0, "count", 5, False), ("pull", 3, 0), ("close", 3)),
    *(("act", 1, "count", 7, False), ("pull", 4, 1), ("close", 4)),
]
ANSWERED_BY_THE_LOSER = [
    *(("act", 0, "count", 5, False), ("pull", 4, 0), ("close", 4), ("act", 0, "count", 5, False)),
    *(("pull", 4, 0), ("answer", 4), ("pull", 3, 0), ("close", 3)),
]
# Of equal stamps that of "w1" counts, and "2026-10" sorts before either.
STATED_AT_ONCE = [(1, "gauge", "a", -1, 3), (0, "gauge", "a", 1, 4)]
GROWN_ACCOUNT = [(0, "account", "a", -400, 3), (0, "account", "a", -399, 9)]

Plant = Callable[[PLANT], None]
LATE, WHOLE, HALF = "test_I11_what_comes_", "test_I11_the_fold_", "test_a_fold_that_"
CASES: list[Any] = [
    (go_by_stamps_alone, LATE, (HALVES,)),
    (go_by_numbers_alone, LATE, (GROWN,)),
    (forget_counters, LATE, (COUNTED_ON,)),
    (give_every_closing_one_name, LATE, (TWO_CLOSINGS,)),
    (never_take_back_an_answer, LATE, (ANSWERED_BY_THE_LOSER,)),
    (add_up_all_folds, LATE, (TWO_CLOSINGS,)),
    (believe_half_a_fold, HALF, (COUNTED_ON, Random(1))),
    (count_the_closed_document_beside_its_fold, WHOLE, ([(0, "count", "a", -1, 3)], [0, 1, 2])),
    (forget_who_stated_a_gauge, WHOLE, (STATED_AT_ONCE, [0, 1, 2])),
    (say_no_first_sample, WHOLE, (GROWN_ACCOUNT, [0, 1, 2])),
]


@pytest.mark.parametrize(("plant", "name", "history"), CASES)
def test_I11_kills_the_mutant_of_folds(plant: Plant, name: str, history: tuple[Any, ...], monkeypatch: PLANT) -> None:
    [law] = [getattr(laws, found) for found in dir(laws) if found.startswith(name)]
    law.hypothesis.inner_test(*history)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        law.hypothesis.inner_test(*history)
