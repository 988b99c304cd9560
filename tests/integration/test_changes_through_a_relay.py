"""What one peer does, another one that stays connected is told, through a real relay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

from crdt_sync.documents.catalog.money import Money
from crdt_sync.peer import Change, Changes, ConflictClosed, ConflictOpened, FieldChanged, MovementAdded, OfflinePeer
from tests.integration.relay_process import DEADLINE_S, RelayProcess

PERIOD, TENANT = "2026-11", "changes"
T = TypeVar("T", bound=Change)


async def until(changes: Changes, kind: type[T], holds: Callable[[T], bool]) -> T:
    async with asyncio.timeout(DEADLINE_S):
        async for change in changes:
            if isinstance(change, kind) and holds(change):
                return change
    raise AssertionError("the changes ended")


async def test_a_peer_is_told_what_another_one_does_and_can_read_it_then(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "relay", free_space_bytes_min=0) as relay:

        def opened(name: str) -> AbstractAsyncContextManager[OfflinePeer]:
            path = tmp_path / f"{name}.db"
            return OfflinePeer.open(path, tenant=TENANT, name=name, relay=relay.ws, token=relay.token(TENANT))

        async with opened("till-1") as till, opened("office") as office:
            async with till.edit(period=PERIOD) as docs:
                docs.inventory.add_product("tea", price=Money(450, "GBP"))
                docs.inventory.add_location("shop")
            await till.sync()
            await office.sync()
            async with till.online(), office.online(), office.changes() as changes:
                async with till.edit(period=PERIOD) as docs:
                    docs.inventory.product("tea").price = Money(475, "GBP")
                    docs.inventory.receive("tea", 3, at="shop")
                price = await until(changes, FieldChanged, lambda change: change.field == "price")
                assert (price.old, price.new, price.is_local) == ([450, "GBP"], [475, "GBP"], False)
                async with asyncio.timeout(DEADLINE_S):
                    while True:
                        seen = await office.changed(-1)
                        async with office.read() as docs:
                            if docs.inventory.stock("tea", "shop") == 3:
                                break
                        await office.changed(seen)
            # Both set the price while they are apart.
            for peer, minor in ((till, 500), (office, 525)):
                async with peer.edit(period=PERIOD) as docs:
                    docs.inventory.product("tea").price = Money(minor, "GBP")
            await office.sync()
            async with till.changes() as changes, till.online():
                opened_conflict = await until(changes, ConflictOpened, lambda _: True)
                assert (opened_conflict.product, opened_conflict.field) == ("tea", "price")
                async with office.edit(period=PERIOD) as docs:
                    docs.inventory.sell("tea", 1, at="shop")
                await office.sync()
                sale = await until(changes, MovementAdded, lambda change: change.movement.kind == "sale")
                assert (sale.movement.rid, sale.is_local) == ("office", False)
                async with office.edit(period=PERIOD) as docs:
                    (conflict,) = docs.inventory.conflicts()
                    conflict.resolve("local")
                await office.sync()
                closed = await until(changes, ConflictClosed, lambda _: True)
                assert (closed.product, closed.field, closed.is_local) == ("tea", "price", False)
