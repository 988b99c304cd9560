"""SQLite connections as this project wants them, and SQLite's errors in its own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, cast

import aiosqlite

from crdt_sync.errors import StoreCorrupted, StoreError, StoreUnavailable

Access = Literal["ro", "rw", "rwc", "still"]
T = TypeVar("T")

WRITER_PRAGMAS = (
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: a plain fsync there does not reach the disk
    "checkpoint_fullfsync = ON",
    "wal_autocheckpoint = 0",  # the store checkpoints by its own rule, outside of anybody's commit
    "journal_size_limit = 0",  # the WAL file's size then says how much is waiting for a checkpoint
    "secure_delete = ON",
    "foreign_keys = ON",
)


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that runs a whole function in its thread: one hop (70 us) per commit or load."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``work`` with the raw connection, in the connection's thread. Raises sqlite3.Error."""
        try:
            return cast(T, await self._execute(work, self._conn))  # type: ignore[no-untyped-call]  # aiosqlite leaves it untyped
        except UnicodeDecodeError as error:
            # SQLite's message quoted damaged bytes of the schema, and the sqlite3 module could not even say so.
            raise sqlite3.DatabaseError(f"unreadable text in the file ({error.reason})") from error


async def connect(path: Path, access: Access) -> Connection:
    """Connect; the caller closes. Raises SQLite's errors as they are (see :func:`store_error`).

    With ``ro`` it is a reader that can't write or checkpoint, whatever happens; with ``still`` a reader of a file that
    nobody writes to, which leaves nothing beside it; else it is *the* writer."""
    # timeout=0: the lock file keeps our own processes apart, so a busy file is an error and not a queue.
    connector = partial(sqlite3.connect, file_uri(path, access), uri=True, timeout=0, isolation_level=None)
    connection = Connection(connector, iter_chunk_size=64)
    await connection
    try:
        await connection.run(prepare_reader if access in ("ro", "still") else prepare_writer)
    except BaseException:
        await connection.close()
        raise
    return connection


def file_uri(path: Path, access: Access) -> str:
    mode = "ro&immutable=1" if access == "still" else access
    return f"{path.absolute().as_uri()}?mode={mode}"


def prepare_reader(connection: sqlite3.Connection) -> None:
    """Text comes as bytes: a flipped bit may make it invalid UTF-8, and the checksum must see it first."""
    connection.text_factory = bytes
    connection.execute("PRAGMA cell_size_check = ON")
    # The first read attaches to the WAL. From then on until this connection closes, the writer is never the last
    # connection, so closing it after a failure can't checkpoint or delete anything.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def prepare_writer(connection: sqlite3.Connection) -> None:
    prepare_reader(connection)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != b"wal":
        raise StoreUnavailable(f"this file system does not let SQLite use a WAL (journal mode {mode.decode()})")
    for pragma in WRITER_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of the block in one transaction, or nothing. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors (disk full) have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Copy the WAL into the file; returns whether all of it went (a reader may hold some back)."""
    busy, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return not busy and bool(frames == copied)


DISK_CODES = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
PRIMARY_CODE = 0xFF


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Say in our words what SQLite says about the file at ``path``."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code & PRIMARY_CODE == sqlite3.SQLITE_BUSY:
        return StoreUnavailable(f"{path} is in use by another program ({name})")
    if code & PRIMARY_CODE in DISK_CODES:
        return StoreUnavailable(f"{path}: {error} ({name})")
    # What is left is corruption, or looks like it: a table that is gone, a row that is already there.
    return StoreCorrupted(f"{path}: {error} ({name})")


def is_final(error: sqlite3.Error) -> bool:
    """Whether a commit that failed so must be this connection's last.

    After an fsync that failed, Linux may have dropped the pages, and later commits seem to succeed; a file that is
    corrupt does not get better by writing. Disk full and busy are rolled back and may pass."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & PRIMARY_CODE
    return code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM)
