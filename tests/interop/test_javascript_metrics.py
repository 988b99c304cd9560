"""Metrics that a page writes and reads with the JavaScript package are those of Python, chunks to the byte."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdt_sync.documents.keys import to_base36
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.errors import DocumentError
from tests.interop.javascript_face import Node, camel, open_node
from tests.interop.node_clients import need_node
from tests.unit.documents.replicas import NOW_MS, PERIOD, Replica

pytestmark = pytest.mark.interop
PAGE = "web.1"
WRITER = f"{PAGE}.{to_base36(NOW_MS)}"
ROOTS = ("g", "c", "s", "h", "d")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    need_node()
    with open_node() as process:
        yield process


class Act(NamedTuple):
    """Of a metrics document, or, with a method, of a series, histogram or distinct count in it."""

    kind: str
    names: tuple[str, str]
    arguments: tuple[Any, ...]
    method: str | None = None
    options: Mapping[str, Any] = MappingProxyType({})

    def in_python(self, face: MetricsDocument) -> None:
        of = getattr(face, self.kind)
        if self.method is None:
            of(*self.names, *self.arguments)
        else:
            getattr(of(*self.names, **self.options), self.method)(*self.arguments)

    def in_javascript(self) -> list[Any]:
        if self.method is None:
            return ["metrics", camel(self.kind), *self.names, *self.arguments]
        return ["sketch", self.kind, [*self.names, dict(self.options)], camel(self.method), *plain(self.arguments)]


class Twin:
    """A page, and Python in its place: the same writer's name, the same clock, the same documents."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.python = Replica(PAGE)
        node.result(PAGE, "open", {"replica": PAGE, "period": PERIOD, "nowMs": NOW_MS})

    def face(self, draft: Draft) -> MetricsDocument:
        replica = self.python
        return MetricsDocument(draft, wid=WRITER, clock=replica.clock, now_ms=replica.now_ms, period=PERIOD)

    def act(self, act: Act) -> None:
        """One act of both, who must write the same or refuse with the same code."""
        draft = Draft(self.python.metrics)
        expected = None
        try:
            act.in_python(self.face(draft))
        except DocumentError as error:
            expected = error.code
        else:
            self.python.metrics.apply(draft)
        answer = self._node.ask(PAGE, *act.in_javascript())
        assert answer.get("code") == expected, (act, answer, expected)

    def check(self) -> None:
        """Every entry is the same, byte strings to the byte."""
        for root in ROOTS:
            for key in self.python.metrics.keys(root):
                held = self.python.metrics.get(root, key)
                if isinstance(held, bytes):
                    written = base64.b64decode(self._node.result(PAGE, "bytes", "metrics", root, key))
                    assert written == held, f"{root} {key}"
        update = base64.b64decode(self._node.result(PAGE, "update", "metrics"))
        other = Replica()
        other.metrics.doc.apply_update(update)
        for root in ROOTS:
            assert set(other.metrics.keys(root)) == set(self.python.metrics.keys(root))
            if root in "gc":
                assert other.metrics.entries(root) == self.python.metrics.entries(root)

    def close(self) -> None:
        self._node.result(PAGE, "close")


def plain(argument: Any) -> Any:
    """As the page gets it: an exact decimal is a text there."""
    if isinstance(argument, (list, tuple)):
        return [plain(item) for item in argument]
    return str(argument) if isinstance(argument, Decimal) else argument


WORD = st.sampled_from(["m", "m", "e/é", "🧦"])
NAMES = st.tuples(WORD, WORD) | st.tuples(st.sampled_from(["", "\ud800", "x" * 190]), WORD)
TIMES = st.one_of(
    st.integers(NOW_MS - 200, NOW_MS), st.integers(NOW_MS - 9_000_000, NOW_MS + 70_000), st.sampled_from([0, -1, 1.5])
)
NUMBERS = st.one_of(
    st.integers(-1000, 1000),
    st.decimals(-100, 100, places=2),
    st.sampled_from([0.1, 1e-9, 2**53 - 1, 1.005, Decimal("1E+2")]),
)
SAMPLES = st.lists(st.tuples(TIMES, NUMBERS), max_size=12)
GOOD_SAMPLES = st.lists(st.tuples(st.integers(NOW_MS - 400, NOW_MS), st.integers(0, 9)), min_size=90, max_size=150)
VALUES = st.lists(st.floats(1e-20, 1e17) | st.integers(0, 50) | st.sampled_from([-1, 1e18]), max_size=9)


def acts(kind: str, *arguments: Any, method: str | None = None, **options: Any) -> st.SearchStrategy[Act]:
    return st.builds(Act, st.just(kind), NAMES, st.tuples(*arguments), st.just(method), st.fixed_dictionaries(options))


