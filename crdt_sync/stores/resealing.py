"""Gives a copy of a store an identity of its own.

Two stores that both go on from the same rows must not be taken for one another: every checksum is keyed by the store's
identity, so no row, page, write-ahead log or note of what the one does later passes in the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from crdt_sync.errors import StoreCorrupted, StoreUnavailable
from crdt_sync.stores.connection import checkpoint, connect, store_error, transaction
from crdt_sync.stores.copying import DocumentProgress
from crdt_sync.stores.custody import Sidecar, write_sidecar
from crdt_sync.stores.history import read_anchor, read_bindings, read_records
from crdt_sync.stores.migrations import migrate, write_meta
from crdt_sync.stores.rows import Source, read_heads, read_meta
from crdt_sync.stores.seals import Head, Seal

RESTORED_FROM: Final = "restored_from"
"""Row of the meta table: the identity of the store that this one was made from a copy of."""
ROWS_PER_STEP: Final = 1_000


async def reseal_store(path: Path, identity: str, fresh: str, *, progress: DocumentProgress) -> None:
    """Make the file at ``path``, a copy of the store ``identity``, the store ``fresh``: closed, with its sidecar.

    Every row is checked under the old identity before it is sealed under the new one. An interrupted call leaves a
    file that is of no use: make the copy again. Raises :class:`StoreError`."""
    source = Source(path, Seal(identity))
    try:
        writer = await connect(path, "rw")
        try:
            await writer.run(partial(reseal, source=source, fresh=fresh, progress=progress))
            if not await writer.run(checkpoint):
                raise StoreUnavailable(f"{path} is being read by another program")
        finally:
            await writer.close()
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    write_sidecar(path, Sidecar(fresh, "closed"))


def reseal(connection: sqlite3.Connection, source: Source, fresh: str, progress: DocumentProgress) -> None:
    """Bring the file to the latest format, and seal every row anew. Runs in the writer's thread."""
    migrate(connection, source.seal, version=int(read_meta(connection, source)["schema"]), name=str(source.path))
    meta = read_meta(connection, source)
    heads = read_heads(connection, source, int(meta["documents"]))
    if heads.damage:
        raise StoreCorrupted(heads.damage)
    seal = Seal(fresh)
    with transaction(connection):
        for head in heads.by_name.values():
            moved = replace(
                head,
                link=_reseal_rows(connection, source, seal, head, progress),
                owners_link=_reseal_bindings(connection, source, seal, head),
            )
            connection.execute(
                "UPDATE heads SET link = ?, owners_link = ?, seal = ? WHERE id = ?",
                (moved.link, moved.owners_link, seal.head(moved), moved.id),
            )
        for name, value in {**meta, RESTORED_FROM: meta["identity"], "identity": fresh}.items():
            write_meta(connection, seal, name, value)


def _reseal_rows(
    connection: sqlite3.Connection, source: Source, seal: Seal, head: Head, progress: DocumentProgress
) -> bytes:
    """Seal a document's records and snapshots anew; returns the chain's link at its end."""
    if head.retired is not None:
        return seal.genesis(head.name)
    anchor = read_anchor(connection, source, head, head.previous)
    # Behind a snapshot the chain goes on from that snapshot's link, whatever it is: the records before are gone.
    link = anchor.link if anchor.through else seal.genesis(head.name)
    links = {anchor.through: link}
    rows: list[tuple[bytes, int, int]] = []
    name = head.name.encode()
    for seq, record, _ in read_records(connection, source, head, anchor):
        link = seal.record(link, name, seq, record.author.encode(), record.at_ms, record.update)
        rows.append((link, head.id, seq))
        if seq == head.snapshot:
            links[seq] = link
        if len(rows) == ROWS_PER_STEP:
            _write_links(connection, rows)
            rows.clear()
            progress(head.name, seq - anchor.through, head.last_seq - anchor.through)
    _write_links(connection, rows)
    for through in {head.previous, head.snapshot} - {0}:
        _reseal_snapshot(connection, source, seal, head, (through, links[through]))
    return link


def _reseal_bindings(connection: sqlite3.Connection, source: Source, seal: Seal, head: Head) -> bytes:
    """Seal a document's bindings anew; returns the chain's link at their end.

    The copy is from the past: who wrote since is with whoever brings it back, so nobody holds an id firmly any more."""
    link = b""
    # All are read before the first is written: a table that changes under a reader may be read twice.
    for number, binding in list(read_bindings(connection, source, head)):
        loosened = replace(binding, how="carried")
        link = seal.owner(link, head.name.encode(), number, loosened)
        connection.execute(
            "UPDATE owners SET how = ?, link = ? WHERE document = ? AND number = ?",
            (loosened.how, link, head.id, number),
        )
    return link


def _write_links(connection: sqlite3.Connection, rows: Sequence[tuple[bytes, int, int]]) -> None:
    connection.executemany("UPDATE records SET link = ? WHERE document = ? AND seq = ?", rows)


def _reseal_snapshot(
    connection: sqlite3.Connection, source: Source, seal: Seal, head: Head, place: tuple[int, bytes]
) -> None:
    through, link = place
    snapshot = read_anchor(connection, source, head, through).snapshot
    assert snapshot is not None  # there is one wherever the head says so, or StoreCorrupted was raised
    connection.execute(
        "UPDATE snapshots SET link = ?, seal = ? WHERE document = ? AND through = ?",
        (link, seal.snapshot(head.name, snapshot, link), head.id, through),
    )
