"""How many edits a second does a Python peer take, how large are they, and how long does it take to sync 10,000?

Back of the envelope, before the first run. An edit is validated, written into a replica (20-50 us), passed through the
gate (10 us) and appended to the peer's own log with an fsync (0.3-0.6 ms), so 1,000-1,500 edits/s with an fsync for
each. A movement is some 100 bytes in the log. 10,000 edits made offline go out in parts of up to 512 KiB: the relay
decodes and judges 10,000 structs (0.1-0.2 s) and commits each part, so that a sync takes half a second, and a second
peer that had nothing has it half a second later.

Not compared with peers: none of them has an offline peer in Python with a disk.

Run: python -m benchmarks.w9_python_peer [--full]
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload_from
from benchmarks.peers.running import Running, Server, running
from benchmarks.peers.servers import OURS, TENANT
from crdt_sync.peer import OfflinePeer
from server.auth.tokens import issue_token

EDITS_ONE_BY_ONE = 300


def measure(server: Server, folder: Path, form: Form) -> Iterator[Reading]:
    edits = form.pick(2_000, 10_000)
    with running(server, folder) as it:
        yield from asyncio.run(edit_and_sync(it, folder, edits))


async def edit_and_sync(relay: Running, folder: Path, edits: int) -> list[Reading]:
    token = issue_token(
        folder / "data" / "secret.key", tenant=TENANT, role="operator", ttl_s=3_600, now_s=time.time(), subject="till"
    )
    url, found = f"ws://127.0.0.1:{relay.port}", []
    file = folder / "till-1.db"
    async with OfflinePeer.open(file, tenant=TENANT, name="till-1", relay=url, token=token) as till:
        await stock_the_shop(till)
        began_s = time.perf_counter()
        for _ in range(EDITS_ONE_BY_ONE):
            async with till.edit() as docs:
                docs.inventory.sell("tea", 1, at="shop")
        took_s = time.perf_counter() - began_s
        found.append(Reading("offline, a sale an edit", "edits/s", EDITS_ONE_BY_ONE / took_s))
        await till.sync()
        before_bytes, began_s = file_bytes(file), time.perf_counter()
        for _ in range(edits // 100):
            async with till.edit() as docs:
                for _ in range(100):
                    docs.inventory.sell("tea", 1, at="shop")
        took_s = time.perf_counter() - began_s
        found.append(Reading("offline, 100 sales an edit", "sales/s", edits / took_s))
        found.append(
            Reading("offline, 100 sales an edit", "bytes a sale", (file_bytes(file) - before_bytes) / edits, "lower")
        )
        began_s = time.perf_counter()
        await till.sync()
        found.append(Reading(f"{edits:,} offline sales", "until all acked, s", time.perf_counter() - began_s, "lower"))
    async with OfflinePeer.open(folder / "till-2.db", tenant=TENANT, name="till-2", relay=url, token=token) as other:
        began_s = time.perf_counter()
        await other.sync()
        found.append(Reading(f"{edits:,} offline sales", "another has them, s", time.perf_counter() - began_s, "lower"))
    return found


async def stock_the_shop(till: OfflinePeer) -> None:
    async with till.edit() as docs:
        docs.inventory.add_product("tea", price=450)
        docs.inventory.add_location("shop")
        docs.inventory.receive("tea", 1_000_000, at="shop")


def file_bytes(file: Path) -> int:
    """The file and its write-ahead log: what the disk has given for it."""
    return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))


def main() -> None:
    run_workload_from(__doc__, __file__, measure, (OURS,))


if __name__ == "__main__":
    main()
