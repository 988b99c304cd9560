"""What waits to be written, and how one transaction writes all of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from crdt_sync.errors import StoreError
from crdt_sync.stores.connection import transaction
from crdt_sync.stores.custody import Hold
from crdt_sync.stores.migrations import ERASING, write_meta
from crdt_sync.stores.seals import Head, Seal
from crdt_sync.stores.update_log import Binding, Record, Retirement, Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Append:
    document: str
    records: tuple[Record, ...]
    bindings: tuple[Binding, ...]
    done: asyncio.Future[int]


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    document: str
    name: str
    value: int
    done: asyncio.Future[int]


@dataclass(frozen=True, slots=True, eq=False)
class Compaction:
    document: str
    snapshot: Snapshot
    link: bytes
    """The hash chain at ``snapshot.through``."""
    anchor: int
    """The log from here up to ``snapshot.through`` was found sound: what falls back falls back to here."""
    done: asyncio.Future[int]


@dataclass(frozen=True, slots=True, eq=False)
class Ending:
    document: str
    retirement: Retirement
    contents: tuple[Record, ...]
    """Appended to the successor."""
    done: asyncio.Future[int]


Job: TypeAlias = Append | Mark | Compaction | Ending


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction changed."""

    heads: Mapping[str, Head]
    last_seqs: Sequence[int]
    """For each job, its document's last sequence number right after it."""


