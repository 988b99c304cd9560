"""One tenant that the steward looks after: its peer, and the rounds over its documents."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from crdt_sync.documents.names import MetricsName, MovementsName, parse_document
from crdt_sync.errors import DocumentRetired, StoreCorrupted, StoreError, StoreTooNew, SyncError
from crdt_sync.limits import Limits
from crdt_sync.peer import OfflinePeer
from crdt_sync.peer.offline_peer import wall_clock_ms
from server.steward.duties import Charge, Duty
from server.steward.words import Failed, Handles, Report, Retire, Rounded

SWEEP_S: Final = 600.0
"""Without any news a round is done this often: some duties come due by the clock."""
REOPEN_S: Final = 5.0
SENTENCE_CHARS_MAX: Final = 500
NAME: Final = "relay"
"""What the steward's peer calls itself in every document."""
PEER: Final = "peer"
"""Stands for a duty where none of them failed, but what they work with."""


class Attendance:
    """Runs until it is cancelled."""

    def __init__(
        self,
        tenant: str,
        folder: Path,
        *,
        relay: str,
        token: Callable[[], str],
        duties: Sequence[Duty],
        interval_s: float,
        limits: Limits,
        say: Callable[[Report], None],
    ) -> None:
        """``folder`` is this tenant's alone, and is deleted in the end: what was in it comes back from the relay."""
        self._tenant = tenant
        self._folder = folder
        self._relay = relay
        self._token = token
        self._duties = duties
        self._interval_s = interval_s
        self._limits = limits
        self._say = say
        self._visited: set[str] = set()
        self._retired: set[str] = set()
        self._asked = asyncio.Event()

    def visited(self, document: str) -> None:
        """Somebody has come into this document."""
        if document not in self._visited and isinstance(parse_document(document), MovementsName | MetricsName):
            self._visited.add(document)
            self._asked.set()

    async def run(self) -> None:
        """Look after the tenant, come what may to the file or to the relay."""
        while True:
            try:
                await self._attend()
            except StoreError as error:
                self._fail(PEER, error)
            finally:
                # A document that ends must not live on here while nobody looks; the peer has let go of its file.
                shutil.rmtree(self._folder, ignore_errors=True)
            await asyncio.sleep(REOPEN_S)

    async def _attend(self) -> None:
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        async with (
            OfflinePeer.open(
                self._folder / "documents.db",
                tenant=self._tenant,
                name=NAME,
                relay=self._relay,
                token=self._token,
                limits=self._limits,
                is_relay=True,
                on_load=lambda document: self._say(Handles(self._tenant, document)),
            ) as peer,
            peer.online(),
        ):
            charge = Charge(peer, self._retire, wall_clock_ms, self._visited)
            while True:
                self._asked.clear()
                for document in sorted(self._visited):
                    with suppress(DocumentRetired):
                        await peer.follow(document)
                # Half of what there is would look like an oversell, or like a period without sales.
                await peer.settled()
                seen = await peer.changed(since=-1)
                await self._go_round(charge)
                # What comes meanwhile is seen to together.
                await asyncio.sleep(self._interval_s)
                await self._something(peer, seen)

    async def _go_round(self, charge: Charge) -> None:
        for duty in self._duties:
            self._say(Handles(self._tenant, ""))
            try:
                await duty.run(charge)
            except (StoreCorrupted, StoreTooNew):
                raise
            except SyncError as error:
                # The other duties are not to blame.
                self._fail(duty.name, error)
        self._say(Rounded(self._tenant))

    async def _something(self, peer: OfflinePeer, seen: int) -> None:
        """Wait for a reason to look again: what others wrote, and what a duty wrote, which may be work for another."""
        reasons: tuple[Coroutine[None, None, object], ...] = (peer.changed(since=seen), self._asked.wait())
        waits = [asyncio.create_task(reason) for reason in reasons]
        try:
            await asyncio.wait(waits, timeout=SWEEP_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    def _retire(self, document: str, why: str) -> None:
        # It is due until our own copy is gone, which takes a moment.
        if document not in self._retired:
            self._retired.add(document)
            self._say(Retire(self._tenant, document, why))

    def _fail(self, duty: str, error: SyncError) -> None:
        self._say(Failed(self._tenant, duty, error.code, str(error)[:SENTENCE_CHARS_MAX]))
