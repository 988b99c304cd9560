"""Peers that may write some of a document, through a real relay: what they may arrives, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.errors import NotSynced
from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import RelayProcess

PERIOD = "2026-11"
CLERK = ("inventory/catalog#attr/*/quantity", "inventory/*#mv/*")
SENSOR = ("metrics/*#s/temperature/cellar/*",)
NOW_MS = 1_795_046_400_000


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


Opening = Callable[..., AbstractAsyncContextManager[OfflinePeer]]


@pytest.fixture
def opening(relay: RelayProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Opening:
    """Opens this test's peers by name, with the claims that are given."""
    tenant = f"t{abs(hash(request.node.name))}"

    def open_peer(name: str, role: str = "manager", **claims: Any) -> AbstractAsyncContextManager[OfflinePeer]:
        token = relay.token(tenant, role, subject=name, **claims)
        path = tmp_path / f"{name}.db"
        return OfflinePeer.open(path, tenant=tenant, name=name, relay=relay.ws, token=token, now_ms=lambda: NOW_MS)

    return open_peer


async def open_shop(opening: Opening) -> None:
    async with opening("boss") as boss:
        async with boss.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea", price=450, quantity=1)
            for place in ("paris", "lyon"):
                docs.inventory.add_location(place)
                docs.inventory.receive("tea", 100, at=place)
        await boss.sync()


async def look(opening: Opening, name: str = "auditor") -> dict[str, Any]:
    """What a newcomer gets to see."""
    async with opening(name) as auditor:
        await auditor.sync()
        async with auditor.read() as docs:
            return {
                "stock": docs.inventory.stock_table(),
                "price": docs.inventory.attribute("tea", "price"),
                "quantity": docs.inventory.attribute("tea", "quantity"),
                "shop": docs.inventory.location_attribute("paris", "phone"),
                "conflicts": len(docs.inventory.conflicts()),
                "samples": list(docs.metrics.series("temperature", "cellar").samples()),
                "others": list(docs.metrics.series("temperature", "attic").samples()),
            }


async def refused(peer: OfflinePeer) -> str:
    with pytest.raises(NotSynced) as caught:
        await peer.sync()
    return str(caught.value)


async def test_P29_a_clerk_writes_the_quantity_and_movements_and_not_the_price(opening: Opening) -> None:
    await open_shop(opening)
    async with opening("clerk", "operator", write=CLERK) as clerk:
        await clerk.sync()
        async with clerk.edit(period="2026-12") as docs:
            docs.inventory.set_attribute("tea", "quantity", 7)
            docs.inventory.sell("tea", 3, at="paris")
            docs.inventory.transfer("tea", 5, source="lyon", to="paris")
            docs.inventory.count("tea", 101, at="paris")
        await clerk.sync()
        assert clerk.status().unsynced == 0
        seen = await look(opening)
        assert (seen["stock"], seen["quantity"]) == ({("tea", "paris"): 101, ("tea", "lyon"): 95}, 7)
        async with clerk.edit(period="2026-12") as docs:
            docs.inventory.set_attribute("tea", "price", 1)
        assert "write attr/tea/price in inventory/catalog" in await refused(clerk)
        assert clerk.status().unsynced == 1
    assert (await look(opening, "second"))["price"] == 450
    # What comes after the refused edit builds on it; a new file of the clerk has none of it.
    async with opening("clerk-2", "operator", write=CLERK) as clerk:
        await clerk.sync()
        async with clerk.edit(period="2026-12") as docs:
            docs.inventory.set_attribute("tea", "quantity", 8)
        await clerk.sync()
    assert (await look(opening, "third"))["quantity"] == 8


async def test_P29_a_clerk_notes_what_lost_against_its_own_write_and_settles_it(opening: Opening) -> None:
    await open_shop(opening)
    async with opening("one", "operator", write=CLERK) as one, opening("two", "operator", write=CLERK) as two:
        for clerk in (one, two):
            await clerk.sync()
        for clerk, quantity in ((one, 5), (two, 6)):
            async with clerk.edit(period=PERIOD) as docs:
                docs.inventory.set_attribute("tea", "quantity", quantity)
        for clerk in (one, two, one, two):
            await clerk.sync()
        assert (await look(opening))["conflicts"] == 1
        async with two.edit(period=PERIOD) as docs:
            (conflict,) = docs.inventory.conflicts()
            conflict.resolve("local")
        for clerk in (two, one):
            await clerk.sync()
        seen = await look(opening, "second")
        assert (seen["conflicts"], seen["quantity"]) == (0, 6)


