"""I11: whoever rolls up, whoever discards, in whatever order it meets: the totals stay those of the raw samples."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from crdt_sync.documents.metrics.chunks import Stored, encode_chunk
from crdt_sync.documents.metrics.metrics_document import Beside, MetricsDocument
from crdt_sync.documents.metrics.retention import answer_late, close
from crdt_sync.documents.metrics.rollups import Bucket, Row, Total, join_totals, read_rows, row_key, row_value
from crdt_sync.errors import InvalidValue
from tests.laws import test_documents_series as series_laws
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica

SERIES = "m", "e"
START_MS = (NOW_MS - 900_000_000) // 86_400_000 * 86_400_000
WIDTHS = 60, 3_600, 86_400

Plain = dict[int, tuple[int, int, int, int]]


def plain(samples: dict[tuple[str, int], int], width_s: int) -> Plain:
    """Count, sum, low and high of each bucket, straight from what was added."""
    values: defaultdict[int, list[int]] = defaultdict(list)
    for (_, at_ms), value in samples.items():
        values[at_ms // (width_s * 1000) * width_s * 1000].append(value)
    return {start: (len(found), sum(found), min(found), max(found)) for start, found in values.items()}


def read(replica: Replica, width_s: int) -> list[Bucket]:
    with replica.edit() as docs:
        return docs.metrics.rollup(*SERIES, width_s=width_s).buckets()


def table(buckets: list[Bucket]) -> Plain:
    return {one.start_ms: (one.count, int(one.sum), int(one.low), int(one.high)) for one in buckets}


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2), st.integers(1, 150), st.integers(-9, 9)),
        st.tuples(st.just("roll"), st.integers(0, 3), st.sampled_from(WIDTHS), st.none()),
        st.tuples(st.just("discard"), st.integers(0, 3), st.none(), st.none()),
        st.tuples(st.just("pull"), st.integers(0, 3), st.integers(0, 3), st.none()),
    ),
    max_size=25,
)


@given(ACTS, st.permutations(range(4)))
@example([("add", 0, 92, 1), ("roll", 0, 3600, None), ("discard", 0, None, None), ("roll", 0, 60, None)], [0, 1, 2, 3])
@example(
    # One rolls up finely while the other rolls up coarsely and lets go of more.
    [
        ("add", 0, 150, 1),
        ("pull", 1, 0, None),
        ("roll", 1, 60, None),
        ("add", 0, 150, 1),
        ("roll", 0, 3600, None),
        ("discard", 0, None, None),
        ("pull", 1, 0, None),
        ("discard", 1, None, None),
    ],
    [1, 0, 2, 3],
)
def test_I11_rollups_at_once_and_deletions_in_any_order_keep_the_raw_totals(acts: list[Any], order: list[int]) -> None:
    peers = [Replica(f"w{number}") for number in range(4)]
    added: dict[tuple[str, int], int] = {}
    counts = [0, 0, 0]
    for kind, one, what, step in acts:
        peer = peers[one]
        if kind == "pull":
            peer.pull(peers[what])
            continue
        with peer.edit() as docs:
            if kind == "add":
                samples = [
                    (START_MS + one + (counts[one] + number) * 40_000, (number + 1) * step) for number in range(what)
                ]
                counts[one] += what
                docs.metrics.series(*SERIES).extend(samples)
                added.update({(peer.rid, at_ms): value for at_ms, value in samples})
            elif kind == "roll":
                roll(docs.metrics, what)
            else:
                docs.metrics.rollup(*SERIES, width_s=60).discard()
    for sequence in (order, order[::-1]):
        reader = Replica("reader", metrics=DocRoots())
        for number in sequence:
            reader.pull(peers[number])
        _check(reader, added)


def roll(metrics: MetricsDocument, width_s: int) -> int:
    """Refused for a width that is finer than all that is left of samples that were let go; never for the widest."""
    try:
        return metrics.rollup(*SERIES, width_s=width_s).roll()
    except InvalidValue as error:
        if width_s == max(WIDTHS) or "let go" not in str(error):
            raise
        return 0


def _check(reader: Replica, added: dict[tuple[str, int], int]) -> None:
    with reader.edit() as docs:
        assert docs.metrics.faults() == []
    readable = [width_s for width_s in WIDTHS if _agrees(reader, added, width_s)]
    assert max(WIDTHS) in readable
    # Rolling up and letting go again, now that everything is known, still changes no total.
    for width_s in readable:
        with reader.edit() as docs:
            roll(docs.metrics, width_s)
        with reader.edit() as docs:
            assert roll(docs.metrics, width_s) == 0
            docs.metrics.rollup(*SERIES, width_s=width_s).discard()
        assert _agrees(reader, added, width_s)
    assert _agrees(reader, added, max(WIDTHS))


def _agrees(reader: Replica, added: dict[tuple[str, int], int], width_s: int) -> bool:
    """Whether the buckets can be read; then they must equal the plain computation."""
    try:
        buckets = read(reader, width_s)
    except InvalidValue:
        return False
    assert table(buckets) == plain(added, width_s)
    return True


NUMBERS = st.integers(-(10**20), 10**20)


@st.composite
def totals(draw: st.DrawFn) -> Total:
    count = draw(st.integers(1, 99))
    low, last, high = sorted(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    total = draw(st.integers(low * count, high * count))
    return Total(count, total, low, high, draw(st.integers(0, 10**13)), last, draw(st.integers(0, 9)))


@given(totals(), totals(), totals())
def test_totals_join_in_any_order(one: Total, two: Total, three: Total) -> None:
    assert join_totals(one, two) == join_totals(two, one)
    assert join_totals(join_totals(one, two), three) == join_totals(one, join_totals(two, three))


@given(totals(), st.integers(1, 10**6), st.integers(1, 10**6), st.integers(-99, 10**9))
def test_a_row_comes_back_from_its_entry(total: Total, upto: int, width_s: int, number: int) -> None:
    roots = DocRoots()
    roots.put("r", row_key(("м/1", "e"), width_s, number, "w%201", "x"), row_value(Row(upto, total)))
    fold = read_rows(roots.entries("r"))
    assert fold.rows == {("м/1", "e"): {"w%201": {width_s: {number: Row(upto, total)}}}}
    assert fold.faults == []


CHUNK_BYTES = series_laws.SAMPLES.map(lambda samples: encode_chunk(samples[:3]))
ROW_VALUES = st.lists(st.integers(-3, 9) | st.text("-0123456789", max_size=3) | st.none(), min_size=6, max_size=9)
GARBAGE = st.lists(
    st.tuples(
        st.sampled_from("gchdsr"),
        st.lists(st.sampled_from(["m", "e", "1", "2s0.1", "1.-1", "w", "0", "%", ""]), min_size=1, max_size=6).map(
            "/".join
        ),
        CHUNK_BYTES | st.binary(max_size=9) | ROW_VALUES | st.none() | st.floats() | st.text(max_size=3),
    ),
    max_size=25,
)


@given(GARBAGE)
def test_nothing_that_a_foreign_page_writes_stops_a_read(garbage: list[tuple[str, str, Any]]) -> None:
    replica = Replica("reader")
    for root, key, value in garbage:
        replica.metrics.put(root, key, value)
    with replica.edit() as docs:
        metrics = docs.metrics
        metrics.faults()
        metrics.counters()
        metrics.gauges()
        for metric, entity in {*metrics.all_series(), SERIES}:
            metrics.all_samples(metric)
            metrics.series(metric, entity).samples()
            metrics.histogram(metric, entity).read().quantile(0.5)
            metrics.distinct(metric, entity).read().estimate()
            for width_s in (1, 3_600):
                _buckets_or_refused(metrics, metric, entity, width_s)
    year = DocRoots()
    close(replica.metrics, "2026-11", year, width_s=86_400, closed=1)
    replica.metrics.put("s", "m/e/w/9", encode_chunk([Stored(START_MS, 1, 2)]))
    answer_late(replica.metrics, "2026-11", year)
    reader = MetricsDocument(
        replica.metrics, wid="w", clock=replica.clock, now_ms=replica.now_ms, period="2026-11",
        beside=Beside({"2026": year}),
    )  # fmt: skip
    for metric, entity in {*reader.all_series(), SERIES}:
        reader.series(metric, entity).points()
        _buckets_or_refused(reader, metric, entity, 86_400)
    reader.rejections()
    reader.faults()


def _buckets_or_refused(metrics: MetricsDocument, metric: str, entity: str, width_s: int) -> None:
    try:
        metrics.rollup(metric, entity, width_s=width_s).buckets()
    except InvalidValue as error:
        if "let go" not in str(error):
            raise
