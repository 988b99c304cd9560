"""Personal data on a peer: edited like everything else, in documents that the relay can erase everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crdt_sync.documents.names import personal_document
from crdt_sync.documents.personal import PersonalDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.peer.desk import Writer
from crdt_sync.peer.link import Link
from crdt_sync.peer.shelf import Shelf
from crdt_sync.replica import Write


class PersonalData:
    """The part of an :class:`~crdt_sync.peer.offline_peer.OfflinePeer` that is about persons."""

    _shelf: Shelf
    _writer: Writer
    _editing: asyncio.Lock
    _link: Link | None

    @asynccontextmanager
    async def personal(self, subject: str) -> AsyncIterator[PersonalDocument]:
        """Read and edit what is known of one person, under an id that says nothing by itself.

        When the block ends, what it wrote is on this machine's disk; when it raises, nothing is written. The document
        is synced once it was opened here, and not before. Raises :class:`InvalidName`, and :class:`DocumentRetired`
        when the person's data was erased."""
        name = personal_document(subject)
        async with self._editing:
            document = await self._shelf.open(name)
            draft = Draft(document.replica)
            try:
                yield PersonalDocument(draft)
            finally:
                writes = draft.end()
            if writes:
                async with document.lock:
                    edit = await document.edit([Write(*write) for write in writes], self._writer.now_ms())
                if self._link is not None:
                    self._link.announce(name, edit)
