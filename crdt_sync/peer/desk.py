"""One edit, or one look: drafts over the documents that it needs, behind their typed faces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from crdt_sync.documents.catalog.arbitration import ConflictPolicy
from crdt_sync.documents.catalog.merges import MERGES, Merge
from crdt_sync.documents.catalog.siblings import EDITS
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import Beside, MetricsDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.limits import Limits
from crdt_sync.peer.deeds import Deed, Outline
from crdt_sync.peer.local_document import Edit, LocalDocument
from crdt_sync.peer.measured import DroppedMetrics, Measured, forks_of
from crdt_sync.replica import Write


@dataclass(frozen=True, slots=True)
class Documents:
    """The typed documents of one edit or one look."""

    inventory: InventoryDocument
    metrics: MetricsDocument


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the replica's name, its name for this start of the process, its clock and its wall clock."""

    rid: str
    wid: str
    clock: HybridClock
    now_ms: Callable[[], int]
    stock: WarmStock = field(default_factory=WarmStock)
    """What was read of the movements so far, kept over edits."""
    answered: dict[str, Hashable] = field(default_factory=dict)
    """At which version of a closed document of metrics nothing in it was late, kept over edits."""
    merges: Mapping[str, Merge] = field(default_factory=lambda: MERGES)
    """The functions that may close conflicts."""


class Desk:
    """Collects what an edit writes. Nothing is written before :meth:`commit`."""

    def __init__(
        self,
        catalog: LocalDocument,
        period: str,
        stock: Mapping[str, LocalDocument],
        metrics: LocalDocument | None,
        measured: Measured,
        writer: Writer,
        limits: Limits,
        *,
        month: str,
    ) -> None:
        """Movements go into ``period``, which is one of those in ``stock``, and metrics into ``month``; they are None
        where those of that month were dropped."""
        own = () if metrics is None else (metrics,)
        self._documents = (catalog, stock[period], *own, *measured.documents.values())
        self._drafts = tuple(Draft(document.replica) for document in self._documents)
        self._writer = writer
        self.catalog = catalog
        self.rid = writer.rid
        self.periods = (*stock,)
        self.without_late: Sequence[str] = ()
        """The closed periods in which nothing of this replica is late, once this edit is committed."""
        self.deed = Deed()
        """What was written, once :meth:`commit` has returned."""
        catalog_draft, movements_draft, *other_drafts = self._drafts
        metrics_draft = DroppedMetrics() if metrics is None else other_drafts.pop(0)
        beside = Beside(
            dict(zip(measured.documents, other_drafts, strict=True)),
            measured.only,
            forks_of(metrics),
            catalog_draft,
            writer.answered,
        )
        self.documents = Documents(
            InventoryDocument(
                catalog_draft,
                period,
                movements_draft,
                {name: Draft(document.replica) for name, document in stock.items() if name != period},
                rid=writer.rid,
                clock=writer.clock,
                now_ms=writer.now_ms,
                policy=ConflictPolicy(catalog.replica, writer.merges),
                warm=writer.stock,
                limits=limits,
            ),
            MetricsDocument(
                metrics_draft, wid=writer.wid, clock=writer.clock, now_ms=writer.now_ms, period=month, beside=beside
            ),
        )

    def move_on_late(self, periods: Collection[str]) -> None:
        """Stage again, in the period of this edit, what this replica wrote into one of these when it was closed.

        Not for looks, and before anything is decided: it is what others will count."""
        books = self.documents.inventory.books
        books.rehome(of=self.rid, periods=periods)
        self.without_late = books.without_late(self.rid, periods)

    def close(self) -> None:
        """Take no more writes; what was collected is void."""
        for draft in self._drafts:
            draft.end()

    @property
    def has_writes(self) -> bool:
        return any(draft.writes for draft in self._drafts)

    def commit(self) -> Awaitable[Sequence[tuple[LocalDocument, Edit]]]:
        """Write what was collected, each document in one transaction, all of them in one commit of the file.

        When this returns, all stamps of the edit are made; what it returns is to be awaited."""
        writing = [
            (document, writes)
            for document, draft in zip(self._documents, self._drafts, strict=True)
            if (writes := [Write(*write) for write in draft.end()])
        ]
        signs = any(write.root == ATTRIBUTES for _, writes in writing for write in writes)
        stamp = self._writer.clock.tick(self._writer.now_ms()) if signs else 0
        return self._write_all(writing, stamp)

    async def _write_all(
        self, writing: Sequence[tuple[LocalDocument, Sequence[Write]]], stamp: int
    ) -> Sequence[tuple[LocalDocument, Edit]]:
        at_ms = self._writer.now_ms()
        edits = await asyncio.gather(*(self._write(document, writes, at_ms, stamp) for document, writes in writing))
        return [(document, edit) for (document, _), edit in zip(writing, edits, strict=True)]

    async def _write(self, document: LocalDocument, writes: Sequence[Write], at_ms: int, stamp: int) -> Edit:
        async with document.lock:
            signature = self._signature(document, writes, stamp)
            outline = Outline.of(document.name, document.replica, signature, writes)
            edit = await document.edit([*signature, *writes], at_ms)
        self.deed.add(outline, edit.update)
        return edit

    def _signature(self, document: LocalDocument, writes: Sequence[Write], stamp: int) -> Sequence[Write]:
        """Says who wrote attributes, and when: a conflict shows it, and bytes don't say it."""
        if not any(write.root == ATTRIBUTES for write in writes):
            return ()
        replica = document.replica
        # The first element of this edit names itself; it also speaks for those that follow.
        dot = f"{replica.client_id}.{replica.state.get(replica.client_id, 0)}"
        return (Write(EDITS, dot, [self._writer.rid, stamp]),)