class Batch:
    """Plans the rows of one transaction from the heads as they are, then writes them. Runs in the writer's thread.

    It changes nothing outside of itself and the database, so a batch that fails leaves no trace."""

    def __init__(self, heads: Mapping[str, Head], seal: Seal) -> None:
        self._before, self._seal = heads, seal
        self._heads: dict[str, Head] = {}
        self._new_documents = 0
        self._records: list[tuple[int, int, str, int, bytes, bytes]] = []
        self._owners: list[tuple[int, int, int, str, str, bytes]] = []
        self._compactions: list[tuple[Head, Compaction]] = []
        self._ended: list[int] = []

    def plan(self, job: Job) -> int:
        """Take one job in; returns the last sequence number of its document after it."""
        head = self._head(job.document)
        match job:
            case Append():
                after = self._append(head, job.records)
                if job.bindings:
                    after = self._bind(after, job.bindings)
            case Mark():
                marks = {**head.marks, job.name: job.value}
                after = replace(head, marks=marks, revision=head.revision + 1)
            case Compaction():
                # A snapshot at the same place replaces the current one, and the one before it stays.
                previous = job.anchor if job.anchor < job.snapshot.through else head.previous
                through = job.snapshot.through
                after = replace(head, snapshot=through, previous=previous, revision=head.revision + 1)
                self._compactions.append((after, job))
            case Ending(_, retirement, contents):
                after = self._end(head, retirement)
                if retirement.successor is not None and contents:
                    self._heads[retirement.successor] = self._append(self._head(retirement.successor), contents)
            case _:
                assert_never(job)
        self._heads[job.document] = after
        return after.last_seq

    def write(self, connection: sqlite3.Connection) -> Mapping[str, Head]:
        """Commit everything planned in one transaction and return the new heads; on an error nothing was changed."""
        with transaction(connection):
            connection.executemany(
                "INSERT INTO heads (id, name, last_seq, link, snapshot, previous, marks, revision, note, owners,"
                " owners_link, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " last_seq = excluded.last_seq, link = excluded.link, snapshot = excluded.snapshot,"
                " previous = excluded.previous, marks = excluded.marks, revision = excluded.revision,"
                " note = excluded.note, owners = excluded.owners, owners_link = excluded.owners_link,"
                " seal = excluded.seal",
                map(self._head_row, self._heads.values()),
            )
            if self._new_documents:
                documents = len(self._before) + self._new_documents
                write_meta(connection, self._seal, "documents", str(documents))
            connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", self._records)
            connection.executemany("INSERT INTO owners VALUES (?, ?, ?, ?, ?, ?)", self._owners)
            for head, compaction in self._compactions:
                self._compact(connection, head, compaction)
            # Last: what the same transaction has written of a document that it ends goes with it.
            for number in self._ended:
                connection.execute("DELETE FROM records WHERE document = ?", (number,))
                connection.execute("DELETE FROM snapshots WHERE document = ?", (number,))
                connection.execute("DELETE FROM owners WHERE document = ?", (number,))
            if self._ended:
                write_meta(connection, self._seal, ERASING, "1")
        return self._heads

    def _head(self, document: str) -> Head:
        if head := self._heads.get(document) or self._before.get(document):
            return head
        # Heads are never removed, not even those of documents that have ended, so their numbers are dense.
        self._new_documents += 1
        number = len(self._before) + self._new_documents
        found = self._heads[document] = Head(number, document, 0, self._seal.genesis(document))
        return found

    def _end(self, head: Head, retirement: Retirement) -> Head:
        self._ended.append(head.id)
        link = self._seal.genesis(head.name)
        return Head(head.id, head.name, 0, link, revision=head.revision + 1, retired=retirement)

    def _append(self, head: Head, records: Sequence[Record]) -> Head:
        document, link, seq = head.name.encode(), head.link, head.last_seq
        for record in records:
            seq += 1
            link = self._seal.record(link, document, seq, record.author.encode(), record.at_ms, record.update)
            self._records.append((head.id, seq, record.author, record.at_ms, record.update, link))
        # Written out: dataclasses.replace takes four times as long, and this runs for every append.
        place = (seq, link, head.snapshot, head.previous, head.marks, head.revision + 1)
        return Head(head.id, head.name, *place, None, head.owners, head.owners_link)

    def _bind(self, head: Head, bindings: Sequence[Binding]) -> Head:
        number, link = head.owners, head.owners_link
        for binding in bindings:
            number += 1
            link = self._seal.owner(link, head.name.encode(), number, binding)
            self._owners.append((head.id, number, binding.client, binding.subject, binding.how, link))
        return replace(head, owners=number, owners_link=link)

    def _head_row(self, head: Head) -> tuple[int | str | bytes, ...]:
        place = (head.id, head.name, head.last_seq, head.link, head.snapshot, head.previous)
        said = (head.marks_text(), head.revision, head.note_text(), head.owners, head.owners_link)
        return (*place, *said, self._seal.head(head))

    def _compact(self, connection: sqlite3.Connection, head: Head, compaction: Compaction) -> None:
        snapshot, link = compaction.snapshot, compaction.link
        seal = self._seal.snapshot(head.name, snapshot, link)
        connection.execute(
            "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)",
            (head.id, snapshot.through, snapshot.state, snapshot.ledger, link, seal),
        )
        connection.execute(
            "DELETE FROM snapshots WHERE document = ? AND through NOT IN (?, ?)",
            (head.id, snapshot.through, head.previous),
        )
        connection.execute("DELETE FROM records WHERE document = ? AND seq <= ?", (head.id, head.previous))


def new_future() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()


def resolve(jobs: Sequence[Job], committed: Committed) -> None:
    for job, last_seq in zip(jobs, committed.last_seqs, strict=True):
        if not job.done.done():  # its caller was cancelled meanwhile
            job.done.set_result(last_seq)


def reject(jobs: Iterable[Job], failure: StoreError, cause: BaseException | None = None) -> None:
    for job in jobs:
        if not job.done.done():
            # One exception each: a shared one would collect the tracebacks of all who wait.
            error = type(failure)(str(failure))
            error.__cause__ = cause
            job.done.set_exception(error)


def commit(
    connection: sqlite3.Connection, jobs: Sequence[Job], heads: Mapping[str, Head], seal: Seal, custody: Hold
) -> Committed:
    """Write all ``jobs`` in one transaction, and note outside of the database that it happened."""
    batch = Batch(heads, seal)
    last_seqs = [batch.plan(job) for job in jobs]
    committed = Committed(batch.write(connection), last_seqs)
    custody.write_note(seal.note(committed.heads[jobs[-1].document]))
    return committed
