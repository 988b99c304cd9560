"""Token buckets: whatever the order of takes and times, no more comes through than the rate and one burst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web.buckets import Bucket

STEPS = st.lists(
    st.tuples(st.floats(0, 5, allow_nan=False), st.integers(1, 20)),
    max_size=60,
)


@given(STEPS, st.integers(1, 50), st.integers(1, 100))
def test_P32_who_waits_as_told_never_gets_more_than_the_rate_and_one_burst(
    steps: list[tuple[float, int]], rate: int, burst: int
) -> None:
    now_s, taken = 0.0, 0
    bucket = Bucket(rate, burst, now_s)
    for pause_s, amount in steps:
        now_s += pause_s
        now_s += bucket.take(amount, now_s)
        taken += amount
        assert taken <= burst + rate * now_s + 1e-6


@given(STEPS, st.integers(1, 50), st.integers(1, 100))
def test_P32_what_is_refused_takes_nothing_and_is_there_at_the_time_that_was_said(
    steps: list[tuple[float, int]], rate: int, burst: int
) -> None:
    now_s, taken = 0.0, 0
    bucket = Bucket(rate, burst, now_s)
    for pause_s, wanted in steps:
        amount = min(wanted, burst)
        now_s += pause_s
        wait_s = bucket.try_take(amount, now_s)
        if wait_s:
            assert bucket.try_take(amount, now_s) == pytest.approx(wait_s), "a refusal costs nothing"
            now_s += wait_s + 1e-6
            assert bucket.try_take(amount, now_s) == 0.0
        taken += amount
        assert taken <= burst + rate * now_s + 1e-3


def test_a_bucket_is_full_again_after_its_burst_and_never_fuller() -> None:
    bucket = Bucket(2, 10, 100.0)
    assert bucket.is_full(100.0)
    assert bucket.take(10, 100.0) == 0.0
    assert bucket.take(4, 100.0) == 2.0
    assert not bucket.is_full(106.9)
    assert bucket.is_full(107.0)
    assert bucket.try_take(10, 1_000.0) == 0.0
    assert bucket.try_take(1, 1_000.0) == 0.5


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(1, 1, 100.0)
    assert bucket.take(1, 100.0) == 0.0
    assert bucket.try_take(1, 50.0) == 1.0
    assert bucket.try_take(1, 100.5) == 0.5
    assert bucket.try_take(1, 101.0) == 0.0


def test_what_was_not_used_is_given_back_and_no_more() -> None:
    bucket = Bucket(1, 10, 0.0)
    assert bucket.take(8, 0.0) == 0.0
    bucket.give_back(5)
    assert bucket.try_take(7, 0.0) == 0.0
    bucket.give_back(1_000)
    assert bucket.try_take(10, 0.0) == 0.0
    assert bucket.try_take(1, 0.0) == 1.0
