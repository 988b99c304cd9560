"""What looks wrong in metrics is listed: two who write one slot, times to come, other periods, counts taken back."""

from __future__ import annotations

from typing import Any

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.metrics.chunks import Stored, encode_chunk
from crdt_sync.documents.metrics.metrics_document import Beside, MetricsDocument
from crdt_sync.documents.metrics.periods import MEASURED, note_folded, note_measured, read_measured
from crdt_sync.documents.metrics.retention import rejections
from crdt_sync.documents.roots import Draft
from crdt_sync.peer.measured import SlotForks
from crdt_sync.replica import Replica, Write
from tests.unit.documents.ledgers import CLOSED, END_MS, OPEN, YEAR, Ledger
from tests.unit.documents.replicas import NOW_MS, DocRoots


def faults(ledger: Ledger) -> set[tuple[str, str, str]]:
    return {(fault.root, fault.key, fault.reason) for fault in ledger.read().faults()}


def written(replica: Replica, *, restored: bool) -> MetricsDocument:
    """A collector that counts under one name; ``restored`` from a backup, it counts something else."""
    draft = Draft(replica)
    metrics = MetricsDocument(draft, wid="collector.1", clock=HybridClock(), now_ms=lambda: NOW_MS)
    metrics.count("sales", "till", by=5 if restored else 3)
    metrics.set_gauge("price", "shirt", 1 + restored)
    metrics.histogram("load", "x").record(1 + restored)
    metrics.distinct("visitors", "x").record(f"visitor {restored}")
    metrics.series("mentions", "AAPL").add(NOW_MS - 5, int(restored))
    replica.write([Write(*write) for write in draft.end()])
    return metrics


def test_slots_that_two_processes_have_written_under_one_name_are_listed() -> None:
    one, backup, reader = Replica(), Replica(), Replica()
    written(one, restored=False)
    written(backup, restored=True)
    for replica in (one, backup):
        assert not reader.merge(replica.since(reader.state)).gap
    metrics = MetricsDocument(
        Draft(reader), wid="r", clock=HybridClock(), now_ms=lambda: NOW_MS, beside=Beside(forks=SlotForks(reader))
    )
    assert [(fault.root, fault.reason) for fault in metrics.faults()] == [
        (root, "was written by two processes at once") for root in "cdghs"
    ]
    # One after the other is nothing to complain about: so does a peer that loads its file again.
    follower = Replica()
    assert not follower.merge(one.since({})).gap
    written(follower, restored=True)
    assert not SlotForks(follower).forked("c")


def test_samples_of_times_to_come_and_of_other_periods_are_listed_and_the_latter_count_for_nothing() -> None:
    ledger = Ledger("w")
    with ledger.edit() as metrics:
        metrics.series("mentions", "AAPL").add(NOW_MS, 1)
    page = ledger.documents[OPEN]
    page.put("s", "mentions/AAPL/page/1", encode_chunk([Stored(NOW_MS + 61_000, 7, 1)]))
    page.put("s", "mentions/AAPL/page/2", encode_chunk([Stored(END_MS - 1, 9, 1), Stored(END_MS, 2, 1)]))
    assert faults(ledger) == {
        ("s", "mentions/AAPL/page/1", "holds samples of a time that is still to come"),
        ("s", "mentions/AAPL/page/2", "holds samples of another period, which count for nothing"),
    }
    assert ledger.read().series("mentions", "AAPL").amount() == 1 + 7 + 2


def test_a_count_that_was_taken_back_after_its_period_was_closed_is_listed() -> None:
    ledger = Ledger("w")
    with ledger.edit(CLOSED) as metrics:
        metrics.count("sales", "till", by=5)
    with ledger.edit() as metrics:
        metrics.upkeep.close(CLOSED)
    ledger.documents[CLOSED].put("c", "sales/till/w/0", 4)
    assert faults(ledger) == {("c", "sales/till/w/0", "says less than it did when its period was closed")}
    assert ledger.read().counter("sales", "till") == 5
    assert ledger.read().upkeep.late() == []


def test_notes_that_can_not_be_read_are_listed_and_count_for_nothing() -> None:
    ledger = Ledger("w")
    notes: dict[str, Any] = {
        "2026-10": [1, 2, 3],
        "x": ["aaaaa", 1, 0, 0, 60],
        "2026-09": ["aaaaa", 1, -1, 0, 60],
    }
    for period, value in notes.items():
        ledger.documents[YEAR].put("folds", period, value)
    assert {(fault.root, fault.key) for fault in ledger.read().faults()} == {
        ("folds", period) for period in ("2026-10", "x", "2026-09")
    }
    assert ledger.read().folded == []


def test_the_catalog_notes_periods_years_and_what_is_folded_and_skips_the_rest() -> None:
    catalog = DocRoots()
    assert note_measured(catalog, "2026-11")
    assert not note_measured(catalog, "2026-11")
    assert note_folded(catalog, "2026-10-31", 7)
    assert not note_folded(catalog, "2026-10-31", 8)
    # Somebody who was away notes it again.
    note_measured(catalog, "2026-10-31")
    for key in ("2026-13", "x", "2026-11/other", "2026/folded"):
        catalog.put(MEASURED, key, 1)
    found = read_measured(catalog.entries(MEASURED))
    assert (found.periods, found.years, found.folded) == ({"2026-11", "2026-10-31"}, {"2026"}, {"2026-10-31": 7})
    assert found.to_follow == ["2026", "2026-11"]
    assert [fault.key for fault in found.faults] == ["2026-11/other", "2026-13", "2026/folded", "x"]
    assert Ledger("w", catalog=catalog).read().faults() == found.faults


def test_answers_that_no_relay_of_ours_gave_are_skipped() -> None:
    roots = DocRoots()
    answers: dict[str, Any] = {
        "s/a": 1,
        "s/a/b/w/1": "too_late",
        "x": [],
        "c/a/b/w/0": ["too_late", "x"],
        "": ["too_late", 1],
    }
    for key, value in {**answers, "s/a/b/%/1": ["too_late", 1, "aaaaa"], "g/a/b/w": ["too_late", 3, "aaaaa"]}.items():
        roots.put("rej", key, value)
    [found] = rejections(roots)
    assert (found.root, found.metric, found.entity, found.wid, found.bound, found.late) == ("g", "a", "b", "w", 3, 1)
