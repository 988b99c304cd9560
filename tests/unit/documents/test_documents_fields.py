"""The three kinds of the field, meters and observed totals, and what sketches refuse."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from crdt_sync.documents.metrics.account_metrics import AccountMetrics
from crdt_sync.documents.metrics.campaign_performance import CampaignFigures, CampaignPerformance, Slice, lift
from crdt_sync.documents.metrics.derived import ratio, rounded
from crdt_sync.documents.metrics.post_engagement import PostEngagement, PostFigures
from crdt_sync.documents.metrics.sketches import Histogram, Registers
from crdt_sync.errors import InvalidName, InvalidValue, QuantityOutOfRange, WrongKind
from tests.unit.documents.replicas import NOW_MS, Replica

DAY_MS = 86_400_000
START_MS = NOW_MS - 10 * DAY_MS


def test_an_account_grows_from_its_last_figures_before_a_stretch_to_its_last_within() -> None:
    one, two = Replica("w1"), Replica("w2")
    for replica in (one, two):
        # Both collectors look the same account up; each time counts once.
        with replica.edit() as docs:
            accounts = AccountMetrics(docs.metrics)
            accounts.record("@a/ж", START_MS - 1, followers=1_000, posts=10, engagements=500)
            accounts.record("@a/ж", START_MS + DAY_MS, followers=990, posts=13, engagements=599)
    one.pull(two)
    with one.edit() as docs:
        accounts = AccountMetrics(docs.metrics)
        figures = accounts.figures("@a/ж", START_MS, START_MS + 2 * DAY_MS)
        assert (figures.followers, figures.following, figures.posts) == (990, None, 13)
        assert (figures.delta_followers, figures.delta_posts, figures.delta_engagements) == (-10, 3, 99)
        assert figures.engagement_rate == Decimal("0.1")
        within = accounts.figures("@a/ж", START_MS - 2, START_MS + 2 * DAY_MS)
        assert within.delta_followers == -10
        nothing = accounts.figures("other", START_MS, START_MS + DAY_MS)
        assert (nothing.followers, nothing.delta_followers, nothing.engagement_rate) == (None, None, None)


def test_a_post_is_read_as_it_was_last_seen() -> None:
    replica = Replica()
    with replica.edit() as docs:
        posts = PostEngagement(docs.metrics)
        assert posts.record("17", START_MS, likes=50, reposts=30, replies=20) == 3
        assert posts.record("17", START_MS, likes=50, reposts=30, replies=20) == 0
        posts.record("17", START_MS + 1, likes=60, impressions=2_000)
        posts.record("18", START_MS, replies=0)
    with replica.edit() as docs:
        posts = PostEngagement(docs.metrics)
        figures = posts.figures("17")
        assert figures == PostFigures(60, 30, 20, 2_000)
        assert (figures.engagements, figures.engagement_rate, figures.virality) == (
            110,
            Decimal("0.055"),
            Decimal("0.272727"),
        )
        assert posts.figures("17", START_MS + 1).engagement_rate is None
        assert posts.all_figures() == {"17": figures, "18": PostFigures(None, None, 0, None)}
        assert posts.figures("18").virality is None


def test_a_campaign_adds_up_by_variant_and_region() -> None:
    replica = Replica()
    with replica.edit() as docs:
        campaigns = CampaignPerformance(docs.metrics)
        for week in range(3):
            at_ms = START_MS + week * DAY_MS
            campaigns.record(Slice("spring|1", "A", "Köln"), at_ms, reach=1_000, engagements=40, spend=10.5, revenue=21)
            campaigns.record(Slice("spring|1", "B"), at_ms, reach=1_000, engagements=50, spend=Decimal("0.0001"))
        campaigns.record(Slice("autumn"), START_MS, spend=1)
    with replica.edit() as docs:
        campaigns = CampaignPerformance(docs.metrics)
        a = CampaignFigures(3_000, 120, Decimal("31.5"), Decimal(63))
        b = CampaignFigures(3_000, 150, Decimal("0.0003"), Decimal(0))
        assert campaigns.variants("spring|1") == {"A": a, "B": b}
        assert campaigns.campaign("spring|1") == a.plus(b)
        assert set(campaigns.slices()) == {Slice("spring|1", "A", "Köln"), Slice("spring|1", "B"), Slice("autumn")}
        assert campaigns.variants("spring|1", START_MS + DAY_MS)["A"].reach == 2_000
        assert (a.engagement_rate, a.roi, a.quality_score) == (Decimal("0.04"), Decimal(1), Decimal("0.9"))
        assert (b.roi, b.quality_score) == (Decimal(-1), Decimal("0.5"))
        assert lift(b, a) == Decimal("0.25")
        empty = CampaignFigures()
        assert (empty.roi, empty.engagement_rate, empty.quality_score, lift(a, empty)) == (None, None, None, None)


def test_a_record_with_one_bad_field_is_refused_as_a_whole() -> None:
    replica = Replica()
    with replica.edit() as docs:
        accounts, posts, campaigns = (
            AccountMetrics(docs.metrics),
            PostEngagement(docs.metrics),
            CampaignPerformance(docs.metrics),
        )
        for bad in (-1, 1.5, True, 2**53, "1"):
            with pytest.raises(QuantityOutOfRange):
                accounts.record("a", START_MS, followers=1, posts=bad)  # type: ignore[arg-type]
            with pytest.raises(QuantityOutOfRange):
                posts.record("a", START_MS, likes=1, replies=bad)  # type: ignore[arg-type]
            with pytest.raises(QuantityOutOfRange):
                campaigns.record(Slice("a"), START_MS, spend=1, reach=bad)  # type: ignore[arg-type]
        for money in (-0.01, 0.00001, float("nan"), True):
            with pytest.raises(InvalidValue):
                campaigns.record(Slice("a"), START_MS, reach=1, spend=money)
        with pytest.raises(InvalidValue, match="future"):
            posts.record("a", NOW_MS + DAY_MS, likes=1)
        with pytest.raises(InvalidName):
            campaigns.record(Slice(""), START_MS, reach=1)
        with pytest.raises(InvalidName):
            # Fits into the key of "post.likes", not into that of "post.impressions".
            posts.record("x" * 175, START_MS, likes=1, impressions=1)
    assert list(replica.metrics.keys("s")) == []


def test_slices_that_are_none_are_not_read() -> None:
    for entity in ("", "|a", "a|", "a|b|c|d", "a|%", "a b"):
        assert Slice.parse(entity) is None
    for what in (Slice("a"), Slice("a", "", "c"), Slice("ä|1", "b/2", "ö")):
        assert Slice.parse(what.entity) == what


def test_derived_figures_are_rounded_half_to_even() -> None:
    assert ratio(1, 3) == Decimal("0.333333")
    assert rounded(Fraction(25, 10**7)) == Decimal("0.000002")
    assert rounded(Fraction(35, 10**7)) == Decimal("0.000004")
    assert ratio(-(10**40), 1) == Decimal(-(10**40))


def test_a_meter_that_was_reset_goes_on_in_a_new_generation() -> None:
    replica = Replica("w")
    for reading in (5, 9, 9, 3, 4, 0, 0):
        with replica.edit() as docs:
            docs.metrics.count_to("bytes sent", "eth0", reading)
    assert dict(replica.metrics.entries("c")) == {"bytes%20sent/eth0/w/0": 9, "bytes%20sent/eth0/w/1": 4} | {
        "bytes%20sent/eth0/w/2": 0
    }
    with replica.edit() as docs:
        assert docs.metrics.counter("bytes sent", "eth0") == 13
        for bad in (-1, 1.0, True, 2**53):
            with pytest.raises(QuantityOutOfRange):
                docs.metrics.count_to("bytes sent", "eth0", bad)  # type: ignore[arg-type]


def test_an_observed_total_is_never_added_up_and_never_mixed_with_a_count() -> None:
    one, two = Replica("w1"), Replica("w2")
    for replica, total in ((one, 100), (two, 101)):
        with replica.edit() as docs:
            docs.metrics.observe("likes", "tweet", total)
    one.pull(two)
    with one.edit() as docs:
        assert docs.metrics.gauge("likes", "tweet") == 101
        assert docs.metrics.counter("likes", "tweet") == 0
        docs.metrics.count("sales", "till")
        with pytest.raises(WrongKind):
            docs.metrics.observe("sales", "till", 1)
        # What the other one could not see when it counted is reported.
        assert docs.metrics.faults() == []
        docs.metrics.count("likes", "tweet")
        assert [fault.key for fault in docs.metrics.faults()] == ["likes/tweet"]
        for bad in (-1, 1.5, True, float("nan")):
            with pytest.raises(QuantityOutOfRange):
                docs.metrics.observe("likes", "tweet", bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "1", None, 1e300])
def test_a_histogram_refuses_what_has_no_bucket_and_then_records_nothing(value: object) -> None:
    replica = Replica()
    with replica.edit() as docs:
        histogram = docs.metrics.histogram("load", "x")
        with pytest.raises(InvalidValue):
            histogram.record_all([1, value])  # type: ignore[list-item]
        for times in (0, -1, 1.5, True, 2**53):
            with pytest.raises(InvalidValue):
                histogram.record(1, times)  # type: ignore[arg-type]
        assert histogram.read().quantile(0.5) is None
        with pytest.raises(InvalidValue):
            histogram.read().quantile(1.1)
    assert list(replica.metrics.keys("h")) == []


def test_a_distinct_count_takes_texts_only_in_one_spelling() -> None:
    replica = Replica()
    with replica.edit() as docs:
        distinct = docs.metrics.distinct("visitors", "x")
        for text in (1, None, b"x", "\ud800"):
            with pytest.raises(InvalidValue):
                distinct.record_all(["a", text])  # type: ignore[list-item]
        distinct.record_all(["caf\u00e9", "cafe\u0301"])
        assert distinct.read().estimate() == 1


def test_estimates_stay_within_five_percent_up_to_100000() -> None:
    registers = Registers()
    for number in range(100_000):
        registers.record(f"visitor {number}")
        if number + 1 in (10, 100, 1_000, 10_000, 100_000):
            assert abs(registers.estimate() - number - 1) <= (number + 1) * 0.05
    assert len(registers.encode()) == 4_099


def test_zeros_and_tiny_values_have_a_bucket_of_their_own() -> None:
    histogram = Histogram()
    for value in (0, 1e-30, 5, 6.1e17):
        histogram.record(value)
    assert (histogram.zeros, histogram.count, histogram.quantile(0)) == (2, 4, 0.0)
    assert Histogram.decode(histogram.encode()) == histogram
