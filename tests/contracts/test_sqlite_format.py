"""The file format, as docs/reference/storage.md has it, and how it moves on."""

from __future__ import annotations

import json
import sqlite3
import struct
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import pytest

from crdt_sync.errors import StoreTooNew
from crdt_sync.stores.custody import Sidecar, read_sidecar
from crdt_sync.stores.migrations import STEPS, migrate
from crdt_sync.stores.seals import Seal
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Binding, Loaded, Record, Retirement, Snapshot
from tests.contracts.update_log_contract import records

IDENTITY = "000102030405060708090a0b0c0d0e0f"

VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE heads (id INTEGER PRIMARY KEY, name TEXT NOT NULL, last_seq INTEGER NOT NULL, link BLOB NOT NULL,
    snapshot INTEGER NOT NULL, previous INTEGER NOT NULL, marks TEXT NOT NULL, revision INTEGER NOT NULL,
    seal BLOB NOT NULL) STRICT;
CREATE TABLE records (document INTEGER NOT NULL REFERENCES heads, seq INTEGER NOT NULL, author TEXT NOT NULL,
    at_ms INTEGER NOT NULL, payload BLOB NOT NULL, link BLOB NOT NULL, PRIMARY KEY (document, seq))
    STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (document INTEGER NOT NULL REFERENCES heads, through INTEGER NOT NULL, state BLOB NOT NULL,
    ledger BLOB NOT NULL, link BLOB NOT NULL, seal BLOB NOT NULL, PRIMARY KEY (document, through)) STRICT;
