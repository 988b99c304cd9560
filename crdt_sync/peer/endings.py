"""Drops this peer's copy of a document that has ended, and carries over what no relay has acknowledged of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from crdt_sync.documents.catalog.siblings import EDITS
from crdt_sync.documents.epochs import CarriedOver, carried_over
from crdt_sync.documents.names import is_catalog
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import DocumentRetired
from crdt_sync.limits import Limits
from crdt_sync.peer.desk import Writer
from crdt_sync.peer.leftovers import leftovers_of
from crdt_sync.peer.local_document import Edit, LocalDocument, unsynced_of
from crdt_sync.peer.shelf import Shelf
from crdt_sync.replica import Write
from crdt_sync.stores.update_log import Record

CLOCK = "clock"
"""Mark of the catalog's log: the greatest stamp given, so that a restart with a lagging clock gives no earlier one."""


class Endings:
    """Ends the documents of one peer."""

    def __init__(self, shelf: Shelf, writer: Writer, limits: Limits, editing: asyncio.Lock) -> None:
        self._shelf, self._writer, self._limits = shelf, writer, limits
        self._editing = editing

    async def end(self, ended: DocumentRetired) -> Sequence[Edit]:
        """End this peer's copy of a document as the relay says that it has ended; whole or not at all.

        With a successor, what the relay held of that must be here. Returns the edits of the successor that are to be
        announced. Raises :class:`StoreError`; then it is to be done again."""
        # An edit that is under way has looked at the document that is about to go.
        async with self._editing:
            return await end_document(self._shelf, ended, self._writer, self._limits)


async def end_document(shelf: Shelf, ended: DocumentRetired, writer: Writer, limits: Limits) -> Sequence[Edit]:
    """What :meth:`Endings.end` does, while nobody edits."""
    name, successor = ended.document, ended.successor
    loaded = await shelf.log(name).load()
    if successor is None:
        why = _explained(ended.why, lost_edits=len(unsynced_of(loaded)))
        await shelf.retire(name, why, writer.now_ms())
        return ()
    heir = await shelf.open(successor)
    async with heir.lock:
        leftovers = leftovers_of(loaded, limits)
        carried = carried_over(leftovers, heir.replica, rid=writer.rid)
        why = _explained(ended.why, carried=carried)
        if is_catalog(name):
            await heir.note(CLOCK, writer.clock.latest)
        if not carried.entries:
            await shelf.retire(name, why, writer.now_ms(), successor)
            return ()

        async def retire(records: Sequence[Record]) -> None:
            await shelf.retire(name, why, writer.now_ms(), successor, records)

        return (await heir.inherit(_signed(heir, carried, writer), writer.now_ms(), retire),)


def _signed(heir: LocalDocument, carried: CarriedOver, writer: Writer) -> Sequence[Write]:
    """The writes, and before them who makes them, as in every edit of attributes."""
    writes = [Write(*entry) for entry in carried.entries]
    if not any(write.root == ATTRIBUTES for write in writes):
        return writes
    client = heir.replica.client_id
    dot = f"{client}.{heir.replica.state.get(client, 0)}"
    return [Write(EDITS, dot, [writer.rid, writer.clock.tick(writer.now_ms())]), *writes]


def _explained(why: str, *, carried: CarriedOver | None = None, lost_edits: int = 0) -> str:
    """Why the document has ended, and what became of this peer's own part of it."""
    parts = [why]
    if lost_edits:
        parts.append(f"edits of this peer that no relay had, and that are lost: {lost_edits}")
    if carried is not None and carried.entries:
        parts.append(f"entries carried over: {len(carried.entries)}")
    if carried is not None and carried.lost:
        parts.append(f"entries that others have changed since, and that are lost: {carried.lost}")
    return "; ".join(parts)