ACTS = st.one_of(
    acts("set_gauge", st.integers(-9, 9) | st.floats(-9, 9)),
    acts("observe", st.integers(-1, 9)),
    acts("count", st.integers(0, 9)),
    acts("count_to", st.integers(-1, 20)),
    acts("series", SAMPLES, method="extend", decimals=st.sampled_from([0, 1, 2, 2, 10])),
    acts("series", GOOD_SAMPLES, method="extend", decimals=st.just(0)),
    acts("histogram", VALUES, method="record_all"),
    acts("distinct", st.lists(st.text(max_size=4), max_size=9), method="record_all"),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.lists(ACTS, max_size=12))
def test_a_page_writes_the_very_entries_that_python_writes(node: Node, steps: list[Act]) -> None:
    twin = Twin(node)
    try:
        for step in steps:
            twin.act(step)
        twin.check()
    finally:
        twin.close()


def test_a_page_leaves_a_chunk_behind_when_python_does(node: Node) -> None:
    twin = Twin(node)
    for number in range(40):
        samples = [(NOW_MS - 90 + 2 * number, number)]
        if number % 9 == 8:
            samples.append((NOW_MS - 90 + 2 * number - 4, 100 + number))
        twin.act(Act("series", ("m", "e"), (samples,), "extend"))
    twin.check()
    twin.close()


def test_a_page_reads_what_several_writers_have_sampled_counted_and_rolled_up(node: Node) -> None:
    writers = [Replica(f"w{number}") for number in range(3)]
    start = NOW_MS - 40_000_000
    for number, writer in enumerate(writers):
        with writer.edit() as docs:
            series = docs.metrics.series("m", "e/é", decimals=number)
            series.extend([(start + 60_000 * at, at % 7 + number) for at in range(300)])
            docs.metrics.histogram("m", "e").record_all([0, 0.001, 5, 5e9, number])
            docs.metrics.distinct("m", "e").record_all([f"{text + number * 500}" for text in range(1_000)])
            docs.metrics.count("sales", "till", by=number + 1)
            docs.metrics.set_gauge("likes", "tweet", number)
        with writer.edit() as docs:
            docs.metrics.rollup("m", "e/é", width_s=60).roll()
            docs.metrics.rollup("m", "e/é", width_s=3600).roll()
        if number == 1:
            with writer.edit() as docs:
                docs.metrics.rollup("m", "e/é", width_s=60).discard()
    for other in writers[1:]:
        writers[0].pull(other)
    update = base64.b64encode(writers[0].metrics.doc.get_update()).decode()
    node.result(PAGE, "open", {"replica": PAGE, "period": PERIOD, "nowMs": NOW_MS})
    node.result(PAGE, "merge", "metrics", update)
    with writers[0].edit() as docs:
        for width_s in (60, 3600, 86_400):
            buckets = node.result(PAGE, "metrics", "buckets", "m", "e/e\u0301", {"widthS": width_s})
            assert [
                [b["startMs"], b["count"], b["sum"], b["low"], b["high"], b["last"], b["lastMs"]] for b in buckets
            ] == [
                [b.start_ms, b.count, float(b.sum), float(b.low), float(b.high), float(b.last), b.last_ms]
                for b in docs.metrics.rollup("m", "e/é", width_s=width_s).buckets()
            ]
        with pytest.raises(DocumentError) as refused:
            docs.metrics.rollup("m", "e/é", width_s=7).buckets()
        answer = node.ask(PAGE, "metrics", "buckets", "m", "e/é", {"widthS": 7})
        assert answer["code"] == refused.value.code == "invalid-value"
        samples = node.result(PAGE, "sketch", "series", ["m", "e/é"], "samples", start, start + 9_000_000)
        assert [(one["at"], one["value"], one["writer"]) for one in samples] == [
            (one.at_ms, float(one.value), one.wid)
            for one in docs.metrics.series("m", "e/é").samples(start, start + 9_000_000)
        ]
        histogram = docs.metrics.histogram("m", "e").read()
        seen = node.result(PAGE, "sketch", "histogram", ["m", "e"], "read")
        assert {int(bucket): hits for bucket, hits in seen["buckets"].items()} == dict(histogram.buckets)
        assert (seen["zeros"], seen["count"]) == (histogram.zeros, histogram.count)
        distinct = node.result(PAGE, "sketch", "distinct", ["m", "e"], "read")
        assert distinct["estimate"] == docs.metrics.distinct("m", "e").read().estimate()
    assert node.result(PAGE, "metrics", "counter", "sales", "till") == 6
    assert node.result(PAGE, "metrics", "gauge", "likes", "tweet") == 2
    node.result(PAGE, "close")
