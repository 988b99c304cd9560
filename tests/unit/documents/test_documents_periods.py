"""Periods: what a fold covers, what it can't add up, what it refuses, and what is told of entries that are wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.documents.roots import Value
from crdt_sync.documents.stock.books import FoldStep, is_over
from crdt_sync.documents.stock.caps import current_period
from crdt_sync.documents.stock.coverage import Coverage, digest_of
from crdt_sync.errors import FoldRefused, InvalidName, PeriodsMissing
from tests.laws.periods_of_tills import PERIODS, Till, Tills

FIRST, SECOND, THIRD, FOURTH = PERIODS
MIDS = st.builds(
    "{}.{}".format,
    st.sampled_from(["a", "b7", "00"]),
    st.integers(0, 40).map(str) | st.sampled_from(["007", "zzzzzzzzzzz", "0"]),
)


@given(st.sets(MIDS, max_size=40), MIDS)
def test_covers_hold_exactly_the_ids_that_they_were_made_of(mids: set[str], other: str) -> None:
    covers = Coverage(mids)
    # Numbers come back from a document as floats.
    stored = json.loads(json.dumps(covers.encode()), parse_int=float)
    for one in (covers, Coverage.decode(stored)):
        assert one is not None
        assert set(one) == mids
        assert len(one) == len(mids)
        assert (other in one) == (other in mids)
        assert digest_of(one) == digest_of(mids)


def test_covers_of_a_writer_without_gaps_are_one_number() -> None:
    assert Coverage(["a.0", "a.1", "a.2", "b.1", "b.2", "b.4", "b.07"]).encode() == {
        "a": 3,
        "b": [1, 3, 4, 5],
        "": ["b.07"],
    }


@pytest.mark.parametrize("value", [7, {"a": "x"}, {"a": [1]}, {"a": [3, 2]}, {"a": -1}, {"": "x"}, {"a": 0}])
def test_what_no_closing_writes_covers_nothing(value: object) -> None:
    assert Coverage.decode(value) is None  # type: ignore[arg-type]


def one_till() -> tuple[Tills, Till]:
    shops = Tills.open(1)
    return shops, shops.tills[0]


def close_and_fold(shops: Tills, period: str) -> None:
    shops.close(period)
    assert [shops.fold(0) for _ in range(2)] == [FoldStep.WRITTEN, FoldStep.FOLDED]


def test_names_that_make_no_key_and_great_sums_come_through_a_fold() -> None:
    shops, till = one_till()
    shops.act(0, FIRST, lambda inventory: inventory.receive("shirt", 2**53 - 1, at="A"))
    shops.act(0, FIRST, lambda inventory: inventory.receive("shirt", 2**53 - 1, at="A"))
    page = till.documents[FIRST]
    for number, (sku, place, rid) in enumerate(
        [("", "A", "x"), ("shirt", "", "x"), ("shirt", "A", ""), ("ä" * 80, "A", "x"), ("shirt", "A", "e\u0301")]
    ):
        page.put("mv", f"p.{number}", ["rcv", sku, place, 5, rid, 1])
        page.put("mv", f"p.{number}a", ["sale", sku, place, 2, rid, 1])
    page.put("mv", "p.later", ["melt", "shirt", "A", 5, "x", 1])
    shops.act(0, SECOND, lambda inventory: inventory.receive("shirt", 1, at="A"))
    before = till.read().stock_table()
    close_and_fold(shops, FIRST)
    shops.check(till)
    till.put_settled_away()
    shops.check(till)
    assert FIRST not in till.documents
    assert till.read().stock_table() == before
    assert before["shirt", "A"] == 2 * (2**53 - 1) + 1 + 6
    assert till.read().unknown_kinds() == {"melt": 1}
    assert till.read().faults() == []


def test_a_period_that_sorts_before_a_folded_one_moves_on_as_a_whole() -> None:
    shops, till = one_till()
    shops.act(0, SECOND, lambda inventory: inventory.receive("shirt", 5, at="A"))
    close_and_fold(shops, SECOND)
    # Long switched off, with its clock behind.
    shops.act(0, FIRST, lambda inventory: inventory.sell("shirt", 3, at="A"))
    shops.check(till)
    shops.close(FIRST)
    assert shops.counted[FIRST] == {}
    shops.act(0, THIRD, lambda inventory: inventory.receive("cap", 1, at="A"))
    assert till.read().books.late() == []
    assert shops.fold(0) is FoldStep.FOLDED
    till.put_settled_away()
    assert not {FIRST, SECOND} & till.documents.keys()
    assert till.read().stock("shirt", "A") == 2
    close_and_fold(shops, THIRD)
    shops.check(till)
    assert till.read().stock_table() == {("shirt", "A"): 2, ("cap", "A"): 1}


def test_a_period_that_was_closed_before_a_later_one_was_folded_is_closed_again_without_anything() -> None:
    shops, till = one_till()
    shops.act(0, FIRST, lambda inventory: inventory.receive("shirt", 2, at="A"))
    shops.close(FIRST)
    # Whoever folded the next period had not heard of this one.
    till.catalog.put("folds", SECOND, [1, 0, "0" * 16])
    with till.edit(FOURTH) as inventory, pytest.raises(FoldRefused, match="close it again"):
        inventory.books.fold(FIRST)
    shops.close(FIRST)
    assert shops.counted[FIRST] == {}
    assert shops.fold(0) is FoldStep.FOLDED
    shops.rehome_all(0, FOURTH)
    till.put_settled_away()
    assert FIRST not in till.documents
    assert till.read().stock("shirt", "A") == 2


def test_a_period_that_was_folded_from_other_movements_is_refused() -> None:
    shops, till = one_till()
    shops.act(0, FIRST, lambda inventory: inventory.receive("shirt", 5, at="A"))
    close_and_fold(shops, FIRST)
    till.documents[FIRST].put("meta", "covers", {})
    with till.edit(SECOND, rehomes=False) as inventory, pytest.raises(FoldRefused, match="from other movements"):
        inventory.books.fold(FIRST)


def test_a_movement_is_folded_as_it_was_first_written() -> None:
    shops, till = one_till()
    shops.act(0, FIRST, lambda inventory: inventory.receive("shirt", 5, at="A"))
    [(mid, row)] = till.documents[FIRST].entries("mv").items()
    assert isinstance(row, list)
    till.documents[FIRST].put("mv", mid, [*row[:3], 500, *row[4:]])
    till.documents[FIRST].put("orig", mid, row)
    assert till.read().stock("shirt", "A") == 5
    close_and_fold(shops, FIRST)
    till.put_settled_away()
    assert till.read().stock("shirt", "A") == 5


def test_the_index_notices_that_a_movement_was_changed_after_it_was_read() -> None:
    shops, till = one_till()
    shops.act(0, FIRST, lambda inventory: inventory.receive("shirt", 5, at="A"))
    assert till.index().stock(("shirt", "A")) == 5
    [(mid, row)] = till.documents[FIRST].entries("mv").items()
    assert isinstance(row, list)
    till.documents[FIRST].put("orig", mid, [*row[:3], 7, *row[4:]])
    assert till.index().stock(("shirt", "A")) == 7


def test_a_reader_that_needs_what_later_folds_have_overwritten_waits_for_the_document() -> None:
    shops = Tills.open(2)
    folder, reader = shops.tills
    for period in (FIRST, SECOND, THIRD):
        shops.act(0, period, lambda inventory: inventory.receive("shirt", 5, at="A"))
    reader.pull(folder, "catalog")
    for period in (FIRST, SECOND, THIRD):
        reader.pull(folder, period)
    for period in (FIRST, SECOND, THIRD):
        close_and_fold(shops, period)
    for document in ("catalog", FIRST, THIRD):
        reader.pull(folder, document)
    # Of the folds it can use the first one only, and two more have come since.
    with pytest.raises(PeriodsMissing) as missing:
        reader.read().stock("shirt", "A")
    assert missing.value.periods == [SECOND]
    reader.pull(folder, SECOND)
    assert reader.read().stock("shirt", "A") == 15


def test_entries_of_folds_that_make_no_sense_are_skipped_and_told() -> None:
    shops, till = one_till()
    shops.act(0, FIRST, lambda inventory: inventory.receive("shirt", 5, at="A"))
    close_and_fold(shops, FIRST)
    entries: list[tuple[str, str, Value]] = [
        ("folds", "October", [1, 1, "0" * 16]),
        ("folds", "2026-07", "x"),
        ("fold", "shirt/A", [FIRST, 5, None, 0]),
        ("fold", "shirt/A/x/relay", [FIRST, "5 units", None, 0]),
        ("carry", "a.0", [FIRST, ["rcv", "shirt"]]),
        ("settled", FIRST, "x"),
    ]
    for root, key, value in entries:
        till.catalog.put(root, key, value)
    till.documents[FOURTH].put("meta", "covers", 5)
    assert [(fault.root, fault.key) for fault in till.read().faults()] == [
        ("carry", "a.0"),
        ("fold", "shirt/A"),
        ("fold", "shirt/A/x/relay"),
        ("folds", "2026-07"),
        ("folds", "October"),
        ("meta", "covers"),
        ("settled", FIRST),
    ]
    assert till.read().stock("shirt", "A") == 5


def test_a_month_and_a_day_are_over_after_their_grace() -> None:
    midnight = 1_793_491_200_000  # 2026-11-01
    day = 86_400_000
    assert is_over("2026-10", midnight)
    assert not is_over("2026-10", midnight - 1)
    assert not is_over("2026-10", midnight + 7 * day - 1, grace_days=7)
    assert is_over("2026-10", midnight + 7 * day, grace_days=7)
    assert is_over("2026-10-31", midnight)
    assert not is_over("2026-11", midnight + 29 * day)
    assert is_over("2026-11", midnight + 30 * day)
    with pytest.raises(InvalidName):
        is_over("soon", midnight)


def test_what_a_month_does_not_take_goes_into_the_day() -> None:
    assert current_period(1_795_000_000_000, lambda _: False) == "2026-11"
    assert current_period(1_795_000_000_000, lambda period: period == "2026-11") == "2026-11-18"


def test_a_clock_that_lags_behind_a_closed_day_writes_into_the_month_behind_all_that_is_closed() -> None:
    def takes_no_more(period: str) -> bool:
        return period == "2026-11"

    assert current_period(1_795_000_000_000, takes_no_more, {"2026-11"}) == "2026-11-18"
    assert current_period(1_795_000_000_000, takes_no_more, {"2026-11", "2026-11-18"}) == "2026-12"
    assert current_period(1_795_000_000_000, takes_no_more, {"2026-11-18", "2026-12", "2027-02-28"}) == "2027-03"
