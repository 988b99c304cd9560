"""Keeps what lost: the values that stand against each other go into the document before the CRDT has forgotten them."""

from __future__ import annotations

from crdt_sync.documents.catalog.conflicts import unvaulted
from crdt_sync.documents.catalog.siblings import VAULT
from crdt_sync.documents.names import is_catalog
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.replica import Replica, Write
from crdt_sync.stores.update_log import UpdateLog

OWED = "owed"
"""Mark: values that lost may be in the tail of the log and nowhere else (1), or are not (0)."""


def watched_roots(name: str) -> tuple[str, ...]:
    """The roots of a document whose concurrent writes are conflicts."""
    return (ATTRIBUTES,) if is_catalog(name) else ()


class VaultDebt:
    """What the document of one replica still has to note. Lives as long as the replica.

    Who had a part in a conflict notes it at once. If everybody did, a hundred peers would write the same hundred
    times; so the others wait for their next edit, when the entries are there already, unless only pages took part."""

    def __init__(self, replica: Replica, update_log: UpdateLog, *, is_owed: bool) -> None:
        self._replica = replica
        self._log = update_log
        self._is_noted = is_owed
        self._keys: set[str] = set()

    @property
    def is_due(self) -> bool:
        """A write of ours met another one in what was merged last."""
        self._gather()
        forked = self._replica.forked(ATTRIBUTES) if self._keys else {}
        ours = self._replica.client_id
        return any(head.client == ours for key in self._keys for head in forked.get(key, ()))

    def writes(self) -> list[Write]:
        """The entries that are missing. To be followed by :meth:`settle` once they are in the log."""
        self._gather()
        if not self._keys:
            return []
        return [Write(VAULT, key, entry) for key, entry in unvaulted(self._replica, self._replica, self._keys)]

    async def note(self) -> None:
        """Leave a mark, if anything is owed, that outlives this process. Before the updates are in the log."""
        self._gather()
        if self._keys and not self._is_noted:
            await self._log.mark(OWED, 1)
            self._is_noted = True

    async def settle(self) -> None:
        """All that was owed is in the log."""
        self._keys.clear()
        if self._is_noted:
            await self._log.mark(OWED, 0)
            self._is_noted = False

    def _gather(self) -> None:
        self._keys.update(key for root, key in self._replica.take_forked() if root == ATTRIBUTES)
