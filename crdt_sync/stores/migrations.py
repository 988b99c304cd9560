"""The file format's history: one step per version. Step N turns a file of version N - 1 into one of version N.

A step that was released is never edited; a change of format is a new step at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from crdt_sync.errors import StoreTooNew
from crdt_sync.stores.connection import transaction
from crdt_sync.stores.seals import Seal

ERASING: Final = "erasing"
"""Row of the meta table: "1" from a document's retirement until its bytes are overwritten, else "0"."""

Step: TypeAlias = Callable[[sqlite3.Connection, Seal], None]
"""Runs inside a transaction; must not commit. Gets the seal because a step may have to seal rows anew."""


def first_format(connection: sqlite3.Connection, _seal: Seal) -> None:
    """Version 1. Every table's last column seals its row; docs/reference/storage.md says how."""
    # The meta table keeps this shape in all versions: even a version that is too new must be recognised.
    connection.execute(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal BLOB NOT NULL) STRICT, WITHOUT ROWID"
    )
    # No UNIQUE on the name, on purpose: heads are read by scanning, never through an index whose one flipped bit
    # could make a document look as if it had never been written. The single writer keeps names unique.
    connection.execute(
        "CREATE TABLE heads (id INTEGER PRIMARY KEY, name TEXT NOT NULL, last_seq INTEGER NOT NULL,"
        " link BLOB NOT NULL, snapshot INTEGER NOT NULL, previous INTEGER NOT NULL, marks TEXT NOT NULL,"
        " revision INTEGER NOT NULL, seal BLOB NOT NULL) STRICT"
    )
    # Without a rowid, a document's records lie side by side, and a commit touches one page per document.
    connection.execute(
        "CREATE TABLE records (document INTEGER NOT NULL REFERENCES heads, seq INTEGER NOT NULL,"
        " author TEXT NOT NULL, at_ms INTEGER NOT NULL, payload BLOB NOT NULL, link BLOB NOT NULL,"
        " PRIMARY KEY (document, seq)) STRICT, WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE snapshots (document INTEGER NOT NULL REFERENCES heads, through INTEGER NOT NULL,"
        " state BLOB NOT NULL, ledger BLOB NOT NULL, link BLOB NOT NULL, seal BLOB NOT NULL,"
        " PRIMARY KEY (document, through)) STRICT"
    )


def documents_end(connection: sqlite3.Connection, seal: Seal) -> None:
    """Version 2: a head may hold the note of its document's end, and ``erasing`` says that bytes of one may be left."""
    connection.execute("ALTER TABLE heads ADD COLUMN note TEXT NOT NULL DEFAULT ''")
    write_meta(connection, seal, ERASING, "0")


def client_ids_have_owners(connection: sqlite3.Connection, _seal: Seal) -> None:
    """Version 3: who writes under which client id. Rows are only ever added, and chained as records are."""
    connection.execute(
        "CREATE TABLE owners (document INTEGER NOT NULL REFERENCES heads, number INTEGER NOT NULL,"
        " client INTEGER NOT NULL, subject TEXT NOT NULL, how TEXT NOT NULL, link BLOB NOT NULL,"
        " PRIMARY KEY (document, number)) STRICT, WITHOUT ROWID"
    )
    connection.execute("ALTER TABLE heads ADD COLUMN owners INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE heads ADD COLUMN owners_link BLOB NOT NULL DEFAULT x''")


STEPS: tuple[Step, ...] = (first_format, documents_end, client_ids_have_owners)
"""The format's version is the number of steps."""


def migrate(
    connection: sqlite3.Connection, seal: Seal, *, version: int, name: str, steps: Sequence[Step] = STEPS
) -> None:
    """Bring a file from ``version`` (0: an empty one) to the last, one transaction per step.

    Raises :class:`StoreTooNew` without touching anything if the file is ahead of ``steps``."""
    check_version(version, name, len(steps))
    for reached, step in enumerate(steps[version:], start=version + 1):
        with transaction(connection):
            step(connection, seal)
            write_meta(connection, seal, "schema", str(reached))


def check_version(version: int, name: str, known: int = len(STEPS)) -> None:
    """Raise :class:`StoreTooNew` for a version that this code does not know."""
    if version > known:
        raise StoreTooNew(f"{name} has format {version}; this version of crdt-sync knows formats up to {known}")


def write_meta(connection: sqlite3.Connection, seal: Seal, name: str, value: str) -> None:
    """Set one row of the meta table, sealed. The caller holds the transaction."""
    row = (name, value, seal.meta(name.encode(), value.encode()))
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", row)
