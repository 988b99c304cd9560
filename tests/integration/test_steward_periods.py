"""The relay's steward at the end of a period: it folds, moves on what came too late, answers, and drops."""

from __future__ import annotations

from pathlib import Path

from crdt_sync.replica import Write
from tests.integration.relay_process import eventually
from tests.integration.stewards import becomes, open_shop, relay_with_steward, till

OVER = "2026-01"
"""A month that ended long ago."""


async def test_a_period_that_is_over_is_folded_and_what_came_too_late_moves_on(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "lost") as lost,
    ):
        await open_shop(one)
        await lost.sync()
        for peer, sold in ((one, 1), (lost, 2)):
            async with peer.edit(period=OVER) as docs:
                docs.inventory.sell("tea", sold, at="shop")
        async with one.edit() as docs:
            docs.inventory.set_rule("periods/grace", 0)
        async with one.online():
            await becomes(one, lambda inventory: inventory.books.folded(), lambda found: found == [OVER])
            async with one.read() as docs:
                assert docs.inventory.stock("tea", "shop") == 3
            await lost.sync()
            await becomes(one, lambda inventory: inventory.stock("tea", "shop"), lambda units: units == 1)
        assert await relay.meter('steward_failures_total{duty="fold-periods"}') == 0
        assert await relay.meter('steward_failures_total{duty="rehome-late"}') == 0


async def test_metrics_that_are_over_are_folded_and_dropped_when_nobody_wants_them_longer(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path) as relay, till(relay, tmp_path, "till-1") as one:
        await open_shop(one)
        async with one.edit(period=OVER) as docs:
            docs.metrics.count("sales", "shop", by=3)
        async with one.edit() as docs:
            docs.inventory.set_rule("periods/grace", 0)
            docs.inventory.set_rule("metrics/keep", 0)

        async def ended() -> tuple[str, ...]:
            return one.status().ended

        async with one.online():
            (note,) = await eventually(ended, bool)
            assert note.startswith(f"metrics/{OVER}: ")
            async with one.read() as docs:
                assert docs.metrics.counter("sales", "shop") == 3
        assert "document retired" in relay.log


async def test_who_counts_into_metrics_that_are_folded_is_told_that_it_came_too_late(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "lost") as lost,
    ):
        await open_shop(one)
        await lost.sync()
        for peer in (one, lost):
            async with peer.edit(period=OVER) as docs:
                docs.metrics.count("sales", "shop", by=3)
        async with one.edit() as docs:
            docs.inventory.set_rule("periods/grace", 0)

        async def folded() -> list[str]:
            async with one.read() as docs:
                return docs.metrics.folded

        async def told() -> list[tuple[str, str]]:
            async with lost.read() as docs:
                return [(rejection.metric, rejection.reason) for rejection in docs.metrics.rejections()]

        async with one.online():
            assert await eventually(folded, bool) == [OVER]
        async with lost.online():
            assert await eventually(told, bool) == [("sales", "too_late")]
        assert await relay.meter('steward_failures_total{duty="answer-late"}') == 0


async def test_metrics_that_nobody_has_noted_are_noted_once_somebody_brings_them(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "newcomer") as newcomer,
    ):
        await open_shop(one)
        # As a page does it that knows nothing of the catalog, and as tills did before periods were noted.
        name = f"metrics/{OVER}"
        await one.follow(name)
        document = one._shelf.get(name)
        assert document is not None
        async with document.lock:
            await document.edit([Write("c", "sales/shop/web/0", 3)], 0)
        await one.sync()

        async def counted() -> int:
            async with newcomer.read() as docs:
                return docs.metrics.counter("sales", "shop")

        async with newcomer.online():
            assert await eventually(counted, bool) == 3
        assert await relay.meter('steward_failures_total{duty="fold-metrics"}') == 0
