"""What a peer's document does with values that lost: who notes them, when, and what a restart leaves of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pycrdt import Doc, Map

from crdt_sync.documents.catalog.conflicts import open_conflicts
from crdt_sync.documents.catalog.siblings import VAULT
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer import local_document
from crdt_sync.peer.local_document import LocalDocument
from crdt_sync.peer.shelf import Shelf
from crdt_sync.replica import Replica, Write
from crdt_sync.stores.sqlite import open_sqlite_store

KEY = "shirt/price"


@asynccontextmanager
async def catalog(path: Path) -> AsyncIterator[LocalDocument]:
    async with open_sqlite_store(path / "till.db", create=True, kind="test") as store:
        yield await Shelf(store, "till-1", DEFAULT_LIMITS).open("inventory/catalog")


def page(client: int, value: object, *, knowing: bytes = b"\x00\x00") -> bytes:
    """What a plain page sends that just sets the price."""
    doc: Doc[Map] = Doc(client_id=client)
    doc.apply_update(knowing)
    before = doc.get_state()
    doc.get("attr", type=Map)[KEY] = value
    return doc.get_update(before)


async def hear(document: LocalDocument, *updates: bytes) -> bool:
    """Merge and keep; True when that made an edit of our own."""
    async with document.lock:
        fresh = [document.replica.merge(update).fresh for update in updates]
        return await document.keep([update for update in fresh if update is not None], 0) is not None


async def edit(document: LocalDocument, key: str, value: object) -> None:
    async with document.lock:
        await document.edit([Write("attr", key, value)], 0)


def vaulted(document: LocalDocument) -> list[object]:
    return sorted(entry[0] for entry in document.replica.entries(VAULT).values())


def in_conflict(replica: Replica) -> list[list[object]]:
    found = open_conflicts(replica, replica, lambda *_: None)
    return [sorted((sibling.value for sibling in conflict.siblings), key=repr) for conflict in found]


async def test_who_had_a_part_in_a_conflict_keeps_both_values_in_the_commit_that_merges(tmp_path: Path) -> None:
    async with catalog(tmp_path) as document:
        await edit(document, KEY, 12)
        assert await hear(document, page(7, 15))
        assert vaulted(document) == [12, 15]
        assert document.unsynced == 2
        assert not await hear(document, page(8, 1, knowing=document.replica.snapshot())), "a write that follows"
    async with catalog(tmp_path) as document:
        assert vaulted(document) == [12, 15]
        assert in_conflict(document.replica) != []


async def test_who_had_no_part_waits_for_its_next_edit(tmp_path: Path) -> None:
    async with catalog(tmp_path) as document:
        assert not await hear(document, page(7, 15), page(8, 20))
        assert vaulted(document) == []
        assert in_conflict(document.replica) == [[15, 20]]
        await edit(document, "shirt/name", "Shirt")
        assert vaulted(document) == [15, 20]


async def test_who_had_no_part_writes_nothing_when_the_values_are_kept_already(tmp_path: Path) -> None:
    async with catalog(tmp_path) as document:
        other = Replica()
        other.merge(page(7, 15))
        other.merge(page(8, 20))
        other.write([Write(VAULT, f"{KEY}|{client}.0", [value, None, None]) for client, value in ((7, 15), (8, 20))])
        await hear(document, page(7, 15), page(8, 20))
        await hear(document, other.since(document.replica.state))
        await edit(document, "shirt/name", "Shirt")
        own = document.replica.client_id
        assert document.replica.state[own] == 1


async def test_what_is_still_to_be_kept_outlives_a_restart(tmp_path: Path) -> None:
    async with catalog(tmp_path) as document:
        await hear(document, page(7, 15), page(8, 20))
    for _ in range(2):
        async with catalog(tmp_path) as document:
            assert in_conflict(document.replica) == [[15, 20]]
    async with catalog(tmp_path) as document:
        await edit(document, "shirt/name", "Shirt")
        assert vaulted(document) == [15, 20]
    async with catalog(tmp_path) as document:
        assert in_conflict(document.replica) == [[15, 20]]


async def test_no_snapshot_forgets_what_was_not_kept(tmp_path: Path) -> None:
    text = "x" * (local_document.COMPACT_BYTES + 1)
    large: Doc[Map] = Doc(client_id=9)
    large.get("attr", type=Map)["large"] = text
    async with catalog(tmp_path) as document:
        await hear(document, page(7, 15), page(8, 20), large.get_update())
        await document.tidy()
        assert vaulted(document) == [15, 20]
        assert document.unsynced == 1
        await document.note_durable(document.mark)
        await document.tidy()
    async with catalog(tmp_path) as document:
        assert in_conflict(document.replica) == [[15, 20]]
