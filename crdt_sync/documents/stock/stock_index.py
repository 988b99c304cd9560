"""Adds up movements as they come in: stock, rights, holds and stock-takes of every cell, and what must be reported."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from crdt_sync.documents.keys import nfc
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import MOVEMENTS, Fault
from crdt_sync.documents.stock import oversell, reservations, stocktakes
from crdt_sync.documents.stock.allotment import Request, open_requests
from crdt_sync.documents.stock.escrow import NOBODY, Rights, rights_effects
from crdt_sync.documents.stock.folds import NO_FOLDS, Folds
from crdt_sync.documents.stock.movements import (
    ARRIVE,
    CONFIRM,
    COUNT,
    EFFECT,
    GIVE,
    HOLD,
    REFERRING,
    SHIP,
    WANT,
    Cell,
    Row,
    flaw,
    kind_of,
)
from crdt_sync.documents.stock.oversell import Oversell, Step
from crdt_sync.documents.stock.reservations import STATE_OF, HoldState

_Subject = tuple[str, bool]
"""What an entry refers to: the id, and whether as a shipment (else as a hold)."""


class _Booked(NamedTuple):
    """What an arrival, or the end of a hold, does to the books as long as it is the one that counts."""

    mid: str
    cell: Cell
    quantity: int
    rid: str | None


class _Book:
    """One cell. ``stock`` and ``rights`` are without its stock-takes' finds, which :meth:`StockIndex.stock` adds."""

    __slots__ = ("counts", "crossings", "held", "is_folded", "latest", "mids", "opening", "path", "rights", "stock")

    def __init__(self) -> None:
        self.stock = 0
        self.held = 0
        self.rights: defaultdict[str, int] = defaultdict(int)
        self.counts: dict[str, Row] = {}
        self.path: list[str] | None = []
        self.mids: list[str] = []
        """The movements that count in this cell, and all its stock-takes."""
        self.latest = 0
        self.opening = 0
        """What the folds say of its stock, without the movements that they carry on."""
        self.is_folded = False
        self.crossings: list[Oversell] | None = None
        """What :meth:`StockIndex.oversold` found last; None since something came to this cell."""


