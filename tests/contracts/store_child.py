"""A process of its own that writes to a store and says on standard output what was acknowledged.

``append PATH``: several documents at once, until killed. ``limited PATH BYTES``: the same under RLIMIT_FSIZE, until an
append fails; then it tells what happens next. ``hold PATH``: opens the store and waits for the end of its input."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from pathlib import Path

from crdt_sync.errors import StoreError
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Record, Snapshot

DOCUMENTS = ("inventory/2026-11", "inventory/2026-12", "metrics")
COMPACT_EVERY = 50


def payload(document: str, seq: int) -> bytes:
    """What record ``seq`` of ``document`` holds: 20 to 3,000 bytes that tell both."""
    return f"{document}#{seq};".encode() * (1 + seq * 7919 % 150)


def tell(line: str) -> None:
    # One write call: a kill can't cut a line in two, and nothing waits in a buffer.
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def write(store: SqliteStore, document: str) -> None:
    log = store.log(document)
    while True:
        seq = await log.append([]) + 1
        run = [Record(payload(document, number), "child", number) for number in range(seq, seq + 1 + seq % 3)]
        last = await log.append(run)
        tell(f"{document} {last}")
        if last % COMPACT_EVERY < len(run):
            await log.compact(Snapshot(last, f"state {last}".encode(), b""))
            tell(f"{document} compacted {last}")


async def write_all(path: Path) -> None:
    async with open_sqlite_store(path, create=True, kind="tenant") as store, asyncio.TaskGroup() as group:
        for document in DOCUMENTS:
            group.create_task(write(store, document))


async def write_until_it_fails(path: Path, file_bytes_max: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
    with contextlib.suppress(StoreError):
        async with open_sqlite_store(path, create=True, kind="tenant") as store:
            try:
                await write(store, "metrics")
            except StoreError as error:
                tell(f"failed {error.code}")
            tell(f"failure {store.failure.code if store.failure else 'none'}")
            try:
                await store.log("metrics").append([Record(b"small")])
            except StoreError as error:
                tell(f"refused {error.code}")


async def hold(path: Path) -> None:
    async with open_sqlite_store(path, create=True, kind="tenant"):
        tell("held")
        await asyncio.to_thread(sys.stdin.read)


match sys.argv[1:]:
    case ["append", path]:
        asyncio.run(write_all(Path(path)))
    case ["limited", path, file_bytes_max]:
        asyncio.run(write_until_it_fails(Path(path), int(file_bytes_max)))
    case ["hold", path]:
        asyncio.run(hold(Path(path)))
