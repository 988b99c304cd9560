"""A peer's document when its disk fails, or when somebody stops waiting for it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from crdt_sync.errors import StoreCorrupted, StoreUnavailable
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer import OfflinePeer
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


async def test_P17_what_waits_for_the_relay_is_known_before_any_document_is_open(tmp_path: Path) -> None:
    async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till-1") as till:
        async with till.edit() as docs:
            docs.inventory.add_product("tea")
        assert till.status().unsynced == 1
    async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till-1") as till:
        assert till.status().unsynced == 1
        async with till.edit() as docs:
            docs.inventory.add_location("shop")
        assert till.status().unsynced == 2


async def test_P4_one_damaged_document_is_named_and_the_others_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "till.db"
    async with OfflinePeer.open(path, tenant="acme", name="till-1") as till, till.edit(period="2026-10") as docs:
        docs.inventory.add_product("tea")
        docs.inventory.add_location("shop")
        docs.inventory.receive("tea", 3, at="shop")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE records SET payload = zeroblob(20) WHERE document ="
            " (SELECT id FROM heads WHERE name = 'inventory/2026-10')"
        )
    connection.close()
    async with OfflinePeer.open(path, tenant="acme", name="till-1") as till:
        (damage,) = till.status().damaged
        assert "inventory/2026-10" in damage
        async with till.edit(period="2026-11") as docs:
            docs.inventory.receive("tea", 1, at="shop")
        with pytest.raises(StoreCorrupted):
            async with till.edit(period="2026-10") as docs:
                docs.inventory.receive("tea", 1, at="shop")


async def test_P17_what_waits_is_still_counted_when_a_failure_has_dropped_its_document(tmp_path: Path) -> None:
    async with open_sqlite_store(tmp_path / "till.db", create=True, kind="test", bytes_max=ROOM_FOR_LITTLE) as store:
        shelf = Shelf(store, "till-1", DEFAULT_LIMITS)
        document = await shelf.open("inventory/catalog")
        await edit(document, "small", "x")
        with pytest.raises(StoreUnavailable):
            await edit(document, "large", "x" * 10 * ROOM_FOR_LITTLE)
        shelf.drop(["inventory/catalog"])
        assert shelf.unsynced == 1
        await shelf.open("inventory/catalog")
        assert shelf.unsynced == 1
