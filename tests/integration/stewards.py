"""Relays with a steward, tills that sync with them, and a look at the steward's process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import RelayProcess, eventually

T = TypeVar("T")

LINUX = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="run it on Linux: it looks into /proc")


def relay_with_steward(folder: Path, **settings: Any) -> RelayProcess:
    wanted = {"free_space_bytes_min": 0, "steward": "on", "steward_interval_s": 0.05, **settings}
    return RelayProcess(folder, **wanted)


@asynccontextmanager
async def till(relay: RelayProcess, folder: Path, name: str) -> AsyncIterator[OfflinePeer]:
    async with OfflinePeer.open(
        folder / f"{name}.db", tenant="acme", name=name, relay=relay.ws, token=relay.token()
    ) as peer:
        yield peer


async def becomes(peer: OfflinePeer, look: Callable[[InventoryDocument], T], holds: Callable[[T], bool]) -> T:
    """What ``look`` finds in the peer's documents, once it holds there; to be called while the peer is online."""

    async def found() -> T:
        async with peer.read() as docs:
            return look(docs.inventory)

    return await eventually(found, holds)


async def open_shop(peer: OfflinePeer) -> None:
    async with peer.edit() as docs:
        docs.inventory.add_product("tea", price=450)
        docs.inventory.add_location("shop")
        docs.inventory.receive("tea", 4, at="shop")
        docs.inventory.set_rule("merge/price", "max")
    await peer.sync()


async def set_prices_at_once(one: OfflinePeer, two: OfflinePeer, prices: tuple[int, int]) -> None:
    """Both offline, each without knowing of the other."""
    for peer, price in zip((one, two), prices, strict=True):
        async with peer.edit() as docs:
            docs.inventory.set_attribute("tea", "price", price)


def decisions(inventory: InventoryDocument) -> list[tuple[str, str | None, object]]:
    return [(resolution.how, resolution.device, resolution.value) for resolution in inventory.resolutions()]


def stewards_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"server.steward" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def steward_at_work(relay: RelayProcess, besides: int = 0) -> int:
    """The process id of a steward that has said that it is there, and that is another one than ``besides``."""

    async def look() -> tuple[list[int], object]:
        return stewards_of(relay.pid), (await relay.readiness())[1]["steward"]

    pids, _ = await eventually(look, lambda found: found[1] == "at work" and found[0] not in ([], [besides]))
    (pid,) = pids
    return pid


async def is_gone(pid: int) -> None:
    async def exists() -> bool:
        return Path(f"/proc/{pid}").exists()

    await eventually(exists, lambda there: not there, what=f"the end of process {pid}")
