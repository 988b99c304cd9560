"""What ``crdt-sync verify --deep`` asks beyond the usual."""

from __future__ import annotations

import time

import typer

from crdt_sync.stores.sqlite import SqliteStore
from crdt_sync.stores.structure import check_structure
from crdt_sync.stores.update_log import Loaded
from server.commands.documents import served, ward_of
from server.scribes.pool import Scribes


def say(what: str) -> None:
    """A line with the time of day on standard error: whoever comes back to it in the morning sees how it went."""
    typer.echo(f"{time.strftime('%H:%M:%S')}  {what}", err=True)


async def check_file(store: SqliteStore) -> None:
    """Ask SQLite about the tenant's file. Raises :class:`StoreCorrupted`."""
    say(f"{store.path.stem}: the file's structure")
    await check_structure(store.path)


async def check_document(store: SqliteStore, scribes: Scribes, document: str) -> None:
    """Send the whole log that is kept through the gate, hold the ledgers to their snapshots, and read everything that
    is in a document of ours. Raises :class:`SyncError`."""
    loaded = await served(store, document)
    say(f"{store.path.stem}/{document}: {loaded.last_seq:,} updates, from the current snapshot")
    await _prove(scribes, document, loaded)
    if loaded.snapshot is not None and not (await ward_of(store, document)).kept:
        before = await store.log(document).load_from_previous()
        begin = "its beginning" if before.snapshot is None else "the snapshot before"
        say(f"{store.path.stem}/{document}: {len(before.tail):,} updates, from {begin}")
        await _prove(scribes, document, before)


async def _prove(scribes: Scribes, document: str, loaded: Loaded) -> None:
    snapshot = loaded.snapshot
    await scribes.prove(
        document,
        None if snapshot is None else (snapshot.state, snapshot.ledger),
        [record.update for record in loaded.tail],
    )
