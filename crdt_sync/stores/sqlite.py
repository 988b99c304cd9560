"""Documents' logs in one SQLite file. The file format and its rules: docs/reference/storage.md."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, assert_never

from crdt_sync.errors import DocumentRetired, StoreCorrupted, StoreError, StoreUnavailable
from crdt_sync.stores import history
from crdt_sync.stores.commits import Compaction, Ending, Job, commit, new_future, reject, resolve
from crdt_sync.stores.connection import Connection, checkpoint, connect, is_final, store_error
from crdt_sync.stores.custody import Hold, Sidecar, beside, hold, write_sidecar
from crdt_sync.stores.erasing import erase_if_due
from crdt_sync.stores.opening import begin_session, existing_or_new, read_identity
from crdt_sync.stores.rows import Heads, Source
from crdt_sync.stores.seals import Head
from crdt_sync.stores.sqlite_log import SqliteLog
from crdt_sync.stores.update_log import (
    Figures,
    Loaded,
    Progress,
    Record,
    Retirement,
    Snapshot,
    check_retirement,
    check_snapshot,
    check_text,
)

T = TypeVar("T")

CHECKPOINT_BYTES = 8 << 20
"""Checkpoint once the WAL has grown to this: some 10 ms of writing, and 0.2 s of checking after a crash."""
VERIFY_CHUNK_RECORDS = 1_000


class SqliteStore:
    """See :class:`~crdt_sync.stores.update_log.Store`; made by :func:`open_sqlite_store`."""

    def __init__(
        self, source: Source, sidecar: Sidecar, custody: Hold, reader: Connection, writer: Connection, heads: Heads
    ) -> None:
        self.path = source.path
        self.failure: StoreError | None = None
        self.commits = 0
        """Transactions that appended, marked or compacted, since the store was opened."""
        self._source, self._sidecar, self._custody = source, sidecar, custody
        self._reader, self._writer = reader, writer
        self._heads, self._damage = dict(heads.by_name), heads.damage
        self._queue: list[Job] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._compacting = asyncio.Lock()
        self._viewing = asyncio.Lock()
        """Held by whoever looks at the file for long, and by whoever must be alone with it."""
        self._reading = asyncio.Lock()
        self._ending = asyncio.Lock()
        self._retiring: dict[str, asyncio.Future[int]] = {}
        self._committer = asyncio.create_task(self._commit_forever(), name=f"commits to {self.path.name}")

    @property
    def identity(self) -> str:
        return self._sidecar.identity

    def log(self, document: str) -> SqliteLog:
        return SqliteLog(self, check_text("document", document))

    @property
    def names_written(self) -> int:
        """How many documents were ever written, those that have ended among them."""
        return len(self._heads)

    async def documents(self) -> Sequence[str]:
        """Raises :class:`StoreCorrupted` if a document's head is damaged: a list without it would be a lie."""
        self._refuse_if_failed()
        if self._damage:
            raise StoreCorrupted(self._damage)
        return sorted(name for name, head in self._heads.items() if head.retired is None)

    async def retirements(self) -> Sequence[Retirement]:
        """Raises :class:`StoreCorrupted` as :meth:`documents` does."""
        await self.documents()
        return [head.retired for _, head in sorted(self._heads.items()) if head.retired is not None]

    async def retire(
        self, document: str, why: str, at_ms: int, successor: str | None = None, contents: Sequence[Record] = ()
    ) -> Retirement:
        retirement = Retirement(document, why, at_ms, successor)
        checked = check_retirement(retirement, contents)
        async with self._ending:
            try:
                self.head(document)
                if successor is not None:
                    self.head(successor)
            except DocumentRetired as error:
                if error.document != document or error.successor != successor:
                    raise
                retirement = self._note_of(document)
            else:
                ending = Ending(document, retirement, checked, new_future())
                # From here to its commit nobody else may queue anything for it, not even when we are cancelled.
                self._retiring[document] = ending.done
                ending.done.add_done_callback(lambda _: self._retiring.pop(document))
                try:
                    await asyncio.shield(self._enqueue(ending))
                except asyncio.CancelledError:
                    # What has been handed to the disk can't be called back, and the next one must find it done.
                    await asyncio.wait([ending.done])
                    raise
            await self._erase()
            return retirement

    def _note_of(self, document: str) -> Retirement:
        note = self._heads[document].retired
        assert note is not None
        return note

    async def _erase(self) -> None:
        """Overwrite what retired documents have left; see erasing.py. Whoever verifies is waited for."""
        async with self._viewing, self._reading:
            # A load whose caller was cancelled may still run in the reader's thread; this waits behind it.
            await self._reader.run(lambda _: None)
            work = partial(erase_if_due, source=self._source)
            try:
                await self._writer.run(work)
            except sqlite3.Error as error:
                raise self._fail(error) from error

    async def figures(self, document: str) -> Figures:
        head = self.head(document)
        return await self._read(partial(history.figures, source=self._source, expected=head)) if head else NO_FIGURES

    async def verify(self, document: str, *, progress: Progress | None = None) -> Figures:
        if (head := self.head(document)) is None:
            return NO_FIGURES
        async with self._viewing:
            return await self._verify(head, progress)

    async def _verify(self, head: Head, progress: Progress | None) -> Figures:
        # A connection of its own: it reads for long from one view of the file, and loads must not wait for it.
        try:
            connection = await connect(self.path, "ro")
            try:
                checking = await connection.run(partial(history.checking, source=self._source, expected=head))
                while done := await connection.run(lambda _: list(islice(checking, VERIFY_CHUNK_RECORDS))):
                    if progress:
                        progress(*done[-1])
                return await connection.run(partial(history.measure, head=head))
            finally:
                await connection.close()
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def head(self, document: str) -> Head | None:
        """Where the document stands as of the last commit; None if it was never written.

        Raises :class:`StoreError`, and :class:`DocumentRetired` for one that has ended."""
        self._refuse_if_failed()
        head = self._heads.get(document)
        if head is not None and head.retired is not None:
            raise head.retired.error()
        if head is None and self._damage:
            raise StoreCorrupted(f"{self._damage}; it may be {document!r}")
        return head

    async def load(self, document: str) -> Loaded:
        head = self.head(document)
        return await self._read(partial(history.load, source=self._source, expected=head)) if head else Loaded()

    async def load_from_previous(self, document: str) -> Loaded:
        head = self.head(document)
        if head is None:
            return Loaded()
        return await self._read(partial(history.load_from_previous, source=self._source, expected=head))

    async def compact(self, document: str, snapshot: Snapshot) -> None:
        # One at a time: the second must judge itself against what the first has left.
        async with self._compacting:
            head = self.head(document)
            check_snapshot(snapshot, current=head.snapshot if head else 0, last_seq=head.last_seq if head else 0)
            assert head is not None  # nothing fits a log that was never written
            check = partial(history.link_at, source=self._source, expected=head, through=snapshot.through)
            anchor, link = await self._read(check)
            await self.submit(Compaction(document, snapshot, link, anchor, new_future()))

    async def submit(self, job: Job) -> int:
        """Queue ``job`` for the next commit; returns its document's last sequence number when it is durable."""
        while (ending := self._retiring.get(job.document)) is not None:
            await asyncio.wait([ending])
        self.head(job.document)
        return await self._enqueue(job)

    def _enqueue(self, job: Job) -> asyncio.Future[int]:
        self._queue.append(job)
        self._wake.set()
        return job.done

    async def close(self) -> None:
        """Commit what waits, then empty the WAL into the file, so that the file alone is the store."""
        self._closing = True
        self._wake.set()
        try:
            await self._committer
            if self.failure is None:
                await self._leave_closed()
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        except OSError as error:
            raise StoreUnavailable(f"{self.path}: {error}") from error
        finally:
            self.failure = self.failure or StoreUnavailable(f"{self.path} is closed")

    async def _leave_closed(self) -> None:
        async with self._reading:
            # Behind a load whose caller was cancelled: a checkpoint goes only as far as the oldest reader has seen.
            await self._reader.run(lambda _: None)
            if not await self._writer.run(checkpoint):
                # A verification still reads. Its WAL stays as after a crash, and nothing is lost.
                return
            # The writer, as the last to close, removes the WAL. Before that, the sidecar must not expect one any more;
            # when it can't be written, the reader is still there, and the WAL stays.
            await asyncio.to_thread(write_sidecar, self.path, Sidecar(self.identity, "closed"))
            await self._reader.close()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            async with self._reading:
                self._refuse_if_failed()
                return await self._reader.run(work)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def _refuse_if_failed(self) -> None:
        if self.failure:
            raise type(self.failure)(str(self.failure))
        if self._closing:
            raise StoreUnavailable(f"{self.path} is being closed")

    async def _commit_forever(self) -> None:
        """The group commit: whatever was queued while one transaction ran is the next one."""
        try:
            while self._queue or not self._closing:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                jobs, self._queue = self._queue, []
                await self._commit(jobs)
                await self._checkpoint_if_due()
        finally:
            reject(self._queue, self.failure or StoreUnavailable(f"{self.path} is closed"))

    async def _commit(self, jobs: Sequence[Job]) -> None:
        if self.failure:
            reject(jobs, self.failure)
            return
        try:
            work = partial(commit, jobs=jobs, heads=self._heads, seal=self._source.seal, custody=self._custody)
            committed = await self._writer.run(work)
            self._wal_bytes()
        except (sqlite3.Error, StoreError, OSError) as error:
            reject(jobs, self._fail(error), error)
        except BaseException as error:
            # Not the disk's doing, such as a loop that is torn down. Nobody may wait for ever.
            self.failure = StoreUnavailable(f"{self.path}: its commits have stopped ({error!r})")
            reject(jobs, self.failure, error)
            raise
        else:
            self.commits += 1
            self._heads.update(committed.heads)
            resolve(jobs, committed)

    async def _checkpoint_if_due(self) -> None:
        if self.failure or self._wal_bytes() < CHECKPOINT_BYTES:
            return
        try:
            await self._writer.run(checkpoint)
        except sqlite3.Error as error:
            # The WAL still has everything. A full disk may pass: the next commit tries again.
            self._fail(error)

    def _fail(self, error: sqlite3.Error | StoreError | OSError) -> StoreError:
        """Stop for good if ``error`` says so (rule L14); returns it in our words."""
        failure: StoreError
        match error:
            case StoreError():
                failure = error
            case sqlite3.Error():
                failure = store_error(error, self.path)
            case OSError():
                failure = StoreUnavailable(f"{self.path}: {error}")
            case _:
                assert_never(error)
        if not isinstance(error, sqlite3.Error) or is_final(error):
            self.failure = failure
        return failure

    def _wal_bytes(self) -> int:
        wal = beside(self.path, "-wal")
        try:
            return os.stat(wal).st_size
        except FileNotFoundError as error:
            # Its inode still takes our commits, but nobody will ever find them.
            raise StoreCorrupted(f"{wal} was removed while the store was open") from error


