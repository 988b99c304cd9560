"""Gauges and counters do not depend on the order in which updates come."""

from collections import Counter
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.documents.metrics import history, metrics_document
from crdt_sync.documents.metrics.gauges import GaugeFold
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica

NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SERIES = st.sampled_from([("likes", "tweet 17"), ("likes", "тви́т/18"), ("views", "tweet 17")])
ACTS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 2), SERIES, NUMBERS, st.integers(-50_000, 50_000)),
    st.tuples(st.just("count"), st.integers(0, 2), SERIES, st.integers(1, 10**9), st.integers(-50_000, 50_000)),
    st.tuples(st.just("pull"), st.integers(0, 2), st.integers(0, 2), st.none(), st.none()),
)


def read(replica: Replica) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], int]]:
    with replica.edit() as docs:
        assert docs.metrics.faults() == []
        return docs.metrics.gauges(), docs.metrics.counters()


@given(st.lists(ACTS, max_size=15), st.permutations(range(3)))
def test_every_order_of_syncs_gives_the_same_numbers(acts: list[tuple], order: list[int]) -> None:
    writers = [Replica(f"w{number}") for number in range(3)]
    counted: Counter[tuple[str, str]] = Counter()
    for kind, writer, other, number, skew_ms in acts:
        if kind == "pull":
            writers[writer].pull(writers[other])
            continue
        writers[writer].now_ms = lambda skew_ms=skew_ms: NOW_MS + skew_ms
        with writers[writer].edit() as docs:
            if kind == "count":
                metric, entity = other
                docs.metrics.count(f"{metric} counted", entity, by=number)
                counted[f"{metric} counted", entity] += number
            else:
                docs.metrics.set_gauge(*other, number)
                # What a writer has just stated, it also reads, unless it can see a stamp from the far future.
                stamps = [int(slot[0]) for slot in docs.metrics._roots.entries("g").values()]
                assert docs.metrics.gauge(*other) == number or max(stamps) > writers[writer].clock.latest
    results = []
    for sequence in (order, order[::-1]):
        reader = Replica("reader", metrics=DocRoots(), now_ms=lambda: NOW_MS)
        for number in sequence:
            reader.pull(writers[number])
        results.append(read(reader))
    assert results[0] == results[1]
    assert results[0][1] == dict(counted)


@given(st.lists(st.integers(1, 100), max_size=10), st.integers(0, 10))
def test_a_writer_that_starts_anew_under_a_new_name_goes_on_counting(steps: list[int], restart: int) -> None:
    metrics = DocRoots()
    for number, step in enumerate(steps):
        replica = Replica("till.0" if number < restart else "till.1", metrics=metrics)
        with replica.edit() as docs:
            docs.metrics.count("sales", "till", by=step)
    with Replica(metrics=metrics).edit() as docs:
        assert docs.metrics.counter("sales", "till") == sum(steps)


@given(
    st.lists(st.tuples(st.integers(0, 2), NUMBERS, st.integers(-25_000, 25_000), st.booleans()), max_size=12),
    st.permutations(range(3)),
)
def test_I12_a_writers_stamps_rise_and_every_reader_picks_the_same_slot(acts: list[tuple], order: list[int]) -> None:
    """Whatever the clocks say, within the 60 s in which stamps are adopted; ties go to the greater writer."""
    writers = [Replica(f"w{number}") for number in range(3)]
    slots: dict[str, tuple[int, str, float]] = {}
    for one, number, skew_ms, pulls in acts:
        writer = writers[one]
        if pulls:
            writer.pull(writers[(one + 1) % 3])
        writer.now_ms = lambda skew_ms=skew_ms: NOW_MS + skew_ms
        with writer.edit() as docs:
            docs.metrics.set_gauge("m", "e", number)
            assert docs.metrics.gauge("m", "e") == number
        stamp = writer.clock.latest
        assert stamp > slots.get(writer.rid, (0, "", 0))[0]
        slots[writer.rid] = stamp, writer.rid, number
    for sequence in (order, order[::-1]):
        reader = Replica("reader", metrics=DocRoots())
        for number in sequence:
            reader.pull(writers[number])
        with reader.edit() as docs:
            assert docs.metrics.gauge("m", "e") == (max(slots.values())[2] if slots else None)


def test_I12_kills_a_reader_that_lets_chance_break_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    def latest_as_it_comes(entries: Mapping[str, Any], **_: bool) -> GaugeFold:
        fold = GaugeFold()
        for key, (stamp, number) in entries.items():
            metric, entity, _writer = key.split("/")
            series = metric, entity
            if stamp >= fold.latest.get(series, (0, "", 0))[0]:
                fold.latest[series] = stamp, key, number
        return fold

    for module in (history, metrics_document):
        if hasattr(module, "read_gauges"):
            monkeypatch.setattr(module, "read_gauges", latest_as_it_comes)
    law = test_I12_a_writers_stamps_rise_and_every_reader_picks_the_same_slot.hypothesis.inner_test  # type: ignore[attr-defined]
    at_once = [(number, number, 0, False) for number in (2, 0, 1)]
    with pytest.raises(AssertionError):
        _ = [law(at_once, list(order)) for order in permutations(range(3))]
