"""Gauges and counters do not depend on the order in which updates come."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

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
                docs.metrics.count(*other, by=number)
                counted[other] += number
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
