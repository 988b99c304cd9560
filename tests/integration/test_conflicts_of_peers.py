"""Two tills that price one product while offline, against a real relay: both see it, one decides, all agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import RelayProcess

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
