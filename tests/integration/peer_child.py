"""A peer in a process of its own, to be killed: edits without end, one line for each that has returned."""

from __future__ import annotations

import asyncio
import sys

from crdt_sync.peer import OfflinePeer


async def main(path: str, label: str) -> None:
    async with OfflinePeer.open(path, tenant="acme", name="till-1") as till:
        async with till.edit(period="2026-11") as docs:
            docs.inventory.add_product("tea")
            docs.inventory.add_location("shop")
        number = 0
        while True:
            ref = f"{label}-{number}"
            async with till.edit(period="2026-11") as docs:
                docs.inventory.receive("tea", 1, at="shop", ref=ref)
                stamp = max(movement.stamp for movement in docs.inventory.movements())
            print(ref, stamp, flush=True)
            number += 1


asyncio.run(main(*sys.argv[1:]))
