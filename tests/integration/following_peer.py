"""A peer in a process of its own that syncs until it is killed: ``PATH RELAY TENANT TOKEN``."""

from __future__ import annotations

import asyncio
import os
import sys

from crdt_sync.peer import OfflinePeer


async def sync(path: str, relay: str, tenant: str, token: str) -> None:
    async with OfflinePeer.open(path, tenant=tenant, name="till-1", relay=relay, token=token) as peer:
        os.write(sys.stdout.fileno(), b"opened\n")
        await peer.sync()
        os.write(sys.stdout.fileno(), b"synced\n")
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(sync(*sys.argv[1:]))
