"""The end of a period: what a fold says is what the documents said, and what came later is answered, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycrdt import Doc

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.metrics import retention
from crdt_sync.documents.metrics.account_metrics import AccountMetrics
from crdt_sync.documents.metrics.campaign_performance import CampaignPerformance, Slice
from crdt_sync.documents.metrics.chunks import decode_chunk
from crdt_sync.documents.metrics.folds import read_fold_notes
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.metrics.post_engagement import PostEngagement
from crdt_sync.documents.metrics.sketches import Histogram, Registers
from crdt_sync.errors import AlreadyExists
from tests.unit.documents.ledgers import CLOSED, END_MS, OPEN, START_MS, YEAR, Ledger
from tests.unit.documents.replicas import NOW_MS, DocRoots

HOUR_MS, DAY_S = 3_600_000, 86_400
ENTITIES = "a", "é/1"
EXAMPLES = 30
"""Each reads everything, of every kind, several times."""

ACTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["mentions", "account", "post", "campaign", "count", "gauge", "histogram", "distinct"]),
        st.sampled_from(ENTITIES),
        # Half-hours from ten days before the end of the month to as many after.
        st.integers(-480, 480),
        st.integers(0, 99),
    ),
    max_size=20,
)


def act(metrics: MetricsDocument, period: str, kind: str, entity: str, at_ms: int, value: int) -> None:
    """One thing that a collector does, at its own time."""
    if kind == "mentions":
        metrics.series("mentions", entity).extend([(at_ms, value), (at_ms + 60_000, value + 1)])
    elif kind == "account":
        AccountMetrics(metrics).record(entity, at_ms, followers=value, engagements=value * 2)
    elif kind == "post":
        PostEngagement(metrics).record(entity, at_ms, likes=value, reposts=value // 2, impressions=value * 9)
    elif kind == "campaign":
        CampaignPerformance(metrics).record(
            Slice(entity, "", "n"), at_ms, reach=value * 3, engagements=value, spend=Decimal(value) / 8
        )
    elif kind == "count":
        metrics.count("sales", entity, by=value + 1)
    elif kind == "gauge":
        metrics.set_gauge("price", entity, value / 4)
    elif kind == "histogram":
        metrics.histogram("load", entity).record(value)
    else:
        metrics.distinct("visitors", entity).record(f"{period} {value}")


def figures(metrics: MetricsDocument) -> dict[str, Any]:
    """Everything that there is to read, of every kind, over all time and over a stretch that cuts no day."""
    day = START_MS + 25 * 86_400_000
    campaigns = CampaignPerformance(metrics)
    return {
        "gauges": metrics.gauges(),
        "counters": metrics.counters(),
        "histograms": [metrics.histogram("load", entity).read().encode() for entity in ENTITIES],
        "distinct": [metrics.distinct("visitors", entity).read().encode() for entity in ENTITIES],
        "series": metrics.all_series(),
        "buckets": [
            metrics.rollup(metric, entity, width_s=width_s).buckets()
            for metric, entity in metrics.all_series()
            for width_s in (DAY_S, 7 * DAY_S)
        ],
        "accounts": [AccountMetrics(metrics).figures(one, start, NOW_MS) for one in ENTITIES for start in (0, day)],
        "posts": [PostEngagement(metrics).figures(one, before) for one in ENTITIES for before in (day, NOW_MS)],
        "all posts": PostEngagement(metrics).all_figures(),
        "campaigns": [campaigns.slices(), campaigns.slices(day, NOW_MS), campaigns.variants("a")],
        "latest": [metrics.series(*series).latest() is not None for series in metrics.all_series()],
    }  # fmt: skip


@settings(max_examples=EXAMPLES)
@example([(1, "account", "a", 3, 1), (1, "account", "a", 0, 0), (1, "account", "a", 3, 0)], [0, 1, 2])
@given(ACTS, st.permutations(range(3)))
def test_I11_the_fold_of_a_closed_period_and_the_open_one_equal_everything_in_one_document(
    acts: list[Any], order: list[int]
) -> None:
    """I12, too: ties of gauges are settled as they were before the fold."""
    ledgers = [Ledger(f"w{number}") for number in range(3)]
    plain = [Ledger(f"w{number}", documents={"": DocRoots()}) for number in range(3)]
    for step, (one, kind, entity, half_hour, value) in enumerate(acts):
        at_ms = END_MS + half_hour * HOUR_MS // 2 + one
        period = CLOSED if at_ms < END_MS else OPEN
        for ledger in (ledgers[one], plain[one]):
            # Some stamps are equal, so that the greater writer has to count, folded or not.
            ledger.now_ms = lambda step=step: NOW_MS + step // 3
        document = plain[one].documents[""]
        in_plain = MetricsDocument(document, wid=f"w{one}", clock=plain[one].clock, now_ms=plain[one].now_ms)
        try:
            act(in_plain, period, kind, entity, at_ms, value)
        except AlreadyExists:
            # Another value at a time that this writer has left behind; nothing was written.
            continue
        with ledgers[one].edit(period) as metrics:
            act(metrics, period, kind, entity, at_ms, value)
    reader, whole = Ledger("reader"), DocRoots()
    for number in order:
        reader.pull(ledgers[number])
        whole.pull(plain[number].documents[""])
    wanted = figures(MetricsDocument(whole, wid="reader", clock=HybridClock(), now_ms=lambda: NOW_MS))
    assert figures(reader.read()) == wanted
    with reader.edit() as metrics:
        assert CLOSED in metrics.upkeep.due_to_close(0) or not any(act[3] < 0 for act in acts)
        metrics.upkeep.close(CLOSED, width_s=DAY_S)
    with reader.edit() as metrics:
        assert metrics.upkeep.close(CLOSED, width_s=DAY_S) == 0
        assert metrics.upkeep.late() == []
        assert CLOSED not in metrics.upkeep.periods().to_follow
    assert reader.read().folded == [CLOSED]
    assert figures(reader.read()) == wanted
    # The document of the closed period is gone; what was folded stands for it.
    assert figures(reader.read(OPEN, YEAR)) == wanted
    assert reader.read().faults() == []


@dataclass
class World:
    """Writers and two stewards, of whom each sees what it happens to have."""

    peers: list[Ledger] = field(default_factory=lambda: [Ledger(f"w{number}") for number in range(5)])
    closings: dict[str, tuple[dict[Any, int], dict[str, Any]]] = field(default_factory=dict)
    """By name what was there when a steward closed the period, and what it read then."""

    def __post_init__(self) -> None:
        for number, peer in enumerate(self.peers):
            # Of two that write at once one wins in the one document, and the other in the other.
            peer.documents[CLOSED].doc = Doc(client_id=100 + number)
            peer.documents[YEAR].doc = Doc(client_id=200 - number)

    def act(self, step: int, one: int, kind: str, value: int, halves: bool) -> None:
        peer = self.peers[one]
        peer.now_ms = lambda: NOW_MS + step
        peers = self.peers[3:]

        def let_stewards_look() -> None:
            for steward in peers:
                steward.pull(peer)

        if peer.documents[CLOSED].get("meta", "closed") is not None:
            return
        with peer.edit(CLOSED, before_rest=let_stewards_look if halves else None) as metrics:
            if kind == "mentions":
                # Two and a half chunks at one stamp, and times that writers share.
                first = START_MS + value * HOUR_MS
                metrics.series("mentions", "a").extend(
                    [(first + at * 30_000, value + at) for at in range(value * 3 + 1)]
                )
            else:
                act(metrics, CLOSED, kind, "a", START_MS + value * HOUR_MS, value)

    def close(self, one: int) -> None:
        steward = self.peers[one]
        steward.now_ms = lambda: NOW_MS + one
        there = contents(steward.documents[CLOSED])
        is_news = not read_fold_notes(steward.documents[YEAR])[0]
        with steward.edit() as metrics:
            metrics.upkeep.close(CLOSED, width_s=DAY_S)
        if is_news:
            [note] = read_fold_notes(steward.documents[YEAR])[0].values()
            self.closings[note.closing] = there, figures(steward.read(OPEN, YEAR))

    def answer(self, one: int) -> int:
        with self.peers[one].edit() as metrics:
            answered: int = metrics.upkeep.answer_late()
        return answered

    def settle(self) -> None:
        """Everybody hears of everything, and the stewards see to it until there is nothing left to do."""
        for _ in range(4):
            for one in self.peers:
                for other in self.peers:
                    one.pull(other)
            self.answer(3)
            self.answer(4)
        for one in self.peers:
            for other in self.peers:
                one.pull(other)


def contents(document: DocRoots) -> dict[Any, int]:
    """By slot how much there is, sample by sample, read off the bytes and not by the code under test."""
    counts: Mapping[str, Any] = document.entries("c")
    gauges: Mapping[str, Any] = document.entries("g")

    def held(root: str, key: str) -> bytes:
        value: Any = document.get(root, key)
        return bytes(value)

    found: dict[Any, int] = {f"c/{key}": int(value) for key, value in counts.items()}
    found |= {f"g/{key}": int(value[0]) for key, value in gauges.items()}
    found |= {f"h/{key}": Histogram.decode(held("h", key)).count for key in document.keys("h")}
    found |= {f"d/{key}": sum(map(int, Registers.decode(held("d", key)).ranks)) for key in document.keys("d")}
    for key in document.keys("s"):
        for sample in decode_chunk(held("s", key)).samples():
            found[f"s/{key}", sample] = True
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("act"),
            st.integers(0, 2),
            st.sampled_from(["mentions", "mentions", "count", "gauge", "histogram", "distinct", "account"]),
            st.integers(0, 60),
            st.booleans(),
        ),
        st.tuples(st.just("pull"), st.integers(0, 4), st.integers(0, 4)),
        st.tuples(st.just("close"), st.integers(3, 4)),
        st.tuples(st.just("answer"), st.integers(3, 4)),
    ),
    max_size=25,
)


@settings(max_examples=EXAMPLES)
@given(STEPS)
def test_I11_what_comes_into_a_closed_period_is_counted_or_answered_never_neither_and_never_both(
    steps: list[Any],
) -> None:
    world = World()
    for number, (kind, *rest) in enumerate(steps):
        if kind == "act":
            world.act(number, *rest)
        elif kind == "pull":
            world.peers[rest[0]].pull(world.peers[rest[1]])
        elif kind == "close":
            world.close(*rest)
        else:
            world.answer(*rest)
    world.close(3)
    world.settle()
    reader = world.peers[0]
    [note] = read_fold_notes(reader.documents[YEAR])[0].values()
    counted, read_then = world.closings[note.closing]
    everything = contents(reader.documents[CLOSED])
    # The totals are those of the closing that counts, whatever came since, with the closed document and without it.
    assert figures(reader.read(OPEN, YEAR)) == read_then
    assert {**figures(reader.read()), "accounts": 0} == {**read_then, "accounts": 0}
    rejections = {f"{one.root}/{one.key}": one for one in reader.read(CLOSED).rejections()}
    for slot, value in everything.items():
        if isinstance(slot, tuple):
            where, sample = slot
            is_answered = where in rejections and sample.stamp > rejections[where].bound
            assert is_answered != (slot in counted), slot
        else:
            answered = rejections[slot].bound if slot in rejections else value
            assert answered == counted.get(slot, 0), slot
            assert (slot in rejections) == (value > counted.get(slot, 0))
    # Everybody reads the same, and nothing is left to be answered.
    assert all(figures(peer.read(OPEN, YEAR)) == read_then for peer in world.peers)
    assert all(peer.read(CLOSED).rejections() == reader.read(CLOSED).rejections() for peer in world.peers)
    assert [world.answer(one) for one in (3, 4)] == [0, 0]
    late = {(one.root, one.key): len(reader.read(CLOSED).late_samples(one)) for one in rejections.values()}
    assert late == {(one.root, one.key): one.late if one.root == "s" else 0 for one in rejections.values()}


@settings(max_examples=EXAMPLES)
@given(STEPS, st.randoms(use_true_random=False))
def test_a_fold_that_has_not_arrived_as_a_whole_does_not_count(steps: list[Any], random: Any) -> None:
    world = World()
    for number, (kind, *rest) in enumerate(steps):
        if kind == "act":
            world.act(number, *rest)
    steward, reader = world.peers[3], Ledger("reader")
    for writer in world.peers[:3]:
        steward.pull(writer)
    wanted = figures(steward.read())
    world.close(3)
    reader.documents[CLOSED].pull(steward.documents[CLOSED])
    year = steward.documents[YEAR]
    entries = [(root, key) for root in ("g", "c", "h", "d", "r", "folds") for key in year.keys(root)]
    random.shuffle(entries)
    for root, key in entries:
        assert figures(reader.read()) == wanted
        value: Any = year.get(root, key)
        reader.documents[YEAR].put(root, key, bytes(value) if isinstance(value, bytearray) else value)
    assert figures(reader.read()) == wanted
    assert reader.read().folded == [CLOSED]


@settings(max_examples=EXAMPLES)
@given(STEPS)
def test_two_stewards_that_fold_the_same_document_write_the_same(steps: list[Any]) -> None:
    world = World()
    for number, (kind, *rest) in enumerate(steps):
        if kind == "act":
            world.act(number, *rest)
    for steward in world.peers[3:]:
        for writer in world.peers[:3]:
            steward.pull(writer)
    years = []
    for steward in world.peers[3:]:
        year = DocRoots()
        retention.close(steward.documents[CLOSED], CLOSED, year, width_s=DAY_S, closed=steward.clock.tick(NOW_MS))
        years.append(year)
    one, two = years
    # All but the stamps of the closings.
    assert all(one.entries(root) == two.entries(root) for root in "gcr")
    assert all(
        {key: one.get(root, key) for key in one.keys(root)} == {key: two.get(root, key) for key in two.keys(root)}
        for root in "hd"
    )
    closings: list[Mapping[str, Any]] = [year.entries("folds") for year in years]
    assert [value[0] for value in closings[0].values()] == [value[0] for value in closings[1].values()]
