"""A process of its own that retires a document, until it is killed.

``retire PATH``: fills a store that is empty, says so, retires, says so, waits. ``leave PATH``: the same, but stops for
good between the commit and the overwriting."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from crdt_sync.stores import erasing
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Record

PII, METRICS = "pii/customer-1042", "metrics/2026-11"
SECRET = b"token-of-mrs-miller"


def tell(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def filled(store: SqliteStore) -> None:
    if not await store.documents():
        for number in range(20):
            await store.log(PII).append([Record(SECRET * 50, "till", number)])
            await store.log(METRICS).append([Record(b"somebody else", "till", number)])


def stop_for_good(_connection: object, _source: object) -> None:
    tell("committed")
    sys.stdin.read()


async def retire(path: Path) -> None:
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        await filled(store)
        if sys.argv[1] == "leave":
            setattr(erasing, "erase", stop_for_good)  # noqa: B010  a bug that is planted on purpose
        else:
            tell("ready")
        await store.retire(PII, "asked for", 1)
        tell("retired")
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(retire(Path(sys.argv[2])))
