"""A page with a stock provider and the JavaScript package shares a shop with a Python peer, over a real relay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import DEADLINE_S, RelayProcess, eventually
from tests.interop.node_clients import LINE_BYTES_MAX, NODE_FOLDER, need_node

pytestmark = pytest.mark.interop
PERIOD, SOCK = "2026-11", "Söckchen 🧦/rot"
AT: Mapping[str, str] = {"at": "Köln/2"}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    need_node()
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


class ShopPage:
    """See node/shop_page.mjs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, line: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        async with asyncio.timeout(DEADLINE_S):
            answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        assert "crash" not in answer, answer["crash"]
        return answer

    async def call(self, path: str, *arguments: Any) -> Any:
        answer = await self.tell([path, *arguments])
        assert "code" not in answer, answer
        return answer["result"]


@asynccontextmanager
async def open_page(relay: RelayProcess, tenant: str, **options: Any) -> AsyncIterator[ShopPage]:
    process = await asyncio.create_subprocess_exec(
        "node",
        "shop_page.mjs",
        cwd=NODE_FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    try:
        page = ShopPage(process)
        where = {"serverUrl": f"{relay.ws}/ws/{tenant}", "token": relay.token(tenant), "period": PERIOD, **options}
        assert await page.tell(where) == {"result": "open"}
        yield page
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # The transport closes its pipes only when it is told to; the loop may be gone by then.
        process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def open_till(relay: RelayProcess, tenant: str, folder: Path) -> AsyncIterator[OfflinePeer]:
    """A till whose shop has ten pairs of socks, all in its rights."""
    token = relay.token(tenant)
    async with OfflinePeer.open(folder / "till.db", tenant=tenant, name="till", relay=relay.ws, token=token) as till:
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.add_product(SOCK, price=1250)
            docs.inventory.add_location("Köln/2", escrow="refuse")
            docs.inventory.receive(SOCK, 10, at="Köln/2")
        await till.sync()
        yield till


async def test_a_page_asks_a_till_for_rights_and_sells_within_them(relay: RelayProcess, tmp_path: Path) -> None:
    async with open_till(relay, "asking", tmp_path) as till, open_page(relay, "asking", replica="web.shop") as page:
        assert await page.call("inventory.stock", SOCK, "Köln/2") == 10
        refused = await page.tell(["inventory.sell", SOCK, 2, AT])
        assert refused == {"code": "insufficient-rights", "have": 0, "want": 2}
        await page.call("inventory.request", SOCK, 3, AT)

        async def answered() -> bool:
            await till.sync()
            async with till.edit(period=PERIOD) as docs:
                docs.inventory.answer_requests()
            await till.sync()
            rights = await page.call("inventory.rights", SOCK, "Köln/2")
            return bool(rights["of"].get("web.shop") == 3)

        await eventually(answered, bool, what="the page has the rights that it asked for")
        await page.call("inventory.sell", SOCK, 2, AT)
        await page.call("metrics.count", "sales", "Köln/2", 2)

        async def seen_by_the_till() -> Any:
            await till.sync()
            async with till.read() as docs:
                counted = docs.metrics.counter("sales", "Köln/2")
                return docs.inventory.stock(SOCK, "Köln/2"), counted, docs.inventory.faults()

        await eventually(seen_by_the_till, lambda seen: seen == (8, 2, []), what="the till sees the sale")
        heard = {*await page.call("page.heard")}
        assert {f"inventory/{PERIOD} mv own", f"inventory/{PERIOD} mv others"} <= heard


async def test_a_page_settles_a_conflict_with_a_till(relay: RelayProcess, tmp_path: Path) -> None:
    async with open_till(relay, "settling", tmp_path) as till, open_page(relay, "settling", replica="web.shop") as page:
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.set_attribute(SOCK, "price", 1100)
        await page.call("inventory.setAttribute", SOCK, "price", 1300)

        async def conflicts() -> Any:
            await till.sync()
            return await page.call("inventory.conflicts")

        [conflict] = await eventually(conflicts, lambda found: len(found) == 1, what="the page sees the conflict")
        shown = sorted((one["device"], one["value"]) for one in conflict["siblings"])
        assert shown == [("till", 1100), ("web.shop", 1300)]
        async with till.read() as docs:
            assert [one.key for one in docs.inventory.conflicts()] == [conflict["key"]]
        await page.call("page.resolve", conflict["key"], {"merge": "max"})

        async def settled() -> Any:
            await till.sync()
            async with till.read() as docs:
                price = docs.inventory.attribute(SOCK, "price")
                by = [one.device for one in docs.inventory.resolutions()]
                return price, by, docs.inventory.conflicts()

        await eventually(settled, lambda seen: seen == (1300, ["web.shop"], []), what="both agree")
