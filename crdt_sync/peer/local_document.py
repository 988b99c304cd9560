"""One document of a peer: a replica in memory and its log in the peer's file, always told in this order."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from crdt_sync.errors import ReplicaBroken, StoreCorrupted
from crdt_sync.limits import Limits
from crdt_sync.peer.vault import OWED, VaultDebt, watched_roots
from crdt_sync.replica import Replica, Write, replay
from crdt_sync.stores.update_log import Loaded, Record, Snapshot, UpdateLog
from crdt_sync.updates.ledger import Ledger

ACKED = "acked"
FLAT = "flat"
"""Mark: the snapshot through this number is of a flat document, so it can be restored without judging it again."""
COMPACT_RECORDS = 2_000
COMPACT_BYTES = 256 << 10
"""A log of so many records, or of so many bytes and no shorter than its snapshot, is worth a new snapshot."""


class Edit(NamedTuple):
    """A local edit that is in the log."""

    update: bytes
    mark: int
    """Where the log stands with it."""


class LocalDocument:
    """Made by :meth:`load`. After any failure it is dropped and loaded again: the log is the memory."""

    def __init__(
        self, name: str, author: str, replica: Replica, update_log: UpdateLog, *, owes_vault: bool = False
    ) -> None:
        self.name = name
        self.replica = replica
        self.lock = asyncio.Lock()
        """Held from a change of the replica until it is in the log, so that the log keeps the order of causes."""
        self.mark = 0
        self._is_unsure = False
        self._author = author
        self._log = update_log
        self._acked = 0
        self._unsynced: list[int] = []
        self._tail_records = 0
        self._tail_bytes = 0
        self._snapshot_bytes = 0
        self._debt = VaultDebt(replica, update_log, is_owed=owes_vault)
        self.on_commit: Callable[[bool], None] | None = None
        """Told after each commit, with the lock still held, whether it was an edit of this peer."""

    @classmethod
    async def load(cls, name: str, author: str, update_log: UpdateLog, limits: Limits) -> LocalDocument:
        """Rebuild the document from its log under a fresh client id. Raises :class:`StoreError`."""
        loaded = await update_log.load()
        owes_vault = bool(loaded.marks.get(OWED))
        try:
            replica = _rebuild(loaded, limits, watched_roots(name) if owes_vault else ())
        except ReplicaBroken as error:
            raise StoreCorrupted(f"the log of {name} does not make a document: {error}") from error
        if not owes_vault:
            replica.watch(watched_roots(name))
        document = cls(name, author, replica, update_log, owes_vault=owes_vault)
        document.mark = loaded.last_seq
        document._acked = loaded.marks.get(ACKED, 0)
        document._unsynced = unsynced_of(loaded)
        document._tail_records = len(loaded.tail)
        document._tail_bytes = sum(len(record.update) for record in loaded.tail)
        document._snapshot_bytes = 0 if loaded.snapshot is None else len(loaded.snapshot.state)
        await document.tidy()
        return document

    async def tidy(self) -> None:
        """Let a snapshot stand for a long log, once nothing in it waits for the relay."""
        async with self.lock:
            is_long = self._tail_records >= COMPACT_RECORDS
            if not is_long and self._tail_bytes < max(COMPACT_BYTES, self._snapshot_bytes):
                return
            # What waits is known by its row's author, and a snapshot has none. And a snapshot that is ahead of the
            # log would claim what the log never had.
            if self._unsynced or self._is_unsure:
                return
            if missing := self._debt.writes():
                # A snapshot forgets what lost; after this edit is with the relay there may be one.
                await self._put(missing, time.time_ns() // 1_000_000)
                return
            await self._debt.settle()
            snapshot = Snapshot(self.mark, self.replica.snapshot(), self.replica.ledger.encode())
            if self.replica.is_flat:
                # Before the snapshot: a mark without its snapshot says nothing, a snapshot without it is slow.
                await self._log.mark(FLAT, self.mark)
            await self._log.compact(snapshot)
            self._tail_records = self._tail_bytes = 0
            self._snapshot_bytes = len(snapshot.state)

    @property
    def is_torn(self) -> bool:
        """An append failed or was cancelled: memory may be ahead of the log, so this document must be loaded again."""
        return self._is_unsure and not self.lock.locked()

    @property
    def unsynced(self) -> int:
        """Local edits that the relay has not said to have on disk."""
        return len(self._unsynced)

    async def edit(self, writes: Sequence[Write], at_ms: int) -> Edit:
        """Make ``writes`` in one transaction and put its update into the log. Call with :attr:`lock` held."""
        return await self._put([*writes, *self._debt.writes()], at_ms)

    async def _put(self, writes: Sequence[Write], at_ms: int, before: Sequence[Record] = ()) -> Edit:
        update = self.replica.write(writes)
        assert update is not None, "an edit without writes is none"
        await self._append([*before, Record(update, self._author, at_ms)])
        self._unsynced.append(self.mark)
        await self._debt.settle()
        self._tell(is_local=not before)
        return Edit(update, self.mark)

    async def inherit(
        self, writes: Sequence[Write], at_ms: int, retire: Callable[[Sequence[Record]], Awaitable[None]]
    ) -> Edit:
        """Make ``writes``, whose update goes to the log in the very commit that retires the document which they come
        from: ``retire`` appends what it is given. Call with :attr:`lock` held."""
        update = self.replica.write(writes)
        assert update is not None, "an edit without writes is none"
        record = Record(update, self._author, at_ms)
        self._is_unsure = True
        await retire([record])
        self.mark = await self._log.append([])
        self._is_unsure = False
        self._tail_records += 1
        self._tail_bytes += len(update)
        self._unsynced.append(self.mark)
        self._tell(is_local=True)
        return Edit(update, self.mark)

    async def keep(self, fresh: Sequence[bytes], at_ms: int) -> Edit | None:
        """Put updates from the relay, merged already, into the log. Call with :attr:`lock` held.

        Where they met a write of ours, what lost goes into the vault in the same commit; that edit is returned, for
        the relay to hear of."""
        records = [Record(update, "", at_ms) for update in fresh]
        if not self._debt.is_due:
            await self._debt.note()
            await self._append(records)
            self._tell(is_local=False)
            return None
        if missing := self._debt.writes():
            return await self._put(missing, at_ms, records)
        # The relay, or the other party, has noted it already.
        await self._append(records)
        await self._debt.settle()
        self._tell(is_local=False)
        return None

    async def note(self, name: str, value: int) -> None:
        """Keep a small counter beside the log."""
        await self._log.mark(name, value)

    async def note_durable(self, mark: int) -> None:
        """The relay has everything up to ``mark`` of our log on disk."""
        if mark > self._acked:
            self._acked = mark
            del self._unsynced[: bisect_right(self._unsynced, mark)]
            await self._log.mark(ACKED, mark)

    def _tell(self, *, is_local: bool) -> None:
        if self.on_commit is not None:
            self.on_commit(is_local)

    async def _append(self, records: Sequence[Record]) -> None:
        self._is_unsure = True
        self.mark = await self._log.append(records)
        self._is_unsure = False
        self._tail_records += len(records)
        self._tail_bytes += sum(len(record.update) for record in records)


def unsynced_of(loaded: Loaded) -> list[int]:
    """Numbers of the local edits that the relay has not said to have on disk."""
    first, acked = loaded.last_seq - len(loaded.tail) + 1, loaded.marks.get(ACKED, 0)
    return [seq for seq, record in enumerate(loaded.tail, first) if record.author and seq > acked]


def _rebuild(loaded: Loaded, limits: Limits, watched: Sequence[str]) -> Replica:
    """The replica of a log; ``watched`` are the roots whose heads must be followed through the tail."""
    snapshot = loaded.snapshot
    updates = [record.update for record in loaded.tail]
    if snapshot is None:
        replica = Replica(limits)
    elif loaded.marks.get(FLAT) != snapshot.through:
        replica = replay([snapshot.state], limits)
    else:
        replica = Replica.restored(snapshot.state, Ledger.decode(snapshot.ledger), limits)
    replica.watch(watched)
    return replay(updates, limits, onto=replica)
