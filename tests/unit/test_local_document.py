"""A peer's document when its disk fails, or when somebody stops waiting for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crdt_sync.errors import StoreUnavailable
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer.local_document import LocalDocument
from crdt_sync.peer.shelf import Shelf
from crdt_sync.replica import Write
from crdt_sync.stores.sqlite import open_sqlite_store

ROOM_FOR_LITTLE = 200_000


async def edit(document: LocalDocument, key: str, value: str) -> None:
    async with document.lock:
        await document.edit([Write("attr", key, value)], 0)


async def test_P17_an_edit_that_the_disk_refused_is_in_no_memory_either(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "till.db", create=True, kind="test", bytes_max=ROOM_FOR_LITTLE) as store:
        shelf = Shelf(store, "till-1", DEFAULT_LIMITS)
        document = await shelf.open("inventory/catalog")
        await edit(document, "small", "x")
        with pytest.raises(StoreUnavailable):
            await edit(document, "large", "x" * 10 * ROOM_FOR_LITTLE)
        assert document.is_torn
        again = await shelf.open("inventory/catalog")
        assert again is not document
        assert again.replica.entries("attr") == {"small": "x"}
        await edit(again, "after", "y")
        # What was written after the failure builds on nothing that is not in the log.
        assert (await Shelf(store, "till-1", DEFAULT_LIMITS).open("inventory/catalog")).replica.entries("attr") == {
            "small": "x",
            "after": "y",
        }


async def test_P17_an_edit_whose_writer_stops_waiting_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "till.db", create=True, kind="test") as store:
        shelf = Shelf(store, "till-1", DEFAULT_LIMITS)
        document = await shelf.open("inventory/catalog")
        editing = asyncio.create_task(edit(document, "first", "x"))
        await asyncio.sleep(0)
        editing.cancel()
        await asyncio.wait([editing])
        again = await shelf.open("inventory/catalog")
        await edit(again, "second", "y")
        fresh = await Shelf(store, "till-1", DEFAULT_LIMITS).open("inventory/catalog")
        assert fresh.replica.entries("attr") in ({"second": "y"}, {"first": "x", "second": "y"})
