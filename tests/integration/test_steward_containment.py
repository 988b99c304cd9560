"""A document that ends the steward: its tenant is left alone, it is set aside, and other tenants' duties go on."""

from __future__ import annotations

from pathlib import Path

from tests.integration.hostile_documents import both
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import eventually
from tests.integration.stewards import (
    LINUX,
    becomes,
    decisions,
    open_shop,
    relay_with_steward,
    set_prices_at_once,
    till,
)

CATALOG = "inventory/catalog"


@LINUX
async def test_P34_what_ends_the_steward_is_set_aside_while_other_tenants_are_looked_after(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        async with open_raw(relay, CATALOG, tenant="attacked") as mallory:
            await mallory.join()
            await mallory.save(both())
            await mallory.save(Author(7).put("honest", 1))

            async def deaths() -> float:
                return await relay.meter("steward_deaths_total")

            await eventually(deaths, lambda count: count >= 2)
            await set_prices_at_once(one, two, (475, 500))
            async with one.online(), two.online():
                assert await becomes(one, decisions, bool) == [("auto", "relay", 500)]

            async def quarantined() -> float:
                return await relay.meter("updates_quarantined_total")

            await eventually(quarantined, lambda count: count == 1)
        assert (await content_of(relay, CATALOG, tenant="attacked"))["honest"] == 1
        assert "steward rests from a tenant" in relay.log
        assert f"attacked/{CATALOG}" in relay.log
