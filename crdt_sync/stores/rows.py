"""Reads what a store knows about itself and its documents; believes no row before its checksum.

Everything here runs in a connection's thread."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crdt_sync.errors import StoreCorrupted
from crdt_sync.stores.migrations import check_version
from crdt_sync.stores.seals import Head, Seal, read_note

META_NAMES = ("documents", "identity", "kind", "opened", "schema")
"""Rows that a file of every format has."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: names the file in errors, and knows its checksums."""

    path: Path
    seal: Seal

    def corrupted(self, document: str, what: str) -> StoreCorrupted:
        return StoreCorrupted(f"{self.path}, document {document!r}: {what}")


@dataclass(frozen=True, slots=True)
class Heads:
    """All heads of a store. ``damage`` says that one can't be read: a name that is not here may be that one."""

    by_name: Mapping[str, Head]
    damage: str | None


def read_meta(connection: sqlite3.Connection, source: Source) -> dict[str, str]:
    """The meta table, checked: identity, kind, format version, number of documents.

    Raises :class:`StoreTooNew` for a later format before it expects anything else of the file."""
    meta: dict[str, str] = {}
    for row in connection.execute("SELECT name, value, seal FROM meta"):
        match row:
            case [bytes(name), bytes(value), bytes(seal)] if seal == source.seal.meta(name, value):
                meta[name.decode()] = value.decode()
            case _:
                raise StoreCorrupted(f"{source.path}: meta row {row[0]!r} does not match its checksum")
    if "schema" in meta:
        check_version(int(meta["schema"]), str(source.path))
    if missing := [name for name in META_NAMES if name not in meta]:
        raise StoreCorrupted(f"{source.path}: meta rows are missing: {', '.join(missing)}")
    return meta


def read_heads(connection: sqlite3.Connection, source: Source, count: int) -> Heads:
    """Every document's head. Damage does not raise here: the other documents go on."""
    heads: dict[str, Head] = {}
    damage = None
    seen = 0
    for row in connection.execute(f"{SELECT_HEAD} ORDER BY id"):
        seen += 1
        head = parse_head(row, source.seal)
        if head is None or head.name in heads:
            damage = f"{source.path}: the head of document number {row[0]} does not match its checksum"
        else:
            heads[head.name] = head
    if seen != count:
        damage = f"{source.path}: {seen} heads of documents are there, not {count}"
    return Heads(heads, damage)


SELECT_HEAD = (
    "SELECT id, name, last_seq, link, snapshot, previous, marks, revision, note, owners, owners_link, seal FROM heads"
)


def parse_head(row: tuple[Any, ...], seal: Seal) -> Head | None:
    """The head that a row holds, or None if it is not what was written."""
    try:
        number, name, last_seq, link, snapshot, previous, marks, revision, note, owners, owners_link, kept = row
        retired = read_note(name.decode(), note.decode())
        place = (number, name.decode(), last_seq, link, snapshot, previous, json.loads(marks), revision)
        head = Head(*place, retired, owners, owners_link)
        return head if seal.head(head) == kept else None
    except (AttributeError, ValueError, TypeError, RecursionError, struct.error):
        # A flipped bit may have changed a column's type, or made its text unreadable.
        return None


def read_head(connection: sqlite3.Connection, source: Source, expected: Head) -> Head:
    """The document's head as it is on disk now; it may be ahead of ``expected``, never behind."""
    row = connection.execute(f"{SELECT_HEAD} WHERE id = ?", (expected.id,)).fetchone()
    head = parse_head(row, source.seal) if row else None
    if head is None or head.name != expected.name:
        raise source.corrupted(expected.name, "its head row is missing or does not match its checksum")
    if head.retired is not None:
        raise head.retired.error()
    if head.last_seq < expected.last_seq:
        raise source.corrupted(expected.name, f"its log ends at {head.last_seq}, but {expected.last_seq} was durable")
    return head