NO_FIGURES = Figures(last_seq=0, records=0, record_bytes=0, snapshots=0, snapshot_bytes=0)


@asynccontextmanager
async def open_sqlite_store(
    path: Path, *, create: bool, kind: str, bytes_max: int | None = None
) -> AsyncIterator[SqliteStore]:
    """Open the store in the file at ``path``; when the block ends, every accepted append is on disk in that file.

    With ``create``, it is made if it never was there. ``kind`` says what the store is for ("tenant", "peer"); another
    kind of store at ``path`` is a ValueError. Beyond ``bytes_max``, appends fail like on a full disk.

    Raises :class:`StoreUnavailable` (none there, held by another opener, disk), :class:`StoreCorrupted` (the file is
    not the one that was there, or is damaged) and :class:`StoreTooNew`."""
    async with AsyncExitStack() as stack:
        try:
            custody = stack.enter_context(hold(path, create=create))
            sidecar = await existing_or_new(path, create=create, kind=kind)
            # On any error, the stack closes the writer before the reader: then nothing is checkpointed or removed.
            reader = await connect(path, "ro")
            stack.push_async_callback(reader.close)
            source = await reader.run(partial(read_identity, path=path, sidecar=sidecar, kind=kind))
            writer = await connect(path, "rw")
            stack.push_async_callback(writer.close)
            # Only a store that was left open has anything to say about its last commit.
            noted = source.seal.read_note(custody.read_note()) if sidecar.state == "open" else None
            heads = await writer.run(partial(begin_session, source=source, bytes_max=bytes_max, noted=noted))
            custody.write_note(b"")
            await asyncio.to_thread(write_sidecar, path, Sidecar(sidecar.identity, "open"))
        except sqlite3.Error as error:
            raise store_error(error, path) from error
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        store = SqliteStore(source, sidecar, custody, reader, writer, heads)
        try:
            yield store
        finally:
            await finish(store.close())


async def finish(closing: Coroutine[Any, Any, None]) -> None:
    """Wait for ``closing`` even if this task is cancelled meanwhile."""
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
