"""Reads one document's snapshots and records, every one against its checksum. Runs in a connection's thread."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from crdt_sync.errors import StoreCorrupted
from crdt_sync.stores.rows import Source, read_head
from crdt_sync.stores.seals import Head
from crdt_sync.stores.update_log import Binding, Figures, Loaded, Record, Snapshot
from crdt_sync.values import ClientId


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place from which a document's log can be read: a sound snapshot, or the log's beginning."""

    through: int
    link: bytes
    snapshot: Snapshot | None
    healed: str | None = None


def read_snapshot(connection: sqlite3.Connection, source: Source, head: Head, through: int) -> Anchor:
    """One snapshot, checked; raises StoreCorrupted."""
    row = connection.execute(
        "SELECT state, ledger, link, seal FROM snapshots WHERE document = ? AND through = ?", (head.id, through)
    ).fetchone()
    match row:
        case None:
            raise source.corrupted(head.name, f"the snapshot through {through} is missing")
        case [bytes(state), bytes(ledger), bytes(link), bytes(seal)]:
            snapshot = Snapshot(through, state, ledger)
            if source.seal.snapshot(head.name, snapshot, link) == seal:
                return Anchor(through, link, snapshot)
        case _:
            pass  # a column of another type is damage like a wrong checksum
    raise source.corrupted(head.name, f"the snapshot through {through} does not match its checksum")


def read_anchor(connection: sqlite3.Connection, source: Source, head: Head, through: int) -> Anchor:
    """The anchor at ``through``: a snapshot, or at 0 the log's beginning. Raises StoreCorrupted."""
    if through:
        return read_snapshot(connection, source, head, through)
    return Anchor(0, source.seal.genesis(head.name), None)


def newest_anchor(connection: sqlite3.Connection, source: Source, head: Head) -> Anchor:
    """The current snapshot, or the anchor before it if the current one is damaged."""
    try:
        return read_anchor(connection, source, head, head.snapshot)
    except (StoreCorrupted, sqlite3.DatabaseError) as damage:
        if head.snapshot == 0 or not is_damage(damage):
            raise
        before = read_anchor(connection, source, head, head.previous)
        return Anchor(before.through, before.link, before.snapshot, healed=str(damage))


def is_damage(error: Exception) -> bool:
    """Whether the bytes are wrong, as opposed to a disk that does not answer."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return isinstance(error, StoreCorrupted) or code & 0xFF == sqlite3.SQLITE_CORRUPT


def read_records(
    connection: sqlite3.Connection, source: Source, head: Head, anchor: Anchor
) -> Iterator[tuple[int, Record, bytes]]:
    """(sequence number, record, link) of everything after ``anchor``; raises StoreCorrupted at the first flaw,
    and at the end if the log does not end where its head says."""
    document, link, seq = head.name.encode(), anchor.link, anchor.through
    next_link = source.seal.record
    names: dict[bytes, str] = {}  # few authors, many records
    rows = connection.execute(
        "SELECT seq, author, at_ms, payload, link FROM records WHERE document = ? AND seq > ? ORDER BY seq",
        (head.id, anchor.through),
    )
    try:
        for found, author, at_ms, payload, kept in rows:
            seq += 1
            if found != seq:
                raise source.corrupted(head.name, f"record {seq} is missing")
            link = next_link(link, document, seq, author, at_ms, payload)
            if link != kept:
                raise source.corrupted(head.name, f"record {seq} does not match its checksum")
            if (name := names.get(author)) is None:
                name = names[author] = author.decode()
            yield seq, Record(payload, name, at_ms), link
    except (TypeError, struct.error) as error:
        # A flipped bit may have changed a column's type.
        raise source.corrupted(head.name, f"record {seq} does not hold what a record holds") from error
    if seq != head.last_seq:
        raise source.corrupted(head.name, f"the log ends at record {seq}, but {head.last_seq} was durable")
    if link != head.link:
        raise source.corrupted(head.name, f"record {seq} is not the one that its head knows")


def read_bindings(connection: sqlite3.Connection, source: Source, head: Head) -> Iterator[tuple[int, Binding]]:
    """(number, binding) of every binding that was ever made; raises StoreCorrupted at the first flaw, and at the end
    if there are not as many as the head says."""
    document, link, number = head.name.encode(), b"", 0
    rows = connection.execute(
        "SELECT number, client, subject, how, link FROM owners WHERE document = ? ORDER BY number", (head.id,)
    )
    try:
        for found, client, subject, how, kept in rows:
            number += 1
            if found != number:
                raise source.corrupted(head.name, f"owner {number} of a client id is missing")
            binding = Binding(client, subject.decode(), how.decode())
            link = source.seal.owner(link, document, number, binding)
            if link != kept:
                raise source.corrupted(head.name, f"owner {number} of a client id does not match its checksum")
            yield number, binding
    except (AttributeError, ValueError, TypeError, struct.error) as error:
        raise source.corrupted(head.name, f"owner {number} of a client id does not hold what it should") from error
    if number != head.owners or link != head.owners_link:
        raise source.corrupted(head.name, f"{number} owners of client ids are there, but {head.owners} were durable")


def latest_bindings(connection: sqlite3.Connection, source: Source, head: Head) -> dict[ClientId, Binding]:
    """Of each client id the last binding."""
    return {binding.client: binding for _, binding in read_bindings(connection, source, head)}


def load(connection: sqlite3.Connection, source: Source, expected: Head) -> Loaded:
    """Snapshot and tail of one document, from one consistent view of the file."""
    with reading(connection):
        head = read_head(connection, source, expected)
        anchor = newest_anchor(connection, source, head)
        tail = tuple(record for _, record, _ in read_records(connection, source, head, anchor))
        bindings = latest_bindings(connection, source, head)
    return Loaded(anchor.snapshot, tail, head.marks, anchor.healed, bindings)


def load_from_previous(connection: sqlite3.Connection, source: Source, expected: Head) -> Loaded:
    """The same from the anchor before the current snapshot, whose record rows are kept for that."""
    with reading(connection):
        head = read_head(connection, source, expected)
        anchor = read_anchor(connection, source, head, head.previous)
        tail = tuple(record for _, record, _ in read_records(connection, source, head, anchor))
        bindings = latest_bindings(connection, source, head)
    return Loaded(anchor.snapshot, tail, head.marks, bindings=bindings)


def link_at(connection: sqlite3.Connection, source: Source, expected: Head, through: int) -> tuple[int, bytes]:
    """Check the log up to ``through`` before a snapshot may replace it.

    Returns the ``through`` of the anchor that it was checked from, and the chain's link at ``through``."""
    with reading(connection):
        head = read_head(connection, source, expected)
        anchor = newest_anchor(connection, source, head)
        if through == anchor.through:
            return anchor.through, anchor.link
        for seq, _, link in read_records(connection, source, head, anchor):
            if seq == through:
                return anchor.through, link
    raise source.corrupted(head.name, f"record {through} is missing")


