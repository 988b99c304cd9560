"""Copies a store's file while somebody else writes to it, and checks every row of a copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from crdt_sync.errors import StoreCorrupted, StoreUnavailable
from crdt_sync.stores import history
from crdt_sync.stores.connection import connect, file_uri, store_error
from crdt_sync.stores.custody import Sidecar, beside, is_held
from crdt_sync.stores.opening import read_identity
from crdt_sync.stores.rows import Source, read_heads, read_meta
from crdt_sync.stores.seals import Head
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Progress

PAGES_PER_STEP: Final = 1_000
RECORDS_PER_STEP: Final = 1_000

DocumentProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with (document, records read so far, records in all)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a document's log ends in a copy."""

    last_seq: int
    link: str
    """The hash chain at ``last_seq``, in hex: it stands for every byte of the log."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a copy of a store holds, every row of it checked."""

    identity: str
    documents: Mapping[str, Standing]
    retired: Sequence[str]
    """Documents that have ended; only their notes are there."""


async def copy_store(path: Path, target: Path, *, kind: str, progress: Progress | None = None) -> str:
    """Write the store at ``path``, as it stands at one moment, into the one file ``target``; returns its identity.

    Whoever has it open goes on writing meanwhile, in any process: all that was durable when this was called is in the
    copy. A store that nobody has open is opened for it, so what is wrong with its files is found. The copy's rows are
    not checked; see :func:`check_copy`. ``progress`` counts pages. Raises :class:`StoreError`."""
    if is_held(path):
        return await _copy(path, target, kind, progress)
    async with open_sqlite_store(path, create=False, kind=kind):
        return await _copy(path, target, kind, progress)


async def _copy(path: Path, target: Path, kind: str, progress: Progress | None) -> str:
    identity_path = beside(path, ".identity")
    try:
        sidecar = Sidecar.parse(identity_path.read_text("utf-8", errors="replace"), identity_path)
        connection = await connect(path, "ro")
        try:
            work = partial(copy_pages, path=path, target=target, sidecar=sidecar, kind=kind, progress=progress)
            await connection.run(work)
        finally:
            await connection.close()
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    return sidecar.identity


def copy_pages(
    connection: sqlite3.Connection, path: Path, target: Path, sidecar: Sidecar, kind: str, progress: Progress | None
) -> None:
    """Copy all pages from one view of the file. Runs in the connection's thread."""

    def step(_status: int, remaining: int, total: int) -> None:
        if progress:
            progress(total - remaining, total)

    # SQLite begins a copy anew whenever somebody has written between two steps, and so may never end. Inside a
    # transaction of ours all steps see the same view, and nobody waits for us: readers don't lock writers out of a WAL.
    with history.reading(connection):
        read_identity(connection, path, sidecar, kind)
        with closing(sqlite3.connect(file_uri(target, "rwc"), uri=True, isolation_level=None)) as copy:
            connection.backup(copy, pages=PAGES_PER_STEP, progress=step)


async def check_copy(path: Path, identity: str, *, kind: str, progress: DocumentProgress | None = None) -> Contents:
    """Read and check every row of the copy at ``path``, which nobody writes to, and leave nothing beside it.

    Raises :class:`StoreCorrupted` at the first flaw, :class:`StoreTooNew`, and :class:`StoreUnavailable`."""
    try:
        connection = await connect(path, "still")
        try:
            source = await connection.run(
                partial(read_identity, path=path, sidecar=Sidecar(identity, "closed"), kind=kind)
            )
            heads = await connection.run(partial(_heads, source=source))
            for head in heads:
                if head.retired is None:
                    checking = await connection.run(partial(history.checking, source=source, expected=head))
                    while done := await connection.run(partial(_next_rows, checking=checking)):
                        if progress:
                            progress(head.name, *done[-1])
                    await connection.run(sqlite3.Connection.rollback)
            await connection.run(partial(_check_structure, path=path))
        finally:
            await connection.close()
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    documents = {head.name: Standing(head.last_seq, head.link.hex()) for head in heads if head.retired is None}
    return Contents(identity, documents, [head.name for head in heads if head.retired is not None])


def _heads(connection: sqlite3.Connection, source: Source) -> Sequence[Head]:
    heads = read_heads(connection, source, int(read_meta(connection, source)["documents"]))
    if heads.damage:
        raise StoreCorrupted(heads.damage)
    return [head for _, head in sorted(heads.by_name.items())]


def _next_rows(_: sqlite3.Connection, checking: Iterator[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    return list(islice(checking, RECORDS_PER_STEP))


def _check_structure(connection: sqlite3.Connection, path: Path) -> None:
    found = [row[0].decode(errors="replace") for row in connection.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise StoreCorrupted(f"{path}: {'; '.join(found)}")
