"""Collectors, a relay and a month that ends: what is late is told to whoever wrote it, and newcomers read the fold."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crdt_sync.documents.names import period_span_ms
from crdt_sync.errors import PeriodClosed
from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import RelayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIDNIGHT_MS = period_span_ms("2026-11")[0]
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@asynccontextmanager
async def opened(relay: RelayProcess, folder: Path, name: str, now_ms: int) -> AsyncIterator[OfflinePeer]:
    async with OfflinePeer.open(
        folder / f"{name}.db", tenant="acme", name=name, relay=relay.ws, token=relay.token(), now_ms=lambda: now_ms
    ) as peer:
        yield peer


async def collect(peer: OfflinePeer, *hours: int, likes: int) -> None:
    async with peer.edit() as docs:
        samples = [(MIDNIGHT_MS + hour * HOUR_MS, likes) for hour in hours]
        docs.metrics.series("mentions", "AAPL").extend(samples)
        docs.metrics.count("calls", "api", by=likes)


async def test_a_month_is_folded_and_what_comes_later_is_answered_to_its_writer(tmp_path: Path) -> None:
    before, after = MIDNIGHT_MS - HOUR_MS // 2, MIDNIGHT_MS + 3 * DAY_MS
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        async with (
            opened(relay, tmp_path, "collector-1", before) as one,
            opened(relay, tmp_path, "collector-2", before) as two,
        ):
            await collect(one, -30, -3, likes=5)
            await collect(two, -30, -2, likes=7)
            await one.sync()
            await two.sync()
            # This one loses its network, and goes on.
            await collect(two, -1, likes=4)
            async with opened(relay, tmp_path, "steward", after) as steward:
                await steward.sync()
                async with steward.edit(metrics=["2026-10", "2026"]) as docs:
                    assert docs.metrics.upkeep.due_to_close(2) == ["2026-10"]
                    docs.metrics.upkeep.close("2026-10")
                await steward.sync()
                await two.sync()
                await steward.sync()
                async with steward.read() as docs:
                    assert docs.metrics.upkeep.late() == ["2026-10"]
                async with steward.edit(metrics=["2026-10", "2026"]) as docs:
                    assert docs.metrics.upkeep.answer_late() == 2
                await steward.sync()
            await two.sync()
            async with two.read() as docs:
                count, samples = docs.metrics.rejections()
                assert (count.root, count.bound, count.late) == ("c", 7, 4)
                assert [(sample.at_ms, sample.value) for sample in docs.metrics.late_samples(samples)] == [
                    (MIDNIGHT_MS - HOUR_MS, 4)
                ]
                assert docs.metrics.counter("calls", "api") == 12
            async with two.edit() as docs:
                with pytest.raises(PeriodClosed):
                    docs.metrics.series("mentions", "AAPL").add(MIDNIGHT_MS - HOUR_MS - 1, 4)
        async with opened(relay, tmp_path, "newcomer", after) as newcomer:
            await newcomer.sync()
            async with newcomer.read() as docs:
                assert docs.metrics.folded == ["2026-10"]
                assert docs.metrics.counter("calls", "api") == 12
                days = docs.metrics.rollup("mentions", "AAPL", width_s=86_400).buckets()
                assert [(day.count, day.sum) for day in days] == [(1, 7), (2, 12)]
                assert docs.metrics.series("mentions", "AAPL").samples() == []
                assert docs.metrics.series("mentions", "AAPL").amount() == 19
