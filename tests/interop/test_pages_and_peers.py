"""A Python peer, stock Yjs pages and pycrdt's own provider work on the same documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map, Provider
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crdt_sync.peer import OfflinePeer
from tests.integration.raw_member import content_of
from tests.integration.relay_process import RelayProcess, eventually
from tests.interop.node_clients import need_node, open_pages

pytestmark = pytest.mark.interop
PERIOD = "2026-11"
SOCK = "Söckchen 🧦/rot"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    need_node()
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


def table_of(cells: list[Any]) -> dict[tuple[str, str], int]:
    return {(sku, place): quantity for cell, quantity in cells for sku, place in [json.loads(cell)]}


@pytest.mark.parametrize("version", [1, 2, 3], ids=["1.5", "2.1", "3.1"])
async def test_a_page_and_a_peer_keep_one_inventory(relay: RelayProcess, tmp_path: Path, version: int) -> None:
    tenant = f"shop-{version}"
    async with (
        open_pages() as nodes,
        OfflinePeer.open(
            tmp_path / "till.db", tenant=tenant, name="till", relay=relay.ws, token=relay.token(tenant)
        ) as till,
    ):
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.add_product(SOCK, price=1250)
            docs.inventory.add_location("A")
            docs.inventory.receive(SOCK, 10, at="A", ref="delivery 1")
        await till.sync()
        catalog = await nodes.open("catalog", relay, "inventory/catalog", version=version, tenant=tenant)
        movements = await nodes.open("movements", relay, f"inventory/{PERIOD}", version=version, tenant=tenant)
        await catalog.synced()
        await movements.synced()
        assert await catalog.call("documents", "attribute", SOCK, "price") == 1250
        assert await nodes.call("stock", ["movements"], SOCK, "A") == 10
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.sell(SOCK, 3, at="A")
        await catalog.call("documents", "addLocation", "Köln/2")
        await catalog.call("documents", "setPrice", SOCK, 990)
        await movements.call("documents", "move", "sale", SOCK, "A", 2, "web.1")
        await movements.call("documents", "transfer", SOCK, 4, "A", "Köln/2", "web.1")
        await catalog.saved()
        await movements.saved()
        await till.sync()
        async with till.read() as docs:
            assert docs.inventory.attribute(SOCK, "price") == 990
            assert docs.inventory.stock_table() == {(SOCK, "A"): 1, (SOCK, "Köln/2"): 4}
            assert docs.inventory.faults() == []

        async def stock_in_the_page() -> dict[tuple[str, str], int]:
            return table_of(await nodes.call("stockTable", ["movements"]))

        await eventually(stock_in_the_page, lambda table: table == {(SOCK, "A"): 1, (SOCK, "Köln/2"): 4})


class Channel:
    """What pycrdt's provider wants of a WebSocket."""

    def __init__(self, socket: ClientConnection, path: str) -> None:
        self._socket = socket
        self.path = path

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def recv(self) -> bytes:
        return await self._socket.recv(decode=False)

    def __aiter__(self) -> Channel:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except ConnectionClosed:
            raise StopAsyncIteration from None


async def test_pycrdts_own_provider_is_served_too(relay: RelayProcess) -> None:
    document = "pycrdt/page"
    doc: Doc = Doc()
    doc["m"] = Map({"before": 1})
    url = f"{relay.ws}/ws/acme/{document}?token={relay.token()}"
    async with (
        open_pages() as nodes,
        connect(url, compression=None) as socket,
        Provider(doc, Channel(socket, document)),
    ):
        page = await nodes.open("page", relay, document)
        await page.synced()
        await page.edit(["map", "m", "set", "by the page", True])
        await page.saved()

        async def shown() -> dict[str, Any]:
            return dict(doc.get("m", type=Map).to_py() or {})

        await eventually(shown, lambda content: content.get("by the page") is True)
        doc.get("m", type=Map)["after"] = 2
        wanted = {"before": 1, "by the page": True, "after": 2}
        await eventually(page.content, lambda content: content["m"] == wanted)
        assert await content_of(relay, document) == wanted
        await asyncio.wait_for(socket.ping(), 60)
