"""The hybrid clock's corners; that it is monotone is a law."""

import pytest

from crdt_sync.documents.clock import AHEAD_MS_MAX, EPOCH_MS, HybridClock, at_ms, is_ahead
from crdt_sync.errors import InvalidValue
from tests.unit.documents.replicas import NOW_MS


def test_a_stamp_carries_the_wall_clock() -> None:
    stamp = HybridClock().tick(NOW_MS)
    assert stamp == (NOW_MS - EPOCH_MS) * 4096
    assert at_ms(stamp) == NOW_MS


def test_more_than_4096_stamps_in_one_millisecond_run_over_into_the_next() -> None:
    clock = HybridClock()
    stamps = [clock.tick(NOW_MS) for _ in range(5000)]
    assert len(set(stamps)) == 5000
    assert at_ms(stamps[-1]) == NOW_MS + 1


def test_a_stamp_from_a_clock_over_60_s_ahead_is_not_adopted() -> None:
    clock = HybridClock()
    edge = HybridClock().tick(NOW_MS + AHEAD_MS_MAX)
    assert clock.receive(edge, NOW_MS)
    far = HybridClock().tick(NOW_MS + AHEAD_MS_MAX + 1)
    assert is_ahead(far, NOW_MS)
    assert not clock.receive(far, NOW_MS)
    assert clock.latest == edge


def test_a_machine_whose_clock_is_set_beyond_2089_is_told() -> None:
    with pytest.raises(InvalidValue, match="clock"):
        HybridClock().tick(3_800_000_000_000)
