"""What the relay sees to in a tenant's documents. Each duty is done in one edit, and only when there is need.

A duty first looks, in a :meth:`~crdt_sync.peer.OfflinePeer.read`, and opens an edit only when it found something to do.
Two stewards that did one duty at once would do no harm: what is written is the same, or is joined like any two edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.stock.escrow import Policy
from crdt_sync.peer import OfflinePeer


class Duty(Protocol):
    """One thing that is seen to. Stateless: what was done stands in the documents."""

    @property
    def name(self) -> str:
        """For logs and meters, such as ``settle-conflicts``."""
        ...

    async def run(self, peer: OfflinePeer) -> None:
        """Do what is due. Raises :class:`~crdt_sync.errors.SyncError`; then nothing of this duty was written."""
        ...


class SettleConflicts:
    """Conflicts of fields that the tenant has a rule for close by themselves."""

    name: Final = "settle-conflicts"

    async def run(self, peer: OfflinePeer) -> None:
        async with peer.read() as docs:
            merges = docs.inventory.rules().merges
            if not merges or not any(conflict.field in merges for conflict in docs.inventory.conflicts()):
                return
        async with peer.edit() as docs:
            docs.inventory.settle_conflicts()


class NoteIncidents:
    """What a merge has broken, such as stock below zero, is put on record once, and so is that it is mended."""

    name: Final = "note-incidents"

    async def run(self, peer: OfflinePeer) -> None:
        async with peer.read() as docs:
            present = {found.key for found in docs.inventory.inconsistencies()}
            noted = {incident.key: incident.dissolved for incident in docs.inventory.incidents()}
            is_mended = any(dissolved is None and key not in present for key, dissolved in noted.items())
            if present <= noted.keys() and not is_mended:
                return
        async with peer.edit() as docs:
            docs.inventory.note_incidents()


class ReclaimRights:
    """Rights of replicas that have been silent for too long, and those that nobody has, go to the relay's pool."""

    name: Final = "reclaim-rights"

    async def run(self, peer: OfflinePeer) -> None:
        async with peer.read() as docs:
            if not docs.inventory.lapsed() and not _has_unassigned(docs.inventory):
                return
        async with peer.edit() as docs:
            docs.inventory.reclaim_lapsed()
            docs.inventory.reclaim_unassigned()


class AnswerRequests:
    """Who asks for rights gets what the relay's pool has."""

    name: Final = "answer-requests"

    async def run(self, peer: OfflinePeer) -> None:
        async with peer.read() as docs:
            if not docs.inventory.requests():
                return
        async with peer.edit() as docs:
            docs.inventory.answer_requests()


def _has_unassigned(inventory: InventoryDocument) -> bool:
    return any(
        inventory.policy(*cell) is not Policy.OFF and inventory.rights(*cell).unassigned > 0
        for cell in inventory.stock_table()
    )


DUTIES: Final[Sequence[Duty]] = (SettleConflicts(), NoteIncidents(), ReclaimRights(), AnswerRequests())
"""In the order in which they are done."""
