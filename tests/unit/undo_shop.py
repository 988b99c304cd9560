"""A till with tea, for the tests of undo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.peer import OfflinePeer

AT_MS = 1_795_000_000_000
CELL = ("tea", "shop")


@asynccontextmanager
async def opened(path: Path, name: str = "till-1") -> AsyncIterator[OfflinePeer]:
    async with OfflinePeer.open(path / f"{name}.db", tenant="acme", name=name, now_ms=lambda: AT_MS) as peer:
        yield peer


@asynccontextmanager
async def shop(path: Path, escrow: str | None = None) -> AsyncIterator[OfflinePeer]:
    """A till with ten packets of tea in the shop."""
    async with opened(path) as peer:
        async with peer.edit() as docs:
            docs.inventory.add_product("tea", name="Tea", price=450)
            docs.inventory.add_location("shop", escrow=escrow)
            docs.inventory.add_location("store", escrow=escrow)
            docs.inventory.receive("tea", 10, at="shop")
        yield peer


async def stock(peer: OfflinePeer, at: str = "shop") -> tuple[int, int]:
    """What is there, and what this peer has rights to."""
    async with peer.read() as docs:
        return docs.inventory.stock("tea", at), docs.inventory.rights("tea", at).of.get("till-1", 0)


async def field(peer: OfflinePeer, name: str) -> object:
    async with peer.read() as docs:
        return docs.inventory.attribute("tea", name)


async def edited(peer: OfflinePeer, act: Callable[[InventoryDocument], object]) -> None:
    async with peer.edit() as docs:
        act(docs.inventory)


def setting(name: str, value: object) -> Callable[[InventoryDocument], None]:
    return lambda inventory: inventory.set_attribute("tea", name, value)


async def exchange(one: OfflinePeer, other: OfflinePeer) -> None:
    """Each takes what the other one has, as through a relay."""
    names = {*await one._shelf.names(), *await other._shelf.names()}
    for source, target in ((one, other), (other, one)):
        for name in sorted(names):
            theirs, ours = await source._shelf.open(name), await target._shelf.open(name)
            async with ours.lock:
                merged = ours.replica.merge(theirs.replica.since(ours.replica.state))
                if merged.fresh is not None:
                    await ours.keep([merged.fresh], 0)
