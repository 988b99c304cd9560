"""Peers with metrics of two months and of the year that folds them, for laws about the end of periods."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.metrics.metrics_document import Beside, MetricsDocument
from crdt_sync.documents.names import period_span_ms
from crdt_sync.documents.roots import Draft
from tests.unit.documents.replicas import NOW_MS, DocRoots

CLOSED, OPEN, YEAR = "2026-10", "2026-11", "2026"
START_MS = period_span_ms(CLOSED)[0]
END_MS = period_span_ms(CLOSED)[1]


@dataclass
class Ledger:
    """One peer: a document for each period, all of which an edit may write into."""

    wid: str
    now_ms: Callable[[], int] = lambda: NOW_MS
    clock: HybridClock = field(default_factory=HybridClock)
    catalog: DocRoots = field(default_factory=DocRoots)
    documents: dict[str, DocRoots] = field(default_factory=lambda: {one: DocRoots() for one in (CLOSED, OPEN, YEAR)})
    answered: dict = field(default_factory=dict)

    @contextmanager
    def edit(self, period: str = OPEN, *, before_rest: Callable[[], None] | None = None) -> Iterator[MetricsDocument]:
        """With ``before_rest`` the edit arrives in two halves, and this is done between them."""
        drafts = {one: Draft(document) for one, document in self.documents.items()}
        catalog = Draft(self.catalog)
        others = {one: draft for one, draft in drafts.items() if one != period}
        yield MetricsDocument(
            drafts[period],
            wid=self.wid,
            clock=self.clock,
            now_ms=self.now_ms,
            period=period,
            beside=Beside(others, catalog=catalog, answered=self.answered),
        )
        self.catalog.apply(catalog)
        for one, draft in drafts.items():
            writes = draft.end()
            for number, (root, key, value) in enumerate(writes):
                if before_rest is not None and number == (len(writes) + 1) // 2:
                    before_rest()
                self.documents[one].put(root, key, value)

    def read(self, *periods: str, only: Collection[str] | None = None) -> MetricsDocument:
        """A look at these documents, all three unless some are named."""
        own, *others = periods or tuple(self.documents)
        beside = Beside({one: Draft(self.documents[one]) for one in others}, only, catalog=Draft(self.catalog))
        return MetricsDocument(
            Draft(self.documents[own]), wid="reader", clock=HybridClock(), now_ms=self.now_ms, period=own, beside=beside
        )

    def pull(self, other: Ledger) -> None:
        self.catalog.pull(other.catalog)
        for one, document in self.documents.items():
            document.pull(other.documents[one])
