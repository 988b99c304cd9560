"""Metrics of peers over the ends of periods: batches over midnight, folds, late samples, what is noted and opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crdt_sync.documents.names import period_span_ms
from crdt_sync.errors import InvalidValue, PeriodClosed
from crdt_sync.peer import OfflinePeer

MIDNIGHT_MS = period_span_ms("2026-11")[0]
DAY_MS = 86_400_000


class Wall:
    """A clock on the wall."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def opened(path: Path, wall: Wall) -> AsyncIterator[OfflinePeer]:
    async with OfflinePeer.open(path, tenant="acme", name="collector", now_ms=wall) as peer:
        yield peer


async def test_a_batch_over_the_end_of_a_month_goes_into_two_documents_and_reads_as_one(tmp_path: Path) -> None:
    wall = Wall(MIDNIGHT_MS + 60_000)
    batch = [(MIDNIGHT_MS + minute * 60_000, minute) for minute in range(-30, 2)]
    async with opened(tmp_path / "c.db", wall) as peer:
        async with peer.edit() as docs:
            assert docs.metrics.series("mentions", "AAPL").extend(batch) == 32
        async with peer.edit() as docs:
            assert docs.metrics.series("mentions", "AAPL").extend(batch) == 0
            samples = docs.metrics.series("mentions", "AAPL").samples()
        assert [(one.at_ms, one.value) for one in samples] == batch
    # After a restart, long after: the catalog notes which documents there are.
    wall.now_ms += 40 * DAY_MS
    async with opened(tmp_path / "c.db", wall) as peer, peer.read() as docs:
        assert docs.metrics.series("mentions", "AAPL").samples() == samples
        assert sum(one.count for one in docs.metrics.rollup("mentions", "AAPL", width_s=86_400).buckets()) == 32
        assert docs.metrics.upkeep.periods().periods == {"2026-10", "2026-11"}
        assert docs.metrics.faults() == []


async def test_samples_of_a_period_that_is_not_open_are_refused_by_name_and_taken_when_it_is_named(
    tmp_path: Path,
) -> None:
    wall = Wall(MIDNIGHT_MS + 10 * DAY_MS)
    batch = [(MIDNIGHT_MS - 80 * DAY_MS, 1), (MIDNIGHT_MS + 1, 2)]
    async with opened(tmp_path / "c.db", wall) as peer:
        async with peer.edit() as docs:
            with pytest.raises(InvalidValue, match="2026-08"):
                docs.metrics.series("mentions", "AAPL").extend(batch)
        async with peer.edit(metrics=["2026-08"]) as docs:
            assert docs.metrics.series("mentions", "AAPL").extend(batch) == 2
        async with peer.read() as docs:
            assert len(docs.metrics.series("mentions", "AAPL").samples()) == 2
        async with peer.read(periods=["2026-08"]) as docs:
            assert len(docs.metrics.series("mentions", "AAPL").samples()) == 1


async def test_an_edit_that_writes_no_metrics_notes_no_period_of_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "c.db", Wall(MIDNIGHT_MS)) as peer:
        async with peer.edit() as docs:
            docs.inventory.add_product("tea")
        async with peer.read() as docs:
            assert docs.metrics.upkeep.periods().periods == set()


async def test_a_month_is_closed_folded_and_answered_in_ordinary_edits(tmp_path: Path) -> None:
    wall = Wall(MIDNIGHT_MS - DAY_MS)
    async with opened(tmp_path / "c.db", wall) as peer:
        async with peer.edit() as docs:
            docs.metrics.count("sales", "till", by=3)
            docs.metrics.series("mentions", "AAPL").add(wall.now_ms - 5, 7)
        wall.now_ms = MIDNIGHT_MS + 3 * DAY_MS
        async with peer.edit() as docs:
            docs.metrics.count("sales", "till", by=2)
        async with peer.read() as docs:
            assert docs.metrics.upkeep.due_to_close(4) == []
            assert docs.metrics.upkeep.due_to_close(3) == ["2026-10"]
        async with peer.edit() as docs:
            with pytest.raises(InvalidValue, match="metrics of 2026 are not open"):
                docs.metrics.upkeep.close("2026-10")
        async with peer.edit(metrics=["2026-10", "2026"]) as docs:
            assert docs.metrics.upkeep.close("2026-10") == 2
        async with peer.edit(metrics=["2026-10"]) as docs:
            with pytest.raises(PeriodClosed):
                docs.metrics.series("mentions", "AAPL").extend([(MIDNIGHT_MS + 5, 1), (MIDNIGHT_MS - 5, 2)])
            assert docs.metrics.series("mentions", "AAPL").latest(MIDNIGHT_MS + DAY_MS) is not None
        async with peer.read() as docs:
            assert docs.metrics.counter("sales", "till") == 5
            assert docs.metrics.folded == ["2026-10"]
            assert docs.metrics.upkeep.late() == []
            assert docs.metrics.upkeep.due_to_close(0) == []
            assert docs.metrics.upkeep.due_to_retire(None) == []
            assert docs.metrics.upkeep.due_to_retire(1) == []
        wall.now_ms += DAY_MS
        async with peer.read() as docs:
            assert docs.metrics.upkeep.due_to_retire(1) == ["2026-10"]
            assert [(one.at_ms, one.value) for one in docs.metrics.series("mentions", "AAPL").samples()] == [
                (MIDNIGHT_MS - DAY_MS - 5, 7)
            ]