def figures(connection: sqlite3.Connection, source: Source, expected: Head) -> Figures:
    """Sizes of one document's log; only its head is checked."""
    with reading(connection):
        return measure(connection, read_head(connection, source, expected))


def measure(connection: sqlite3.Connection, head: Head) -> Figures:
    """Count rows and bytes of one document."""
    records = connection.execute(
        "SELECT count(*), coalesce(sum(length(payload)), 0) FROM records WHERE document = ?", (head.id,)
    ).fetchone()
    snapshots = connection.execute(
        "SELECT count(*), coalesce(sum(length(state) + length(ledger)), 0) FROM snapshots WHERE document = ?",
        (head.id,),
    ).fetchone()
    return Figures(head.last_seq, *records, *snapshots)


def checking(connection: sqlite3.Connection, source: Source, expected: Head) -> Iterator[tuple[int, int]]:
    """Check every row of the document; yields (checked, in all) after each record. Raises StoreCorrupted.

    Leaves its read transaction open: a compaction meanwhile must not look like missing rows."""
    connection.execute("BEGIN")
    head = read_head(connection, source, expected)
    oldest = read_anchor(connection, source, head, head.previous)
    links = {oldest.through: oldest.link}
    in_all = head.last_seq - oldest.through
    for seq, _, link in read_records(connection, source, head, oldest):
        if seq == head.snapshot:
            links[seq] = link
        yield seq - oldest.through, in_all
    current = read_anchor(connection, source, head, head.snapshot)
    if links.get(current.through) != current.link:
        raise source.corrupted(head.name, f"the snapshot through {head.snapshot} does not continue this log")
    latest_bindings(connection, source, head)
    check_no_strays(connection, source, head)


def check_no_strays(connection: sqlite3.Connection, source: Source, head: Head) -> None:
    """Raise StoreCorrupted for rows that nothing accounts for: they say that a head went back in time."""
    (records,) = connection.execute(
        "SELECT count(*) FROM records WHERE document = ? AND seq <= ?", (head.id, head.previous)
    ).fetchone()
    (snapshots,) = connection.execute(
        "SELECT count(*) FROM snapshots WHERE document = ? AND through NOT IN (?, ?)",
        (head.id, head.snapshot, head.previous),
    ).fetchone()
    if records or snapshots:
        raise source.corrupted(head.name, f"{records} records and {snapshots} snapshots too many, from before its log")


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """One consistent view of the file for the whole block."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        # An I/O error has ended it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
