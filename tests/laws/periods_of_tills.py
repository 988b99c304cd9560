"""Tills over several periods, some of which are closed and folded while others still write into them.

Every till has copies of its own of the catalog and of each period's document, and syncs them one by one, so a fold may
come before the document that it is about, or the other way round. Beside them all rows are kept that folds count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Draft, Value
from crdt_sync.documents.stock.books import FoldStep
from crdt_sync.documents.stock.coverage import read_covers
from crdt_sync.documents.stock.folds import read_notes, usable
from crdt_sync.documents.stock.reservations import HoldState
from crdt_sync.documents.stock.stock_index import StockIndex
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.errors import DocumentError, FoldRefused, PeriodsMissing
from tests.unit.documents.replicas import NOW_MS, DocRoots, shop

PERIODS = ("2026-08", "2026-09", "2026-10", "2026-11")
CELLS = tuple((sku, place) for sku in ("shirt", "cap") for place in ("A", "B"))


def catalog_of_two() -> DocRoots:
    """Escrow at A, none at B."""
    replica = shop(products=("shirt", "cap"))
    with replica.edit() as docs:
        docs.inventory.set_location_attribute("A", "escrow", "refuse")
    return replica.catalog


@dataclass
class Till:
    rid: str
    catalog: DocRoots
    documents: dict[str, DocRoots] = field(default_factory=dict)
    put_away: dict[str, DocRoots] = field(default_factory=dict)
    """Documents of the file that are not opened any more, because nothing own is late in them."""
    clock: HybridClock = field(default_factory=HybridClock)
    warm: WarmStock = field(default_factory=WarmStock)

    @contextmanager
    def edit(self, period: str, *, rehomes: bool = True) -> Iterator[InventoryDocument]:
        """As a peer does it: what is late of its own moves on first."""
        self.documents.setdefault(period, self.put_away.pop(period, DocRoots()))
        catalog, movements = Draft(self.catalog), Draft(self.documents[period])
        inventory = self._inventory(catalog, period, movements)
        if rehomes:
            inventory.books.rehome(of=self.rid)
        yield inventory
        for document, draft in ((self.catalog, catalog), (self.documents[period], movements)):
            document.apply(draft)

    def read(self) -> InventoryDocument:
        period = max(self.documents, default=PERIODS[0])
        self.documents.setdefault(period, DocRoots())
        return self._inventory(Draft(self.catalog), period, Draft(self.documents[period]))

    def _inventory(self, catalog: Draft, period: str, movements: Draft) -> InventoryDocument:
        others = {name: document for name, document in self.documents.items() if name != period}
        return InventoryDocument(
            catalog,
            period,
            movements,
            others,
            rid=self.rid,
            clock=self.clock,
            now_ms=lambda: NOW_MS,
            warm=self.warm,
        )

    def index(self) -> StockIndex:
        return self.warm.index(self.catalog, dict(sorted(self.documents.items())))

    def put_settled_away(self) -> None:
        """The process starts anew, and opens only what it must."""
        settled = self.read().books.without_late(self.rid)
        folded = usable(read_notes(self.catalog)[0], self.documents)
        for period in set(settled) & set(folded):
            self.put_away[period] = self.documents.pop(period)

    def pull(self, other: Till, document: str) -> None:
        if document == "catalog":
            self.catalog.pull(other.catalog)
        elif (source := other.documents.get(document) or other.put_away.get(document)) is not None:
            mine = self.put_away.get(document)
            (self.documents.setdefault(document, DocRoots()) if mine is None else mine).pull(source)


@dataclass
class Tills:
    """``counted`` holds what each closed period covers, as it was when it was closed."""

    tills: list[Till] = field(default_factory=list)
    counted: dict[str, dict[str, Value]] = field(default_factory=dict)
    folds: int = 0
    late: int = 0

    @classmethod
    def open(cls, number: int) -> Tills:
        update = catalog_of_two().doc.get_update()
        return cls([Till(f"till-{one}", DocRoots(update)) for one in range(number)])

    def act(self, till: int, period: str, do: Callable[[InventoryDocument], object]) -> None:
        """One edit; what the facade refuses is not written."""
        with self.attempt(), self.tills[till].edit(period) as inventory:
            do(inventory)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        with suppress(DocumentError):
            yield

    def close(self, period: str) -> None:
        """The first till is the one that closes periods."""
        closer = self.tills[0]
        with closer.edit(period, rehomes=False) as inventory:
            was_closed = not inventory.books.close()
        if not was_closed:
            document = closer.documents[period]
            covers = read_covers(document)
            assert covers is not None
            self.counted[period] = {mid: row for mid, row in document.entries("mv").items() if mid in covers}

    def fold(self, till: int) -> FoldStep | None:
        """The next step of the earliest closed period, if this till has what it takes."""
        one = self.tills[till]
        unfolded = one.read().books.unfolded()
        if not unfolded:
            return None
        try:
            with one.edit(max(PERIODS), rehomes=False) as inventory:
                step = inventory.books.fold(unfolded[0])
        except (FoldRefused, PeriodsMissing):
            return None
        self.folds += step is FoldStep.FOLDED
        return step

    def rehome_all(self, till: int, period: str) -> None:
        with self.attempt(), self.tills[till].edit(period) as inventory:
            self.late += len(inventory.books.rehome())

    def meet(self) -> None:
        for _ in range(2):
            for to in self.tills:
                for source in self.tills:
                    for document in ("catalog", *PERIODS):
                        to.pull(source, document)

    # What must hold

    def replay(self, till: Till) -> StockIndex:
        """Everything that this till can know of, added up without any fold."""
        index, folded = StockIndex(), usable(read_notes(till.catalog)[0], till.documents)
        for period in PERIODS:
            rows = dict(self.counted[period]) if period in folded else {}
            document = till.documents.get(period)
            index.add(rows | dict(document.entries("mv") if document is not None else {}))
        return index

    def check(self, till: Till) -> None:
        try:
            inventory = till.read()
            index = inventory._stock_index()
        except PeriodsMissing:
            return
        full = self.replay(till)
        assert set(index.cells()) == set(full.cells())
        for cell in full.cells():
            assert index.stock(cell) == full.stock(cell), cell
            assert index.held(cell) == full.held(cell), cell
            assert index.rights(cell) == full.rights(cell), cell
        assert index.idle_counts() == full.idle_counts()
        # Of a fold that is not switched on yet, who wrote what it is about is known, and nothing else.
        assert all(index.seen().get(rid, 0) >= at for rid, at in full.seen().items())
        assert index.requests() == full.requests()
        holds = {mid: full.hold_state(mid) for mid in full.of_kind("hold")}
        is_open = {mid for mid, (state, _) in holds.items() if state is HoldState.OPEN}
        assert {mid: index.hold_state(mid) for mid in index.of_kind("hold")}.items() <= holds.items()
        assert is_open <= set(index.of_kind("hold"))
        # The second of two bookings of one shipment may come after the fold that settled it.
        assert {m.mid for m in inventory.in_transit()} == of_kind_without(full, "ship", "recv")
        assert {m.mid for m in inventory.back_orders()} == of_kind_without(full, "backorder", "sale")

    def check_escrow(self) -> None:
        """What all tills together know: nobody took more than its rights, and a till sees no more than it has."""
        everything = StockIndex()
        for period in PERIODS:
            for till in self.tills:
                for documents in (till.documents, till.put_away):
                    if period in documents:
                        everything.add(documents[period].entries("mv"))
        for cell in (("shirt", "A"), ("cap", "A")):
            rights = everything.rights(cell)
            assert rights.overdrawn == {}
            assert everything.stock(cell) >= 0
            for till in self.tills:
                try:
                    till.read()._check_whole()
                except PeriodsMissing:
                    continue
                assert till.index().rights_of(till.rid, cell) <= rights.of.get(till.rid, 0)


def of_kind_without(index: StockIndex, kind: str, answer: str) -> set[str]:
    rows = index._rows
    answered = {rows[mid][6] for mid in index.of_kind(answer) if len(rows[mid]) > 6}
    return {mid for mid in index.of_kind(kind) if mid not in answered}
