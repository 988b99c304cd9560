"""A peer that works offline: edits go to its own file first, and to the relay when there is one to talk to."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

from websockets.exceptions import ConnectionClosed

from crdt_sync.documents.catalog.merges import MERGES, Merge
from crdt_sync.documents.catalog.registers import read_periods
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.keys import check_name, to_base36
from crdt_sync.documents.names import CATALOG, is_catalog, metrics_document, movements_document, period_of
from crdt_sync.documents.schema import PERIODS
from crdt_sync.documents.stock.allotment import POOL
from crdt_sync.documents.stock.movements import GIVE, WANT
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.errors import InvalidName, NotSynced, SyncError
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.peer.backoff import backoff_s
from crdt_sync.peer.desk import Desk, Documents, Writer
from crdt_sync.peer.endings import CLOCK, Endings
from crdt_sync.peer.hindsight import Hindsight
from crdt_sync.peer.link import Link
from crdt_sync.peer.local_document import LocalDocument
from crdt_sync.peer.measured import NOTHING_MEASURED, Measured, measured, open_for_edit, open_for_look
from crdt_sync.peer.periods import (
    may_be_late,
    note_nothing_late,
    open_periods,
    period_to_write,
    unfolded,
    unreadable_periods,
)
from crdt_sync.peer.personal import PersonalData
from crdt_sync.peer.relay_address import RelayAddress, connected
from crdt_sync.peer.shelf import Shelf
from crdt_sync.peer.status import Status
from crdt_sync.peer.undo import EditHistory
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.values import check_tenant

Follow: TypeAlias = Literal["all", "own"]


def wall_clock_ms() -> int:
    """This machine's wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class OfflinePeer(Hindsight, PersonalData):
    """Made by :func:`open_peer`, or ``async with OfflinePeer.open(...)``. For one event loop."""

    def __init__(
        self,
        shelf: Shelf,
        relay: RelayAddress | None,
        writer: Writer,
        *,
        follow: Follow,
        limits: Limits,
    ) -> None:
        self._shelf = shelf
        self._relay = relay
        self._writer = writer
        self._follow = follow
        self._limits = limits
        self._editing = asyncio.Lock()
        self._endings = Endings(shelf, writer, limits, self._editing)
        self._history = EditHistory()
        self._link: Link | None = None
        self._link_changed = asyncio.Event()
        self._has_joined = False
        """The link talks about every document that was known when it began."""
        self._last_error: str | None = None
        self._failed_attempts = 0
        self._asked = asyncio.Event()
        """Somebody may have asked for rights since this peer last looked."""

    @staticmethod
    @asynccontextmanager
    async def open(  # noqa: PLR0913  all that a peer is, in one place; each has a good default
        path: Path | str,
        *,
        tenant: str,
        name: str,
        relay: str | None = None,
        token: str | Callable[[], str] = "",
        follow: Follow = "all",
        limits: Limits = DEFAULT_LIMITS,
        now_ms: Callable[[], int] = wall_clock_ms,
        merges: Mapping[str, Merge] | None = None,
        is_relay: bool = False,
        on_load: Callable[[str], None] = lambda _: None,
    ) -> AsyncIterator[OfflinePeer]:
        """The peer whose edits are in the file at ``path``, which is made if it never was there.

        ``name`` is this device's own, such as ``till-1``; only the relay's own peer is called ``relay`` (``is_relay``).
        ``relay`` is a URL like ``ws://127.0.0.1:1234``; without one the peer just works offline. ``follow="own"`` syncs
        only the periods that are in the file, ``"all"`` every period that the catalog knows of. ``merges`` are
        functions of one's own that may close conflicts, by name; all peers and the relay should have the same.
        ``on_load`` hears the name of each document before native code gets anything of it. Raises :class:`StoreError`,
        :class:`InvalidName`, and ValueError for a file that belongs to another tenant.
        """
        if check_name("replica", name) == POOL and not is_relay:
            # Two writers under one name could both sell what it has rights to.
            raise InvalidName("replica", name, "another name; this one is the relay's own")
        address = None if relay is None else RelayAddress(relay, check_tenant(tenant), token)
        if address is not None:
            # A wrong address is the caller's mistake, so it is said now and not at the first sync.
            _ = address.endpoint
        async with open_sqlite_store(Path(path), create=True, kind=f"peer of {check_tenant(tenant)}") as store:
            shelf = Shelf(store, name, limits, on_load)
            await shelf.take_stock()
            stamp = (await shelf.log(CATALOG).load()).marks.get(CLOCK, 0)
            functions = {**MERGES, **(merges or {})}
            stock = WarmStock(unreadable_periods(shelf), lambda period: shelf.has_ended(movements_document(period)))
            writer = Writer(name, f"{name}.{to_base36(now_ms())}", HybridClock(stamp), now_ms, stock, merges=functions)
            try:
                yield OfflinePeer(shelf, address, writer, follow=follow, limits=limits)
            finally:
                shelf.feed.close()

    @asynccontextmanager
    async def edit(
        self, *, period: str | None = None, metrics: Iterable[str] = (), also: Iterable[str] = ()
    ) -> AsyncIterator[Documents]:
        """Edit the documents of a period (the current UTC month; movements go into the UTC day once that is full).

        When the block ends, everything that it wrote is on disk here, in one commit; when it raises, nothing is. Edits
        take turns. Reads cover the period, those in the file that no fold counts, and ``also``. Samples go into the
        metrics of their own period, where those are open: the one before, and all that ``metrics`` names, are."""
        async with self._editing:
            now_ms, catalog = self._writer.now_ms(), await self._shelf.open(CATALOG)
            beside = await open_for_edit(self._shelf, catalog, period or period_of(now_ms), metrics, now_ms)
            desk = await self._desk(period, also, beside)
            try:
                desk.move_on_late(may_be_late(self._shelf, desk.periods))
                yield desk.documents
                await self._commit(desk)
                await note_nothing_late(self._shelf, desk.without_late)
            finally:
                desk.close()

    @asynccontextmanager
    async def read(self, *, periods: Iterable[str] | None = None) -> AsyncIterator[Documents]:
        """Look at the documents, over all periods, or with the movements of just these, folded ones too. Writes are
        refused."""
        known = await unfolded(self._shelf) if periods is None else sorted(periods)
        period = known[-1] if known else period_of(self._writer.now_ms())
        only = None if periods is None else known
        beside = await open_for_look(self._shelf, await self._shelf.open(CATALOG), period, only)
        desk = await self._desk(period, known, beside)
        desk.close()
        yield desk.documents

    async def periods(self) -> Sequence[str]:
        """The periods that have movements, as far as this peer knows."""
        catalog = await self._shelf.open(CATALOG)
        return [period for period in _periods(catalog) if not self._shelf.has_ended(movements_document(period))]

    def status(self) -> Status:
        """How this peer stands, without asking anybody."""
        refusals = [] if self._link is None else self._link.refusals()
        return Status(
            is_online=self._link is not None,
            unsynced=self._shelf.unsynced,
            last_error=self._last_error,
            refused=tuple(f"{name}: {denied.reason}" for name, denied in refusals),
            damaged=tuple(self._shelf.damaged.values()),
            ended=tuple(f"{name}: {note.error()}" for name, note in self._shelf.ended.items()),
        )

    async def sync(self, *, timeout_s: float = 60.0) -> None:
        """Connect once, and return when both sides have everything on disk.

        Raises :class:`NotSynced` when that is not reached in time or the relay refused a document,
        :class:`Unauthenticated`, :class:`Forbidden`. Local edits are safe in any case.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._converse(until_settled=True)
                if self._asked.is_set() and self._follow == "all" and await self.answer_requests():
                    await self._converse(until_settled=True)
        except TimeoutError:
            raise NotSynced(f"not everything was synced within {timeout_s:g} s") from None

    @asynccontextmanager
    async def online(self, *, jitter: Callable[[], float] = random.random) -> AsyncIterator[None]:
        """Keep one connection to the relay while the block runs; after each loss, come back with backoff."""
        keeping = [
            asyncio.create_task(self._stay_online(jitter), name="stay online"),
            asyncio.create_task(self._keep_answering(), name="answer requests"),
        ]
        try:
            yield
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.wait(keeping)
            for task in keeping:
                if not task.cancelled():
                    # It never ends by itself but through a defect, which must not pass for being offline.
                    task.result()

    async def settled(self) -> None:
        """Wait until both sides have everything; for use within :meth:`online`."""
        while True:
            link = self._link
            self._link_changed.clear()
            waits: list[asyncio.Task[object]] = [asyncio.create_task(self._link_changed.wait())]
            if link is not None:
                waits.append(asyncio.create_task(link.settled()))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if link is not None and link is self._link and self._has_joined and link.is_settled:
                # A period may have come to the catalog in this very moment; then there is more to wait for.
                catalog = await self._shelf.open(CATALOG)
                with suppress(ConnectionClosed):  # Then this link is gone, and the next one is waited for.
                    await self._follow_periods(catalog)
                if link is self._link and link.is_settled:
                    return

    async def answer_requests(self) -> Sequence[str]:
        """Hand over rights that others have asked for; see :meth:`InventoryDocument.answer_requests`. Returns the ids
        of the movements. A peer that follows all periods does so by itself, in :meth:`sync` and :meth:`online`."""
        self._asked.clear()
        async with self.read() as docs:
            if not docs.inventory.requests():
                return ()
        async with self.edit() as docs:
            return docs.inventory.answer_requests()

    async def follow(self, document: str) -> None:
        """Keep a document in step that the catalog does not name, such as the metrics of a period.

        Raises :class:`StoreError` and :class:`InvalidName`."""
        await self._shelf.open(document)
        if self._link is not None:
            with suppress(ConnectionClosed):  # The next link joins all that is open here.
                await self._link.join(document)

    async def _desk(self, period: str | None, others: Iterable[str] = (), beside: Measured = NOTHING_MEASURED) -> Desk:
        month = period or period_of(self._writer.now_ms())
        catalog, name = await self._shelf.open(CATALOG), metrics_document(month)
        metrics = None if self._shelf.has_ended(name) else await self._shelf.open(name)
        into = period or await period_to_write(self._shelf, catalog, month, self._writer.now_ms(), self._limits)
        stock = await open_periods(self._shelf, catalog, into, others)
        return Desk(catalog, into, stock, metrics, beside, self._writer, self._limits, month=month)

    async def _commit(self, desk: Desk) -> None:
        if not desk.has_writes:
            return
        writing = asyncio.create_task(self._write(desk), name="commit an edit")
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # What has been handed to the disk can't be called back, so whoever cancels waits for one commit: given up
            # halfway, memory would not know what the file will hold.
            await asyncio.wait([writing])
            raise

    async def _write(self, desk: Desk) -> None:
        catalog = await self._shelf.open(CATALOG)
        try:
            # Handed in together, they go to disk in one commit.
            edits, _ = await asyncio.gather(desk.commit(), catalog.note(CLOCK, self._writer.clock.latest))
        except BaseException as error:
            # A failing disk, native code: memory may be ahead of the disk.
            self._abandon(error if isinstance(error, SyncError) else NotSynced("an edit was interrupted"))
            raise
        self._history.note(desk.deed)
        if self._link is not None:
            for document, edit in edits:
                self._link.announce(document.name, edit)

    def _abandon(self, error: SyncError) -> None:
        """Memory is ahead of the disk, or broken: forget it, and the conversation that was about it."""
        self._shelf.drop([document.name for document in self._shelf.open_documents()])
        if self._link is not None:
            self._link.abort(error)

    async def _converse(self, *, until_settled: bool, timeout_s: float = 20.0) -> None:
        """Hold one connection until it ends, or until both sides have everything."""
        if self._relay is None:
            raise NotSynced("this peer was opened without a relay")
        async with connected(self._relay, self._limits, timeout_s=timeout_s) as socket:
            link = Link(socket, self._shelf, self._limits, self._on_news, self._endings.end)
            talking = asyncio.create_task(link.run(), name="link")
            self._set_link(link)
            try:
                await self._join_all(link)
                self._has_joined = True
                self._link_changed.set()
                if not until_settled:
                    await talking
                settling = asyncio.create_task(link.settled())
                await asyncio.wait([talking, settling], return_when=asyncio.FIRST_COMPLETED)
                settling.cancel()
                if talking.done():
                    talking.result()
            finally:
                self._set_link(None)
                talking.cancel()
                await asyncio.wait([talking])
            self._check_refusals(link)
        if until_settled:
            # While it is all in memory; the next start is the quicker for it.
            for document in self._shelf.open_documents():
                await document.tidy()

    def _set_link(self, link: Link | None) -> None:
        self._link, self._has_joined = link, False
        if link is not None:
            self._failed_attempts, self._last_error = 0, None
        self._link_changed.set()

    async def _join_all(self, link: Link) -> None:
        for name in {CATALOG, *await self._shelf.names()}:
            await link.join(name)

    async def _on_news(self, document: LocalDocument, fresh: Sequence[bytes]) -> None:
        """The catalog says which periods there are; a period that begins while we are online is followed at once."""
        if is_catalog(document.name):
            await self._follow_periods(document)
        # A movement of a kind holds the kind's name in plain bytes. Other bytes may do so, too: then we look in vain.
        elif any(kind.encode() in update for update in fresh for kind in (WANT, GIVE)):
            self._asked.set()

    async def _keep_answering(self) -> None:
        while True:
            await self._asked.wait()
            if self._follow != "all":
                return
            try:
                # Whoever has not yet heard of all that it gave itself, as after the loss of its file, would give twice.
                await self.settled()
                await self.answer_requests()
            except SyncError as error:
                self._last_error = str(error)

    async def _follow_periods(self, catalog: LocalDocument) -> None:
        if self._follow == "all" and self._link is not None:
            for period in _periods(catalog):
                await self._link.join(movements_document(period))
            for period in measured(catalog).to_follow:
                await self._link.join(metrics_document(period))

    def _check_refusals(self, link: Link) -> None:
        # Every edit opens the period's metrics, wanted or not: while they are empty, no one misses them.
        if refusals := [refusal for refusal in link.refusals() if not self._is_empty_metrics(refusal[0])]:
            raise NotSynced("; ".join(f"{name} was refused: {denied.reason}" for name, denied in refusals))

    def _is_empty_metrics(self, name: str) -> bool:
        document = self._shelf.get(name)
        return name.startswith("metrics/") and document is not None and not document.mark

    async def _stay_online(self, jitter: Callable[[], float]) -> None:
        while True:
            try:
                await self._converse(until_settled=False)
            except SyncError as error:
                self._last_error = str(error)
            self._failed_attempts += 1
            await asyncio.sleep(backoff_s(self._failed_attempts, jitter=jitter()))


def _periods(catalog: LocalDocument) -> Sequence[str]:
    # A foreign page may have noted anything there; what is no period is reported by the facade's faults().
    periods, _ = read_periods(catalog.replica.entries(PERIODS))
    return sorted(periods)
