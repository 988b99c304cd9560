"""How a store's file comes into being, and what is asked of it before anybody may use it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from pathlib import Path

from crdt_sync.errors import StoreCorrupted, StoreUnavailable
from crdt_sync.stores.connection import connect, transaction
from crdt_sync.stores.custody import Sidecar, begin_creation, read_sidecar, write_sidecar
from crdt_sync.stores.erasing import erase_if_due
from crdt_sync.stores.migrations import migrate, write_meta
from crdt_sync.stores.rows import Heads, Source, read_heads, read_meta
from crdt_sync.stores.seals import Seal


async def existing_or_new(path: Path, *, create: bool, kind: str) -> Sidecar:
    """What is known about the store at ``path``, which is made if it never was there and ``create`` is set."""
    sidecar = await asyncio.to_thread(read_sidecar, path)
    if sidecar and sidecar.state != "creating":
        return sidecar
    if not create:
        raise StoreUnavailable(f"there is no store at {path}")
    sidecar = await asyncio.to_thread(begin_creation, path)
    connection = await connect(path, "rwc")
    try:
        await connection.run(partial(lay_out, source=Source(path, Seal(sidecar.identity)), sidecar=sidecar, kind=kind))
    finally:
        await connection.close()
    created = Sidecar(sidecar.identity, "closed")
    await asyncio.to_thread(write_sidecar, path, created)
    return created


def lay_out(connection: sqlite3.Connection, source: Source, sidecar: Sidecar, kind: str) -> None:
    """Fill an empty file with tables and the rows that say what it is."""
    migrate(connection, source.seal, version=0, name=str(source.path))
    created_ms = time.time_ns() // 1_000_000
    rows = {"identity": sidecar.identity, "kind": kind, "created_ms": str(created_ms), "documents": "0", "opened": "0"}
    with transaction(connection):
        for name, value in rows.items():
            write_meta(connection, source.seal, name, value)


def read_identity(connection: sqlite3.Connection, path: Path, sidecar: Sidecar, kind: str) -> Source:
    """Make sure that this file is the one its sidecar knows, of the right kind and not too new; changes nothing."""
    source = Source(path, Seal(sidecar.identity))
    found = connection.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()
    if found != (sidecar.identity.encode(),):
        raise StoreCorrupted(f"{path} does not hold store {sidecar.identity}, which should be there")
    meta = read_meta(connection, source)
    if meta["kind"] != kind:
        raise ValueError(f"{path} is a store of kind {meta['kind']!r}, not {kind!r}")
    return source


def begin_session(
    connection: sqlite3.Connection, source: Source, bytes_max: int | None, noted: tuple[int, int] | None
) -> Heads:
    """Migrate the file if it is older, read where every document stands, put a first row into the WAL, and overwrite
    what the session before could not.

    ``noted`` is the (document number, revision) that the session before had reached when it died; a file that has
    not got so far is :class:`StoreCorrupted`."""
    meta = read_meta(connection, source)
    migrate(connection, source.seal, version=int(meta["schema"]), name=str(source.path))
    if bytes_max is not None:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {max(1, bytes_max // page_bytes)}")
    heads = read_heads(connection, source, int(meta["documents"]))
    if noted and heads.damage is None:
        number, revision = noted
        if not any(head.id == number and head.revision >= revision for head in heads.by_name.values()):
            raise StoreCorrupted(f"{source.path}: its last durable commits are missing; its -wal file is damaged")
    with transaction(connection):
        # From here on until a clean close, the WAL is not empty, so one that is lost can be told from one never needed.
        write_meta(connection, source.seal, "opened", str(int(meta["opened"]) + 1))
    erase_if_due(connection, source)
    return heads
