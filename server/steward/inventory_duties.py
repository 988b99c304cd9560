"""The duties in a tenant's inventory: conflicts, incidents, rights and the end of periods."""

from __future__ import annotations

from typing import Final

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.stock.books import FoldStep, is_over
from crdt_sync.documents.stock.escrow import Policy
from server.steward.duties import Charge


class SettleConflicts:
    """Conflicts of fields that the tenant has a rule for close by themselves."""

    name: Final = "settle-conflicts"

    async def run(self, charge: Charge) -> None:
        async with charge.peer.read() as docs:
            merges = docs.inventory.rules().merges
            if not merges or not any(conflict.field in merges for conflict in docs.inventory.conflicts()):
                return
        async with charge.peer.edit() as docs:
            docs.inventory.settle_conflicts()


class NoteIncidents:
    """What a merge has broken, such as stock below zero, is put on record once, and so is that it is mended."""

    name: Final = "note-incidents"

    async def run(self, charge: Charge) -> None:
        async with charge.peer.read() as docs:
            present = {found.key for found in docs.inventory.inconsistencies()}
            noted = {incident.key: incident.dissolved for incident in docs.inventory.incidents()}
            is_mended = any(dissolved is None and key not in present for key, dissolved in noted.items())
            if present <= noted.keys() and not is_mended:
                return
        async with charge.peer.edit() as docs:
            docs.inventory.note_incidents()


class ReclaimRights:
    """Rights of replicas that have been silent for too long, and those that nobody has, go to the relay's pool."""

    name: Final = "reclaim-rights"

    async def run(self, charge: Charge) -> None:
        async with charge.peer.read() as docs:
            if not docs.inventory.lapsed() and not _has_unassigned(docs.inventory):
                return
        async with charge.peer.edit() as docs:
            docs.inventory.reclaim_lapsed()
            docs.inventory.reclaim_unassigned()


class AnswerRequests:
    """Who asks for rights gets what the relay's pool has."""

    name: Final = "answer-requests"

    async def run(self, charge: Charge) -> None:
        await charge.peer.answer_requests()


class RehomeLate:
    """Movements that came into a closed period go on into the one that is open, as they are."""

    name: Final = "rehome-late"

    async def run(self, charge: Charge) -> None:
        async with charge.peer.read() as docs:
            wanted = {*docs.inventory.books.unfolded(), *charge.visited_movements}
        known = [period for period in await charge.peer.periods() if period in wanted]
        async with charge.peer.read(periods=known) as docs:
            late = {movement.period for movement in docs.inventory.books.late()}
        if late:
            async with charge.peer.edit(also=late) as docs:
                docs.inventory.books.rehome()


class FoldPeriods:
    """A period that ended long enough ago is closed, and what its movements come to is kept in the catalog."""

    name: Final = "fold-periods"

    async def run(self, charge: Charge) -> None:
        async with charge.peer.read() as docs:
            grace_days = docs.inventory.rules().periods_grace_days
            unfolded = docs.inventory.books.unfolded()
        if grace_days is None:
            return
        for period in unfolded:
            if not is_over(period, charge.now_ms(), grace_days):
                # Periods are folded in order.
                return
            await self._fold(charge, period)

    async def _fold(self, charge: Charge, period: str) -> None:
        async with charge.peer.edit(period=period) as docs:
            docs.inventory.books.close()
        step = FoldStep.WRITTEN
        while step is FoldStep.WRITTEN:
            # Its rows first, and that they count in a later edit: half of a fold must not change any stock.
            async with charge.peer.edit(also=[period]) as docs:
                step = docs.inventory.books.fold(period)


def _has_unassigned(inventory: InventoryDocument) -> bool:
    return any(
        inventory.policy(*cell) is not Policy.OFF and inventory.rights(*cell).unassigned > 0
        for cell in inventory.stock_table()
    )