async def test_P29_nobody_settles_what_it_may_not_write(opening: Opening) -> None:
    await open_shop(opening)
    async with opening("one") as one, opening("two") as two:
        for boss in (one, two):
            await boss.sync()
        for boss, price in ((one, 5), (two, 6)):
            async with boss.edit(period=PERIOD) as docs:
                docs.inventory.set_attribute("tea", "price", price)
        for boss in (one, two):
            await boss.sync()
    async with opening("clerk", "operator", write=CLERK) as clerk:
        # It holds what lost here, and tells of its deletion whenever it says what it holds.
        await clerk.sync()
        async with clerk.edit(period=PERIOD) as docs:
            docs.inventory.set_attribute("tea", "quantity", 9)
        await clerk.sync()
        await clerk.sync()
        async with clerk.edit(period=PERIOD) as docs:
            docs.inventory.conflicts()[0].resolve("server")
        assert "inventory/catalog" in await refused(clerk)
    seen = await look(opening)
    assert (seen["conflicts"], seen["quantity"]) == (1, 9)


@pytest.mark.parametrize("write", [("inventory/*", "location:paris"), None], ids=["beside everything", "alone"])
async def test_P29_a_shop_writes_what_is_its_own(opening: Opening, write: tuple[str, ...] | None) -> None:
    await open_shop(opening)
    claims = {"documents": ["location:paris"]} if write is None else {"write": write}
    async with opening("shop", "operator", **claims) as shop:
        await shop.sync()
        async with shop.edit(period="2026-12") as docs:
            docs.inventory.sell("tea", 3, at="paris")
            docs.inventory.receive("tea", 5, at="paris")
            docs.inventory.count("tea", 100, at="paris")
            docs.inventory.set_location_attribute("paris", "phone", "0")
        await shop.sync()
        seen = await look(opening)
        assert (seen["stock"], seen["shop"]) == ({("tea", "paris"): 100, ("tea", "lyon"): 100}, "0")
        async with shop.edit(period="2026-12") as docs:
            docs.inventory.sell("tea", 3, at="lyon")
        if write is None:
            assert "in inventory/2026-12" in await refused(shop)
        else:
            await shop.sync()
    assert (await look(opening, "second"))["stock"]["tea", "lyon"] == (100 if write is None else 97)


@pytest.mark.parametrize("change", ["price", "phone"])
async def test_P29_a_shop_changes_no_product_and_no_other_shop(opening: Opening, change: str) -> None:
    await open_shop(opening)
    async with opening("shop", "operator", documents=["location:paris"]) as shop:
        await shop.sync()
        async with shop.edit(period=PERIOD) as docs:
            if change == "price":
                docs.inventory.set_attribute("tea", "price", 1)
            else:
                docs.inventory.set_location_attribute("lyon", "phone", "1")
        assert "does not allow to write attr/" in await refused(shop)
    assert (await look(opening))["price"] == 450


async def test_P29_a_sensor_writes_its_own_series(opening: Opening) -> None:
    await open_shop(opening)
    async with opening("sensor", "operator", write=SENSOR) as sensor:
        sample = partial(write_sample, sensor)
        await sample("cellar", 12)
        await sample("cellar", 13)
        await sensor.sync()
        assert [point.value for point in (await look(opening))["samples"]] == [12, 13]
        await sample("attic", 30)
        assert "write s/temperature/attic/" in await refused(sensor)
    seen = await look(opening, "second")
    assert ([point.value for point in seen["samples"]], seen["others"]) == ([12, 13], [])


async def write_sample(sensor: OfflinePeer, where: str, degrees: int) -> None:
    async with sensor.edit(period=PERIOD) as docs:
        docs.metrics.series("temperature", where).add(NOW_MS + degrees * 1_000, degrees)
