"""Gauges and counters."""

import pytest

from crdt_sync.documents.metrics.gauges import read_gauges
from crdt_sync.documents.roots import Value
from crdt_sync.errors import InvalidName, InvalidValue, PeriodClosed, QuantityOutOfRange, SchemaTooNew
from tests.unit.documents.replicas import NOW_MS, Replica


def pair() -> tuple[Replica, Replica]:
    return Replica("w1"), Replica("w2")


def read(replica: Replica, metric: str = "likes", entity: str = "tweet 17") -> float | None:
    with replica.edit() as docs:
        return docs.metrics.gauge(metric, entity)


def test_the_latest_statement_of_a_gauge_counts() -> None:
    one, two = pair()
    for replica, number, now_ms in ((one, 10, NOW_MS), (two, 12.5, NOW_MS + 1)):
        replica.now_ms = lambda now_ms=now_ms: now_ms  # type: ignore[misc]
        with replica.edit() as docs:
            docs.metrics.set_gauge("likes", "tweet 17", number)
    one.pull(two)
    two.pull(one)
    assert read(one) == read(two) == 12.5
    assert set(one.metrics.entries("g")) == {"likes/tweet%2017/w1", "likes/tweet%2017/w2"}


def test_a_writer_whose_clock_lags_still_replaces_a_number_that_it_can_see() -> None:
    one, two = pair()
    with one.edit() as docs:
        docs.metrics.set_gauge("likes", "tweet 17", 10)
    two.pull(one)
    two.now_ms = lambda: NOW_MS - 50_000
    with two.edit() as docs:
        docs.metrics.set_gauge("likes", "tweet 17", 11)
        assert docs.metrics.gauge("likes", "tweet 17") == 11


def test_equal_stamps_are_settled_by_the_writer() -> None:
    one, two = pair()
    for replica, number in ((one, 10), (two, 3)):
        with replica.edit() as docs:
            docs.metrics.set_gauge("likes", "tweet 17", number)
    one.pull(two)
    two.pull(one)
    assert read(one) == read(two) == 3


def test_a_total_is_the_sum_over_writers() -> None:
    one, two = pair()
    for replica in (one, two):
        with replica.edit() as docs:
            docs.metrics.count("sales", "till", by=2)
            docs.metrics.count("sales", "till")
    one.pull(two)
    with one.edit() as docs:
        assert docs.metrics.counter("sales", "till") == 6
        assert docs.metrics.counter("sales", "other") == 0
        assert docs.metrics.counters() == {("sales", "till"): 6}
        assert docs.metrics.gauges() == {}


@pytest.mark.parametrize("number", [True, None, "1", float("nan"), float("inf"), 2**53])
def test_a_gauge_that_not_every_peer_reads_back_is_refused(number: object) -> None:
    replica = Replica()
    with replica.edit() as docs, pytest.raises(InvalidValue):
        docs.metrics.set_gauge("likes", "tweet", number)  # type: ignore[arg-type]
    assert replica.metrics.entries("g") == {}


@pytest.mark.parametrize("by", [0, -1, 1.0, True, 2**53])
def test_a_counter_only_grows_by_whole_numbers(by: object) -> None:
    replica = Replica()
    with replica.edit() as docs, pytest.raises(QuantityOutOfRange):
        docs.metrics.count("sales", "till", by=by)  # type: ignore[arg-type]
    assert replica.metrics.entries("c") == {}


def test_a_counter_stops_before_it_would_become_inexact() -> None:
    replica = Replica()
    with replica.edit() as docs:
        docs.metrics.count("sales", "till", by=2**53 - 1)
        with pytest.raises(QuantityOutOfRange):
            docs.metrics.count("sales", "till")
        assert docs.metrics.counter("sales", "till") == 2**53 - 1


def test_names_that_no_key_can_hold_are_refused() -> None:
    replica = Replica()
    with replica.edit() as docs:
        for metric, entity in (("", "x"), ("x", ""), ("x", "\ud800"), ("x", "y" * 200)):
            with pytest.raises(InvalidName):
                docs.metrics.count(metric, entity)
            with pytest.raises(InvalidName):
                docs.metrics.set_gauge(metric, entity, 1)


def test_a_closed_or_later_document_takes_no_metrics() -> None:
    for field, value, error in (("closed", 1, PeriodClosed), ("minWriter", 2, SchemaTooNew)):
        replica = Replica()
        replica.metrics.put("meta", field, value)
        with replica.edit() as docs:
            with pytest.raises(error):
                docs.metrics.count("sales", "till")
            with pytest.raises(error):
                docs.metrics.set_gauge("likes", "tweet", 1)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_gauge_that_is_no_finite_number_is_skipped_and_reported(number: float) -> None:
    fold = read_gauges({"a/b/1": [7, number], "a/b/2": [6, 3]})
    assert fold.latest == {("a", "b"): (6, "a/b/2", 3)}
    assert [fault.key for fault in fold.faults] == ["a/b/1"]


def test_a_second_gauge_of_one_edit_reads_the_others_no_more() -> None:
    replica = Replica()
    with replica.edit() as docs:
        docs.metrics.set_gauge("likes", "tweet", 1)
        docs.metrics.set_gauge("likes", "tweet", 2)
        assert docs.metrics.gauge("likes", "tweet") == 2
    assert replica.clock.latest % 4096 == 1


def test_what_a_foreign_page_wrote_wrong_is_skipped_and_reported() -> None:
    replica = Replica()
    stamp = replica.clock.tick(NOW_MS)
    slots: dict[str, Value] = {
        "a/b": [stamp, 1],
        "a/b/1": 7,
        "a/b/2": [stamp],
        "a/b/3": ["x", 1],
        "a/b/4": [stamp, "x"],
    }
    for key, value in slots.items():
        replica.metrics.put("g", key, value)
    counts: dict[str, Value] = {"a/b/c": 1, "a/b/c/0": -1, "a/b/c/1": 1.5, "a/b/c/2": "1", "a/b/c/3": 4}
    for key, value in counts.items():
        replica.metrics.put("c", key, value)
    replica.metrics.put("g", "a/b/ahead", [stamp + 61_000 * 4096, 9])
    with replica.edit() as docs:
        assert docs.metrics.counters() == {("a", "b"): 4}
        assert docs.metrics.gauges() == {("a", "b"): 9}
        keys = [fault.key for fault in docs.metrics.faults()]
    # The first says that the one metric is both counted and stated.
    assert keys[:5] == ["a/b", "a/b/c", "a/b/c/0", "a/b/c/1", "a/b/c/2"]
    assert keys[5:] == ["a/b", "a/b/1", "a/b/2", "a/b/3", "a/b/4", "a/b/ahead"]
