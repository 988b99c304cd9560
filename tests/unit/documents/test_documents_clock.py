"""The hybrid clock's corners; that it is monotone is a law."""

import pytest

from crdt_sync.documents.clock import AHEAD_MS_MAX, EPOCH_MS, HybridClock, at_ms, is_ahead
from crdt_sync.documents.schema import stamp_of
from crdt_sync.errors import InvalidValue
from tests.unit.documents.replicas import NOW_MS, shop


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


def test_the_stamps_of_merged_changes_can_be_fed_to_the_clock() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 1, at="A")
        docs.metrics.set_gauge("likes", "tweet", 7)
    [movement] = replica.movements.entries("mv").values()
    [slot] = replica.metrics.entries("g").values()
    assert max(stamp_of("mv", movement) or 0, stamp_of("g", slot) or 0) == replica.clock.latest
    assert stamp_of("attr", "active") is stamp_of("mv", ["rcv"]) is stamp_of("g", []) is stamp_of("c", 3) is None