class StockIndex:
    """The sum over the movements of any number of documents, kept up to date entry by entry.

    Neither the order of entries nor that of documents matters, and an entry that comes again changes nothing. Only
    where two documents hold different movements under one id the first that was added counts, and a fault says so:
    add documents in the order of their periods.

    It begins with what ``folds`` say; then only what no fold counts is to be added."""

    def __init__(self, folds: Folds = NO_FOLDS) -> None:
        # Keys of a dict are a set that remembers its order.
        self._unknown: dict[tuple[str, str], None] = {}
        self._flaws: dict[Fault, None] = {}
        self._rows: dict[str, Row] = {}
        self._books: dict[Cell, _Book] = {}
        self._referring: defaultdict[_Subject, dict[str, Row]] = defaultdict(dict)
        self._booked: dict[_Subject, _Booked] = {}
        self._wants: list[str] = []
        self._answers: defaultdict[str, list[str]] = defaultdict(list)
        self._seen: dict[str, int] = dict(folds.seen)
        self._folds = folds
        self._begin_with(folds)

    def add(self, entries: Mapping[str, Value]) -> StockIndex:
        """Take in the ``mv`` root of one document, or some of its entries; returns itself."""
        # ``flaw`` looks at every place of a row; to narrow its type again would cost half the speed.
        rows: Mapping[str, Any] = entries
        for mid, value in rows.items():
            known = self._rows.get(mid)
            if known is not None:
                if known != value:
                    self._skip(mid, "is two different movements; the one of the earlier period counts")
                continue
            kind = kind_of(value)
            reason = None if kind is not None and kind not in EFFECT else flaw(mid, value)
            if reason is not None:
                self._skip(mid, reason)
            elif kind is not None and kind not in EFFECT:
                self._unknown[mid, kind] = None
            else:
                self._rows[mid] = value
                self._take(mid, value)
        return self

    # Reading one cell

    def stock(self, cell: Cell) -> int:
        """Stock of one cell: what is there and not held; 0 where nothing ever moved."""
        book = self._books.get(cell)
        return 0 if book is None else book.stock + sum(int(book.counts[mid][3]) for mid in _path(book))

    def held(self, cell: Cell) -> int:
        """How many units the open holds of a cell keep back."""
        book = self._books.get(cell)
        return 0 if book is None else book.held

    def rights(self, cell: Cell) -> Rights:
        """How the stock of a cell is divided among replicas."""
        book = self._books.get(cell)
        of = {} if book is None else {rid: units for rid, units in sorted(book.rights.items()) if units}
        return Rights(of, self.stock(cell) - sum(of.values()))

    def rights_of(self, rid: str, cell: Cell) -> int:
        """Units of a cell that one replica may take."""
        book = self._books.get(cell)
        return 0 if book is None else book.rights.get(rid, 0)

    def last_count(self, cell: Cell) -> str | None:
        """The latest stock-take of a cell, which the next one must name."""
        book = self._books.get(cell)
        path = [] if book is None else _path(book)
        return path[0] if path else None

    def latest_stamp(self, cell: Cell) -> int:
        """The greatest stamp in a cell, 0 where nothing ever moved."""
        book = self._books.get(cell)
        return 0 if book is None else book.latest

    def oversold(self, cell: Cell) -> list[Oversell]:
        """The movements that took this cell below zero. Reads the whole cell, once until something comes to it."""
        book = self._books.get(cell)
        if book is None:
            return []
        if book.crossings is None:
            book.crossings = oversell.crossings(cell, self._steps(book), book.opening)
        return [*book.crossings]

    # Reading everything

    def cells(self) -> list[Cell]:
        """Every cell that anything ever moved in."""
        return [cell for cell, book in self._books.items() if book.mids or book.is_folded]

    def table(self) -> dict[Cell, int]:
        """Stock of every cell that anything ever moved in."""
        return {cell: self.stock(cell) for cell in self.cells()}

    def hold_state(self, hold: str) -> tuple[HoldState, str | None]:
        """What has become of a hold, and the id of the movement that ended it."""
        booked = self._booked.get((hold, False))
        return (HoldState.OPEN, None) if booked is None else (STATE_OF[self._rows[booked.mid][0]], booked.mid)

    def of_kind(self, kind: str) -> list[str]:
        """The ids of all movements of one kind."""
        return [mid for mid, row in self._rows.items() if row[0] == kind]

    def rows_of(self, kind: str) -> dict[str, Row]:
        """All movements of one kind, by id."""
        return {mid: row for mid, row in self._rows.items() if row[0] == kind}

    def idle_counts(self) -> list[str]:
        """Stock-takes that do not count: another one, made without seeing them, is later."""
        return sorted(mid for book in self._books.values() for mid in book.counts.keys() - set(_path(book)))

    def requests(self) -> list[Request]:
        """The requests for rights that are open, the oldest first."""
        rows = self._rows
        answers = {mid: [rows[answer] for answer in self._answers.get(mid, ())] for mid in self._wants}
        return open_requests({mid: rows[mid] for mid in self._wants}, answers)

    def seen(self) -> Mapping[str, int]:
        """By replica the greatest stamp of its movements."""
        return self._seen

    @property
    def unknown(self) -> Counter[str]:
        """Kinds that this version does not count, and how many entries of each there are."""
        return Counter(kind for _, kind in self._unknown)

    @property
    def faults(self) -> list[Fault]:
        """Entries that were skipped, and ends of holds that do not count, with the reason."""
        return [*self._flaws, *self._void_ends()]

    # Taking in

    def _begin_with(self, folds: Folds) -> None:
        for cell, shares in folds.shares.items():
            book = self._book(cell)
            book.is_folded = True
            book.stock = book.opening = sum(share.units for share in shares.values())
            for rid, share in shares.items():
                if rid != NOBODY:
                    book.rights[rid] = share.units
        self.add({mid: carried.row for mid, carried in folds.carried.items()})

    def _skip(self, mid: str, reason: str) -> None:
        self._flaws[Fault(MOVEMENTS, mid, reason)] = None

    def _take(self, mid: str, row: Row) -> None:
        kind, quantity = row[0], int(row[3])
        self._seen[row[4]] = max(self._seen.get(row[4], 0), int(row[5]))
        if kind in REFERRING:
            subject = row[6], kind == ARRIVE
            self._referring[subject][mid] = row
            self._settle(subject)
            return
        book = self._book((nfc(row[1]), nfc(row[2])))
        book.mids.append(mid)
        book.crossings = None
        book.latest = max(book.latest, int(row[5]))
        for rid, units in rights_effects(row):
            book.rights[rid] += units
        if kind == COUNT:
            book.counts[mid] = row
            book.path = None
        else:
            book.stock += EFFECT[kind] * quantity
        if kind == HOLD:
            book.held += quantity
        elif kind == WANT:
            self._wants.append(mid)
        elif kind == GIVE and len(row) > 6 and row[6] is not None:
            self._answers[row[6]].append(mid)
        # What refers to it may have come first.
        if kind in (HOLD, SHIP) and (subject := (mid, kind == SHIP)) in self._referring:
            self._settle(subject)

    def _settle(self, subject: _Subject) -> None:
        """Let the one entry count that books in this shipment, or that ends this hold."""
        wanted, before = self._counting(subject), self._booked.get(subject)
        if wanted is not None:
            # Another booking of a shipment may move it to an earlier time, also where it does not count.
            self._book(wanted.cell).crossings = None
        if wanted == before:
            return
        if before is not None:
            self._book_in(before, -1)
            del self._booked[subject]
        if wanted is not None:
            self._book_in(wanted, 1)
            self._booked[subject] = wanted

    def _counting(self, subject: _Subject) -> _Booked | None:
        mid, is_shipment = subject
        row, rows = self._rows.get(mid), self._referring[subject]
        if is_shipment:
            if row is None and self._folds.is_done_with(mid):
                return None
            # Two people may book in one shipment while both are offline; everybody must pick the same booking.
            first = min(rows)
            arrival = rows[first]
            return _Booked(first, (nfc(arrival[1]), nfc(arrival[2])), int(arrival[3]), recipient(row))
        if row is None or row[0] != HOLD:
            return None
        ended = reservations.strongest((end, rows[end]) for end in rows if reservations.is_end_of(rows[end], row))
        return None if ended is None else _Booked(ended[0], (nfc(row[1]), nfc(row[2])), int(row[3]), row[4])

    def _book_in(self, booked: _Booked, sign: int) -> None:
        book, row = self._book(booked.cell), self._rows[booked.mid]
        book.crossings = None
        units = sign * booked.quantity
        (book.mids.append if sign > 0 else book.mids.remove)(booked.mid)
        book.latest = max(book.latest, int(row[5]))
        if row[0] != ARRIVE:
            book.held -= units
        if row[0] != CONFIRM:
            book.stock += units
            if booked.rid is not None:
                book.rights[booked.rid] += units

    def _book(self, cell: Cell) -> _Book:
        book = self._books.get(cell)
        if book is None:
            book = self._books[cell] = _Book()
        return book

    def _steps(self, book: _Book) -> Iterator[Step]:
        path = set(_path(book))
        for mid in book.mids:
            row = self._rows[mid]
            kind, delta = row[0], EFFECT[row[0]] * int(row[3])
            stamp = int(row[5])
            if kind == ARRIVE:
                # Booked in twice, the goods were there from the first booking on, also where the second one counts.
                stamp = min(int(arrival[5]) for arrival in self._referring[row[6], True].values())
            if kind != COUNT or mid in path:
                yield Step(stamp, mid, delta)

    def _void_ends(self) -> Iterator[Fault]:
        for (subject, is_shipment), rows in self._referring.items():
            hold = self._rows.get(subject)
            if is_shipment and hold is None and self._folds.is_done_with(subject):
                for mid in rows:
                    yield Fault(MOVEMENTS, mid, "books in a shipment of a folded period again, so it changes nothing")
            for mid, row in () if is_shipment else rows.items():
                if hold is None or hold[0] != HOLD:
                    yield Fault(MOVEMENTS, mid, "ends a hold that is in no document here, so it changes nothing")
                elif row[4] != hold[4]:
                    yield Fault(MOVEMENTS, mid, "ends a hold of another replica, so it changes nothing")
                elif not reservations.is_end_of(row, hold):
                    yield Fault(MOVEMENTS, mid, "ends a hold of other goods than it says, so it changes nothing")


def recipient(shipment: Row | None) -> str | None:
    """Who gets the rights to what arrives: whom the shipment names, or its sender. Not who books it in, for that may be
    two, and the one whose booking does not count in the end could have sold by then."""
    if shipment is None or shipment[0] != SHIP:
        return None
    named = shipment[7].get("for") if len(shipment) > 7 and shipment[7] is not None else None
    return named if isinstance(named, str) else shipment[4]


def _path(book: _Book) -> list[str]:
    if book.path is None:
        book.path = stocktakes.effective(book.counts)
    return book.path
