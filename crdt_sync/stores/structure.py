"""Asks SQLite itself whether a file is one: trees, free pages, order, indexes. Rows have checksums of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from crdt_sync.errors import StoreCorrupted
from crdt_sync.stores.connection import connect, store_error

FLAWS_MAX: Final = 5
"""So many are named; a file that has one has hundreds."""


async def check_structure(path: Path) -> None:
    """Read every page of the store at ``path``, which may be in use. Raises :class:`StoreCorrupted` with what is wrong,
    and :class:`StoreUnavailable`."""
    try:
        connection = await connect(path, "ro")
        try:
            found = await connection.run(_flaws)
        finally:
            await connection.close()
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    if found != ["ok"]:
        raise StoreCorrupted(f"{path}: {'; '.join(found)}")


def _flaws(connection: sqlite3.Connection) -> Sequence[str]:
    rows = connection.execute(f"PRAGMA integrity_check({FLAWS_MAX})")
    return [text.decode(errors="replace") for (text,) in rows]
