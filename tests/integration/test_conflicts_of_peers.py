"""Prices set at once, against a real relay: who was there or comes later sees it, one decides, all agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from pycrdt import Doc, Map

from crdt_sync.peer import OfflinePeer
from tests.integration.raw_member import open_raw
from tests.integration.relay_process import RelayProcess, eventually

TENANT = "conflicts"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


async def test_offline_prices_are_a_conflict_for_all_until_one_of_them_decides(
    relay: RelayProcess, tmp_path: Path
) -> None:
    def opened(name: str) -> AbstractAsyncContextManager[OfflinePeer]:
        return OfflinePeer.open(
            tmp_path / f"{name}.db", tenant=TENANT, name=name, relay=relay.ws, token=relay.token(TENANT)
        )

    async with opened("till-1") as one, opened("till-2") as two:
        async with one.edit() as docs:
            docs.inventory.add_product("tea", price=450)
        await one.sync()
        await two.sync()
        for peer, price in ((one, 475), (two, 500)):
            async with peer.edit() as docs:
                docs.inventory.set_attribute("tea", "price", price)
        for peer in (one, two, one):
            await peer.sync()
        for peer in (one, two):
            async with peer.read() as docs:
                (conflict,) = docs.inventory.conflicts()
            assert {(s.value, s.device) for s in conflict.siblings} == {(475, "till-1"), (500, "till-2")}
            assert all(sibling.at_ms for sibling in conflict.siblings)
    # Both restart from their files: the CRDT has collected what lost.
    async with opened("till-1") as one, opened("till-2") as two, opened("office") as office:
        async with two.edit() as docs:
            (conflict,) = docs.inventory.conflicts()
            assert all(sibling.is_known for sibling in conflict.siblings)
            conflict.resolve("local")
        for peer in (two, one, office):
            await peer.sync()
            async with peer.read() as docs:
                assert docs.inventory.conflicts() == []
                assert docs.inventory.attribute("tea", "price") == 500
                (resolution,) = docs.inventory.resolutions()
                assert (resolution.how, resolution.device, resolution.value) == ("local", "till-2", 500)
                assert {sibling.value for sibling in resolution.siblings} == {475, 500}
        assert [peer.status().unsynced for peer in (one, two, office)] == [0, 0, 0]


async def test_what_lost_between_plain_pages_is_there_after_compaction_and_a_restart_of_the_relay(
    tmp_path: Path,
) -> None:
    def page(client: int, **prices: int) -> bytes:
        doc: Doc[Map] = Doc(client_id=client)
        attributes = doc.get("attr", type=Map)
        with doc.transaction():
            attributes["tea/$life"] = "active"
            for field, price in prices.items():
                attributes[f"tea/{field}"] = price
        return doc.get_update()

    with RelayProcess(tmp_path / "relay", free_space_bytes_min=0, compact_log_records_max=4) as relay:
        async with open_raw(relay, "inventory/catalog") as one, open_raw(relay, "inventory/catalog") as two:
            await one.join()
            await two.join()
            await one.save(page(7, price=475))
            await two.save(page(8, price=500))
            await one.save(page(9, weight=1))

        async def compactions() -> float:
            return await relay.meter("compactions_total")

        assert await eventually(compactions, lambda count: count >= 1)
        await relay.kill()
        await relay.start()
        path = tmp_path / "office.db"
        async with OfflinePeer.open(path, tenant="acme", name="office", relay=relay.ws, token=relay.token()) as office:
            await office.sync()
            async with office.read() as docs:
                (conflict,) = docs.inventory.conflicts()
            assert {(s.client, s.value, s.is_known) for s in conflict.siblings} == {(7, 475, True), (8, 500, True)}
