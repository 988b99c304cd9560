"""Disks that lose on a crash what was not synced, and that can be told to fail."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from random import Random

from crdt_sync.errors import StoreUnavailable
from crdt_sync.stores.update_log import Binding, Loaded, Record, Snapshot, check_snapshot


class PeerDisk:
    """A peer's log. A row is safe from the next :meth:`sync` on."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.rows: list[bytes] = []
        """What came after the snapshot."""
        self._synced = 0

    @property
    def through(self) -> int:
        return self.snapshot.through if self.snapshot else 0

    @property
    def mark(self) -> int:
        """How many rows are safe, those of the snapshot included."""
        return self.through + self._synced

    @property
    def is_dirty(self) -> bool:
        return self._synced < len(self.rows)

    def append(self, row: bytes) -> int:
        """Write a row; return its mark."""
        self.rows.append(row)
        return self.through + len(self.rows)

    def sync(self) -> None:
        self._synced = len(self.rows)

    def compact(self, state: bytes, ledger: bytes) -> None:
        """Let ``state`` stand for all rows, which are synced."""
        self.snapshot = Snapshot(self.mark, state, ledger)
        self.rows.clear()
        self._synced = 0

    def crash(self, chance: Random) -> int:
        """Lose rows that were not synced, from any point on; return how many."""
        kept = chance.randint(self._synced, len(self.rows))
        lost = len(self.rows) - kept
        del self.rows[kept:]
        self._synced = kept
        return lost


class Failure(Enum):
    """How the next append fails."""

    REFUSED = "nothing was written"
    UNSURE = "all was written, and then the disk reported an error"


class RelayDisk:
    """A document's log by the rules of UpdateLog, in one process' memory. An append is whole or not there (L4)."""

    def __init__(self) -> None:
        self.archive: list[Record] = []
        """Every row that ever became durable, those too that a snapshot has replaced."""
        self.snapshot: Snapshot | None = None
        self.bindings: dict[int, Binding] = {}
        self.next_failure: Failure | None = None

    def append(self, records: Sequence[Record], bindings: Sequence[Binding] = ()) -> int:
        failure, self.next_failure = self.next_failure, None
        if failure is not Failure.REFUSED:
            self.archive += records
            self.bindings |= {binding.client: binding for binding in bindings}
        if failure is not None:
            raise StoreUnavailable(failure.value)
        return len(self.archive)

    def compact(self, snapshot: Snapshot) -> None:
        current = self.snapshot.through if self.snapshot else 0
        check_snapshot(snapshot, current=current, last_seq=len(self.archive))
        self.snapshot = snapshot

    def load(self) -> Loaded:
        through = self.snapshot.through if self.snapshot else 0
        return Loaded(self.snapshot, tuple(self.archive[through:]), bindings=dict(self.bindings))
