"""Overwrites what a retired document has left behind in the file, in its free pages and in its write-ahead log.

SQLite's ``secure_delete`` zeroes rows and pages when they are freed. Yet it also copies rows between pages while it
balances its trees, and what it copied from may keep them where no page accounts for it; so the file is written anew.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from crdt_sync.errors import StoreUnavailable
from crdt_sync.stores.connection import checkpoint, transaction
from crdt_sync.stores.custody import beside
from crdt_sync.stores.migrations import ERASING, write_meta
from crdt_sync.stores.rows import Source
from crdt_sync.stores.wal import FRAME_HEADER_BYTES, WAL_HEADER_BYTES

WAL_FRAMES_MAX = 8
"""More frames than the two small commits below need hold pages from before them."""


def erase_if_due(connection: sqlite3.Connection, source: Source) -> None:
    """:func:`erase`, if bytes of a retired document may still be in the files."""
    if connection.execute("SELECT value FROM meta WHERE name = ?", (ERASING,)).fetchone() == (b"1",):
        erase(connection, source)


def erase(connection: sqlite3.Connection, source: Source) -> None:
    """Write the file anew, and let its write-ahead log begin anew. Runs in the writer's thread, while nobody reads.

    May be interrupted anywhere: the row ``erasing`` is cleared last. The WAL is never empty, not even for a moment,
    because a store that was left open is known to be whole by its WAL. Raises :class:`StoreUnavailable` when somebody
    did read, sqlite3.Error for a disk that does not do its part."""
    connection.execute("VACUUM")
    if not checkpoint(connection):
        raise StoreUnavailable(f"{source.path}: a retired document's bytes can't be overwritten while somebody reads")
    # A checkpointed WAL begins anew with the next commit, and its file is cut behind that (journal_size_limit = 0).
    _note(connection, source, "1")
    if _wal_bytes(source.path) > WAL_HEADER_BYTES + WAL_FRAMES_MAX * (FRAME_HEADER_BYTES + _page_bytes(connection)):
        raise StoreUnavailable(f"{source.path}: its write-ahead log still holds pages of a retired document")
    _note(connection, source, "0")


def _note(connection: sqlite3.Connection, source: Source, value: str) -> None:
    with transaction(connection):
        write_meta(connection, source.seal, ERASING, value)


def _wal_bytes(path: Path) -> int:
    return os.stat(beside(path, "-wal")).st_size


def _page_bytes(connection: sqlite3.Connection) -> int:
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(page_bytes)