"""


def keyed(person: bytes, data: bytes) -> bytes:
    return blake2b(data, digest_size=16, key=bytes.fromhex(IDENTITY), person=person).digest()


def fields(*parts: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def write_version_1(path: Path) -> None:
    """A store of format 1, made with nothing of ours: this is what files out there look like. Never edit it."""
    update, author, name = b"first", b"till-1", b"metrics"
    genesis = keyed(b"genesis", fields(name))
    link = keyed(b"record", genesis + struct.pack("<QqII", 1, 99, len(name), len(author)) + name + author + update)
    marks = json.dumps({"acked": 1}, separators=(",", ":"))
    head = fields(struct.pack("<QQQQQ", 1, 1, 1, 0, 3), name, link, marks.encode())
    state = fields(name, struct.pack("<Q", 1), b"state", b"ledger", link)
    meta = {"schema": "1", "identity": IDENTITY, "kind": "peer", "created_ms": "0", "documents": "1", "opened": "1"}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
        for key, value in meta.items():
            seal = keyed(b"meta", fields(key.encode(), value.encode()))
            connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (key, value, seal))
        connection.execute(
            "INSERT INTO heads VALUES (1, 'metrics', 1, ?, 1, 0, ?, 3, ?)", (link, marks, keyed(b"head", head))
        )
        connection.execute("INSERT INTO records VALUES (1, 1, 'till-1', 99, ?, ?)", (update, link))
        connection.execute(
            "INSERT INTO snapshots VALUES (1, 1, ?, ?, ?, ?)", (b"state", b"ledger", link, keyed(b"snapshot", state))
        )
    path.with_name(f"{path.name}.identity").write_text(f"crdt-sync store\n{IDENTITY}\nclosed\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peer.db"


async def test_a_store_of_format_1_opens_and_goes_on(path: Path) -> None:
    write_version_1(path)
    async with open_sqlite_store(path, create=False, kind="peer") as store:
        assert await store.retirements() == []
        log = store.log("metrics")
        assert await log.load() == Loaded(Snapshot(1, b"state", b"ledger"), (), {"acked": 1})
        await store.verify("metrics")
        assert await log.append([Record(b"second")]) == 2
        await log.compact(Snapshot(2, b"state", b"ledger"))
        await store.verify("metrics")
        await store.retire("metrics", "past its time", 7)
    async with open_sqlite_store(path, create=False, kind="peer") as store:
        assert await store.retirements() == [Retirement("metrics", "past its time", 7)]


async def test_a_retired_document_is_a_head_with_a_note_and_nothing_else(path: Path) -> None:
    write_version_1(path)
    async with open_sqlite_store(path, create=False, kind="peer") as store:
        await store.retire("metrics", "whö", 7, "metrics.2")
    name, note = b"metrics", '[7,"metrics.2","wh\\u00f6"]'
    genesis = keyed(b"genesis", fields(name))
    seal = keyed(b"head", fields(struct.pack("<QQQQQ", 1, 0, 0, 0, 4), name, genesis, b"{}", note.encode()))
    with closing(sqlite3.connect(path)) as connection:
        heads = connection.execute("SELECT name, last_seq, marks, revision, note, seal FROM heads").fetchall()
        counts = connection.execute("SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM snapshots)")
        assert heads == [("metrics", 0, "{}", 4, note, seal)]
        assert counts.fetchone() == (0, 0)


def add_a_table(connection: sqlite3.Connection, _seal: Seal) -> None:
    connection.execute("CREATE TABLE added (document INTEGER PRIMARY KEY) STRICT")


def fail_halfway(connection: sqlite3.Connection, seal: Seal) -> None:
    add_a_table(connection, seal)
    raise sqlite3.OperationalError("database or disk is full")


def tables(path: Path) -> tuple[set[str], str]:
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        (schema,) = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return names, schema


async def test_an_older_file_is_migrated_step_by_step_and_then_too_new_for_older_code(path: Path) -> None:
    write_version_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, Seal(IDENTITY), version=1, name=path.name, steps=(*STEPS, add_a_table))
    assert tables(path) == ({"meta", "heads", "records", "snapshots", "owners", "added"}, "4")
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(StoreTooNew, match="has format 4; this version of crdt-sync knows formats up to 3"):
            async with open_sqlite_store(path, create=create, kind="peer"):
                pass
    assert path.read_bytes() == before


async def test_a_migration_that_fails_leaves_the_format_before_it(path: Path) -> None:
    write_version_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, Seal(IDENTITY), version=1, name=path.name, steps=(*STEPS, add_a_table, fail_halfway))
        assert not connection.in_transaction
    assert tables(path) == ({"meta", "heads", "records", "snapshots", "owners", "added"}, "4")


async def test_L17_bindings_are_rows_in_a_chain_of_their_own(path: Path) -> None:
    write_version_1(path)
    async with open_sqlite_store(path, create=False, kind="peer") as store:
        log = store.log("metrics")
        assert (await log.load()).bindings == {}
        await log.append([Record(b"second")], [Binding(7, "zoë", "carried"), Binding(2**53 - 1, "relay", "firm")])
        await log.append([Record(b"third")], [Binding(7, "ada", "firm")])
    name, link, rows = b"metrics", b"", []
    for number, (client, subject, how) in enumerate(
        [(7, "zoë", "carried"), (2**53 - 1, "relay", "firm"), (7, "ada", "firm")], 1
    ):
        sizes = struct.pack("<QqII", number, client, len(name), len(subject.encode()))
        link = keyed(b"owner", link + sizes + name + subject.encode() + how.encode())
        rows.append((1, number, client, subject, how, link))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM owners ORDER BY number").fetchall() == rows
        chain, owners, owners_link, seal = connection.execute(
            "SELECT link, owners, owners_link, seal FROM heads"
        ).fetchone()
        assert (owners, owners_link) == (3, link)
    place = struct.pack("<QQQQQ", 1, 3, 1, 0, 5)
    assert seal == keyed(b"head", fields(place, name, chain, b'{"acked":1}', b"owners", struct.pack("<Q", 3), link))


async def test_the_sidecar_says_who_the_store_is_and_whether_it_was_closed(path: Path) -> None:
    async with open_sqlite_store(path, create=True, kind="peer") as store:
        await store.log("metrics").append(records(1, 1))
        assert read_sidecar(path) == Sidecar(store.identity, "open")
    assert read_sidecar(path) == Sidecar(store.identity, "closed")
    files = {file.name for file in path.parent.iterdir()}
    assert files == {"peer.db", "peer.db.identity", "peer.db.lock"}
