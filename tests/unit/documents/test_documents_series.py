"""Time series, rollups and the end of a period."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crdt_sync.documents.metrics.chunks import Stored, decode_chunk, encode_chunk
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.metrics.retention import close
from crdt_sync.documents.metrics.sketches import Histogram, Registers
from crdt_sync.documents.names import period_of
from crdt_sync.documents.roots import Value
from crdt_sync.errors import AlreadyExists, InvalidName, InvalidValue, PeriodClosed, SchemaTooNew
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica
from tests.unit.documents.test_documents_over_replicas import Till

HOUR_MS = 3_600_000
START_MS = NOW_MS // HOUR_MS * HOUR_MS - 48 * HOUR_MS


def minutes(count: int, *, start_ms: int = START_MS, step: int = 1) -> list[tuple[int, int]]:
    return [(start_ms + number * 60_000, number * step) for number in range(count)]


def add(replica: Replica, samples: list[tuple[int, int]], entity: str = "AAPL") -> int:
    with replica.edit() as docs:
        return docs.metrics.series("mentions", entity).extend(samples)


def read(replica: Replica, entity: str = "AAPL") -> list[tuple[int, int | Decimal]]:
    with replica.edit() as docs:
        return [(sample.at_ms, sample.value) for sample in docs.metrics.series("mentions", entity).samples()]


def chunks_of(replica: Replica) -> dict[str, int]:
    return {key: decode_chunk(bytes(replica.metrics.get("s", key))).outline.count for key in replica.metrics.keys("s")}  # type: ignore[arg-type]


def test_two_writers_over_real_replicas_read_one_series() -> None:
    one, two = Till("till-1"), Till("till-2")
    one.metrics.series("mentions", "Å/1", decimals=2).extend([(START_MS, 12.25), (START_MS + 1, Decimal("-0.5"))])
    two.metrics.series("mentions", "Å/1").add(START_MS + 2, 7)
    two.metrics.histogram("load", "x").record_all([1, 2.5, 0])
    two.metrics.distinct("visitors", "x").record_all(["a", "b", "a"])
    for till in (one, two):
        till.finish_edit()
    one.pull(two)
    two.pull(one)
    for till in (one, two):
        samples = till.metrics.series("mentions", "Å/1").samples()
        assert [(one.at_ms - START_MS, one.value, one.wid) for one in samples] == [
            (0, Decimal("12.25"), "till-1"),
            (1, Decimal("-0.50"), "till-1"),
            (2, 7, "till-2"),
        ]
        assert till.metrics.all_series() == [("mentions", "Å/1")]
        assert till.metrics.all_samples("mentions") == {"Å/1": samples}
        assert till.metrics.histogram("load", "x").read().count == 3
        assert till.metrics.distinct("visitors", "x").read().estimate() == 2
        assert till.metrics.faults() == []


def test_samples_of_one_edit_fill_chunks_of_an_hour_or_of_120() -> None:
    replica = Replica("w")
    add(replica, minutes(150))
    assert chunks_of(replica) == {"mentions/AAPL/w/1": 61, "mentions/AAPL/w/2": 61, "mentions/AAPL/w/3": 28}
    other = Replica("w")
    add(other, [(START_MS + number * 1_000, number) for number in range(250)])
    assert sorted(chunks_of(other).values()) == [10, 120, 120]


def test_single_samples_go_into_the_open_chunk_until_it_was_written_sixteen_times() -> None:
    replica = Replica("w")
    for at_ms, value in minutes(70):
        assert add(replica, [(at_ms, value)]) == 1
    assert chunks_of(replica) == {f"mentions/AAPL/w/{number}": 16 for number in range(1, 5)} | {"mentions/AAPL/w/5": 6}
    assert read(replica) == minutes(70)


def test_a_sample_in_a_chunk_that_was_written_often_can_still_be_corrected_there() -> None:
    replica = Replica("w")
    for at_ms, value in minutes(16):
        add(replica, [(at_ms, value)])
    assert add(replica, [(START_MS, 99)]) == 1
    assert chunks_of(replica) == {"mentions/AAPL/w/1": 16}
    assert add(replica, minutes(17)[16:]) == 1
    with pytest.raises(AlreadyExists):
        add(replica, [(START_MS, 5)])
    assert read(replica) == [(START_MS, 99), *minutes(17)[1:]]


def test_a_sample_is_not_corrected_with_other_decimals() -> None:
    replica = Replica("w")
    add(replica, [(START_MS, 1)])
    with replica.edit() as docs, pytest.raises(AlreadyExists):
        docs.metrics.series("mentions", "AAPL", decimals=1).add(START_MS, 1.5)
    assert read(replica) == [(START_MS, 1)]


def test_a_batch_that_is_repeated_changes_nothing_not_even_after_a_restart() -> None:
    metrics = DocRoots()
    replicas = [Replica("w.1", metrics=metrics), Replica("w.1", metrics=metrics), Replica("w.2", metrics=metrics)]
    assert [add(replica, minutes(100)) for replica in replicas] == [100, 0, 0]
    assert {key.split("/")[2] for key in metrics.keys("s")} == {"w.1"}
    assert read(replicas[2]) == minutes(100)


def test_a_sample_of_another_writer_can_be_corrected_by_a_lagging_clock() -> None:
    one, two = Replica("w1"), Replica("w2", now_ms=lambda: NOW_MS - 50_000)
    add(one, [(START_MS, 1)])
    two.pull(one)
    assert add(two, [(START_MS, 2)]) == 1
    one.pull(two)
    assert read(one) == read(two) == [(START_MS, 2)]


def test_late_samples_find_their_place() -> None:
    replica = Replica("w")
    add(replica, minutes(100)[50:])
    add(replica, minutes(100)[:50])
    assert read(replica) == minutes(100)
    add(replica, [(START_MS + 70 * 60_000 + 1, -1)])
    assert (START_MS + 70 * 60_000 + 1, -1) in read(replica)


def test_a_writer_does_not_change_what_it_has_left_behind() -> None:
    replica = Replica("w")
    add(replica, minutes(100))
    with replica.edit() as docs:
        with pytest.raises(AlreadyExists):
            docs.metrics.series("mentions", "AAPL").extend([(START_MS + 1, 5), (START_MS, 99)])
        assert docs.metrics.series("mentions", "AAPL").extend([(START_MS + 99 * 60_000, 0)]) == 1
    assert len(read(replica)) == 100


@pytest.mark.parametrize(
    ("at_ms", "value"),
    [
        (NOW_MS + 60_001, 1),
        (-1, 1),
        (1.0, 1),
        (True, 1),
        (START_MS, float("nan")),
        (START_MS, float("inf")),
        (START_MS, 1.5),
        (START_MS, True),
        (START_MS, "1"),
        (START_MS, 2**53),
        (START_MS, Decimal("0.1")),
    ],
)
def test_a_batch_with_one_bad_sample_is_refused_as_a_whole(at_ms: int, value: float) -> None:
    replica = Replica()
    with replica.edit() as docs, pytest.raises(InvalidValue):
        docs.metrics.series("mentions", "AAPL").extend([(START_MS, 1), (at_ms, value)])
    assert list(replica.metrics.keys("s")) == []
    assert replica.clock.latest == 0


def test_names_and_widths_that_can_not_be_are_refused_before_anything_is_added() -> None:
    replica = Replica()
    with replica.edit() as docs:
        for metric, entity in (("", "x"), ("x", ""), ("x", "\ud800"), ("x", "y" * 190)):
            with pytest.raises(InvalidName):
                docs.metrics.series(metric, entity)
        for decimals in (-1, 10, 1.0, True):
            with pytest.raises(InvalidValue):
                docs.metrics.series("x", "y", decimals=decimals)  # type: ignore[arg-type]
        for width_s in (0, -1, 1.5, True):
            with pytest.raises(InvalidValue):
                docs.metrics.rollup("x", "y", width_s=width_s)  # type: ignore[arg-type]


def test_samples_of_another_period_are_refused_where_the_period_is_known() -> None:
    roots = DocRoots()
    replica = Replica()
    for period in (period_of(START_MS), "2026-11-21"):
        metrics = MetricsDocument(roots, wid="w", clock=replica.clock, now_ms=lambda: NOW_MS, period=period)
        with pytest.raises(InvalidValue, match="are not open in this edit"):
            metrics.series("m", "e").add(START_MS - 40 * 24 * HOUR_MS, 1)
    assert list(roots.keys("s")) == []


def test_a_closed_or_later_document_takes_no_samples() -> None:
    for field, value, error in (("closed", 1, PeriodClosed), ("minWriter", 2, SchemaTooNew)):
        replica = Replica()
        replica.metrics.put("meta", field, value)
        with replica.edit() as docs:
            for write in (
                lambda metrics: metrics.series("m", "e").add(START_MS, 1),
                lambda metrics: metrics.rollup("m", "e", width_s=60).roll(),
                lambda metrics: metrics.rollup("m", "e", width_s=60).discard(),
                lambda metrics: metrics.histogram("m", "e").record(1),
                lambda metrics: metrics.distinct("m", "e").record("x"),
                lambda metrics: metrics.count_to("m", "e", 1),
                lambda metrics: metrics.observe("m", "e", 1),
            ):
                with pytest.raises(error):
                    write(docs.metrics)


def test_buckets_are_the_same_before_and_after_rolling_up_and_letting_go() -> None:
    replica = Replica("w")
    add(replica, minutes(300, step=3))
    with replica.edit() as docs:
        rollup = docs.metrics.rollup("mentions", "AAPL", width_s=3600)
        before = rollup.buckets()
        assert rollup.roll() == 5
        with pytest.raises(InvalidValue, match="later one"):
            rollup.discard()
    with replica.edit() as docs:
        rollup = docs.metrics.rollup("mentions", "AAPL", width_s=3600)
        assert rollup.buckets() == before
        assert rollup.roll() == 0
        assert rollup.discard() == 4
        assert rollup.discard() == 0
    with replica.edit() as docs:
        assert docs.metrics.rollup("mentions", "AAPL", width_s=3600).buckets() == before
        assert sum(one.count for one in before) == 300
        assert [one.sum for one in docs.metrics.rollup("mentions", "AAPL", width_s=86400).buckets()] != []
        with pytest.raises(InvalidValue, match="let go"):
            docs.metrics.rollup("mentions", "AAPL", width_s=60).buckets()
        assert docs.metrics.faults() == []
    # The writer goes on in a chunk of its own, whatever was let go.
    add(replica, minutes(400, step=3)[300:])
    with replica.edit() as docs:
        assert sum(one.count for one in docs.metrics.rollup("mentions", "AAPL", width_s=3600).buckets()) == 400


def test_samples_stay_until_every_width_has_rolled_them_up() -> None:
    replica = Replica("w")
    add(replica, minutes(130))
    with replica.edit() as docs:
        assert docs.metrics.rollup("mentions", "AAPL", width_s=60).roll() == 122
    add(replica, minutes(250)[130:])
    with replica.edit() as docs:
        docs.metrics.rollup("mentions", "AAPL", width_s=3600).roll()
    with replica.edit() as docs:
        assert docs.metrics.rollup("mentions", "AAPL", width_s=3600).discard() == 2
        assert [one.count for one in docs.metrics.rollup("mentions", "AAPL", width_s=60).buckets()] == [1] * 250


def test_rows_with_decimals_and_beyond_53_bits_come_back() -> None:
    replica = Replica("w")
    with replica.edit() as docs:
        series = docs.metrics.series("spend", "x", decimals=2)
        series.extend([(START_MS + number * HOUR_MS, Decimal("90071992547409.91")) for number in range(4)])
    for _ in range(2):
        with replica.edit() as docs:
            rollup = docs.metrics.rollup("spend", "x", width_s=86400 * 7)
            assert sum(one.sum for one in rollup.buckets()) == 4 * Decimal("90071992547409.91")
            rollup.roll()
    [row] = replica.metrics.entries("r").values()
    assert row[2] == str(2 * 9007199254740991)  # type: ignore[index]


def test_what_a_foreign_page_wrote_wrong_is_skipped_and_reported() -> None:
    replica = Replica("w")
    add(replica, minutes(130))
    with replica.edit() as docs:
        docs.metrics.rollup("mentions", "AAPL", width_s=3600).roll()
    good = encode_chunk([Stored(START_MS, 5, 7)])
    garbage: list[tuple[str, str, Value]] = [
        ("s", "mentions/AAPL/w", good),
        ("s", "mentions/AAPL/x/0", good),
        ("s", "mentions/AAPL/x/01", good),
        ("s", "mentions/AAPL/x/1", "text"),
        ("s", "mentions/AAPL/x/2", [1, 2]),
        ("s", "mentions/AAPL/x/3", good[:-1]),
        ("s", "mentions/AAPL/x/4", b"\x02" + good[1:]),
        ("s", "mentions/AAPL/x/5", b""),
        ("s", "mentions/AAPL/x/6", None),
        (
            "s",
            "mentions/AAPL/y/1",
            encode_chunk([Stored(START_MS + 1, 5, (NOW_MS + 61_000 - 1_577_836_800_000) * 4096)]),
        ),
        ("r", "mentions/AAPL/2s0.1/w", [1, 1, 1, 1, 1, 1, 1]),
        ("r", "mentions/AAPL/2s0.-0/w/x", [1, 1, 1, 1, 1, 1, 1]),
        ("r", "mentions/AAPL/2s0.1/w/x", [1, 1, 1, 1, 1, 1]),
        ("r", "mentions/AAPL/2s0.2/w/x", [1, 1, 9, 1, 1, 1, 1]),
        ("r", "mentions/AAPL/2s0.3/w/x", [1, 1, "x", 1, 1, 1, 1]),
        ("r", "mentions/AAPL/2s0.4/w/x", "row"),
        ("r", "mentions/AAPL/2s0.5/w/x", [99, 1, 1, 1, 1, 1, 1]),
        ("s", f"{'m' * 250}/e/w/1", good),
        ("r", f"{'m' * 250}/e/2s0.1/w/x", [1, 1, 1, 1, 1, 1, 1]),
        ("h", f"{'m' * 250}/e/w/0", Histogram().encode()),
        ("d", f"{'m' * 250}/e/w", Registers().encode()),
        ("h", "m/e/w", b""),
        ("h", "m/e/w/0", b"\x01\x01"),
        ("h", "m/e/w/1", [1]),
        ("d", "m/e/w/0", b""),
        ("d", "m/e/w", b"\x01\x0c\x01"),
    ]
    for root, key, value in garbage:
        replica.metrics.put(root, key, value)
    with replica.edit() as docs:
        metrics = docs.metrics
        assert len(metrics.series("mentions", "AAPL").samples()) == 131
        assert sum(one.count for one in metrics.rollup("mentions", "AAPL", width_s=3600).buckets()) == 131
        assert metrics.histogram("m", "e").read().count == 0
        assert metrics.distinct("m", "e").read().estimate() == 0
        assert metrics.all_series() == [("mentions", "AAPL")]
        faults = {(fault.root, fault.key) for fault in metrics.faults()}
        with pytest.raises(InvalidValue, match="overwritten"):
            metrics.distinct("m", "e").record("x")
    assert close(replica.metrics, "2026-11", DocRoots(), width_s=3600, closed=1) > 0
    reported = {(root, key) for root, key, _ in garbage} - {("r", "mentions/AAPL/2s0.5/w/x")}
    assert faults == reported | {("r", "mentions/AAPL/2s0.5/w/*")}
