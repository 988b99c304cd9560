"""Folds a closed period: a pure function of the folds before it and of the movements that its document covers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from crdt_sync.documents.keys import KEY_BYTES_MAX, comp, is_movement_id, nfc
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import META, stamp, whole
from crdt_sync.documents.stock import reservations
from crdt_sync.documents.stock.coverage import CLOSED, digest_of, homes, mark_of, read_covers, subject_mark
from crdt_sync.documents.stock.escrow import rights_effects
from crdt_sync.documents.stock.folds import (
    CARRY,
    ENDED,
    FOLD,
    FOLDS,
    SEEN,
    SETTLED,
    FoldNote,
    Folds,
    is_countable,
    share_key,
    units_value,
)
from crdt_sync.documents.stock.movements import (
    ARRIVE,
    BACKORDER,
    COUNT,
    EFFECT,
    GIVE,
    HOLD,
    REFERRING,
    SALE,
    SHIP,
    WANT,
    Cell,
    Row,
)
from crdt_sync.documents.stock.originals import entries_of, entry_of
from crdt_sync.documents.stock.stock_index import StockIndex, recipient
from crdt_sync.errors import FoldRefused


class CatalogEntry(NamedTuple):
    """An entry of the catalog, as it is to be."""

    root: str
    key: str
    value: Value


class Fold(NamedTuple):
    """What folding one period writes into the catalog."""

    rows: tuple[CatalogEntry, ...]
    switch: CatalogEntry
    """Is to be written in a later update than the rows: from then on they count, and not before."""


def note_of(period: str, closed: RootsView) -> FoldNote:
    """What the folds say of a period, as its own document has it.

    Raises :class:`FoldRefused` when it is not closed, or when not all that its fold counts has arrived here."""
    return _read_closed(period, closed)[0]


def _read_closed(period: str, closed: RootsView) -> tuple[FoldNote, dict[str, Value]]:
    """The same, and what the fold counts."""
    covers, at = read_covers(closed), stamp(closed.get(META, CLOSED))
    if covers is None or at is None:
        raise FoldRefused(period, "it is not closed")
    here = entries_of(closed)
    covered = {mid: here[mid] for mid in covers if mid in here}
    if missing := len(covers) - len(covered):
        raise FoldRefused(period, f"{missing} of the movements that it counts have not arrived here")
    return FoldNote(at, len(covers), digest_of(covered)), covered


def fold_of(folds: Folds, period: str, closed: RootsView, folder: str) -> Fold:
    """The fold of a closed period on top of ``folds``, which are all that come before it.

    Whoever folds it writes the same, the totals each under its own name, ``folder``. Raises :class:`FoldRefused`, see
    :func:`note_of`; also for a period that sorts before one that is folded already and still covers movements: those
    must count as late."""
    note, covered = _read_closed(period, closed)
    if period < folds.through and note.movements:
        raise FoldRefused(period, f"{folds.through} is folded already, so what it holds is late: close it again")
    new, moved_in = _first_counted(folds, closed, covered)
    known = {mid: carried.row for mid, carried in folds.carried.items()} | new
    ledger = _Sorter(known, folds)
    stays = {mid for mid in known if ledger.stays(mid)}
    settled = {mid: row for mid, row in known.items() if mid not in stays and ledger.counts(row)}
    carry = [
        CatalogEntry(CARRY, mid, [period, stored(entry_of(closed, mid))])
        for mid in sorted(stays - folds.carried.keys())
    ]
    carry += [CatalogEntry(ENDED, mid, period) for mid in sorted(folds.carried) if mid not in stays]
    marks = sorted({*map(subject_mark, ledger.done_with(stays)), *map(mark_of, moved_in)})
    own = [*_totals(folds, period, settled), *_heard_of(folds, new)]
    rows = [CatalogEntry(root, f"{key}/{comp(folder)}", value) for root, key, value in own] + carry
    if marks:
        rows.append(CatalogEntry(SETTLED, period, b"".join(marks)))
    return Fold(tuple(rows), CatalogEntry(FOLDS, period, [*note]))


def stage(catalog: Roots, fold: Fold) -> bool:
    """Write the rows of a fold that the catalog does not hold; False when it holds them all."""
    missing = [entry for entry in fold.rows if catalog.get(entry.root, entry.key) != entry.value]
    for entry in missing:
        catalog.put(*entry)
    return bool(missing)


def _first_counted(folds: Folds, closed: RootsView, covered: Mapping[str, Value]) -> tuple[dict[str, Row], list[str]]:
    """The movements that this fold is the first to count, and the ids of those that moved in from other periods."""
    moved = homes(closed)
    # Moved on twice, by two who did not see each other, a movement is in two documents, and counts once.
    counted = {mid for mid in moved if folds.has_counted(mid)} | folds.carried.keys()
    new = {
        mid: row
        for mid, row in covered.items()
        if mid not in counted and isinstance(row, list) and is_countable(mid, row)
    }
    return new, [mid for mid in moved if mid in covered and not folds.has_counted(mid)]


def _totals(folds: Folds, period: str, settled: Mapping[str, Row]) -> Iterator[CatalogEntry]:
    index = StockIndex().add(settled)
    for cell in sorted(index.cells()):
        rights, before = index.rights(cell), folds.shares.get(cell, {})
        changes = {**rights.of, "": rights.unassigned}
        for rid, units in sorted(changes.items()):
            earlier = before.get(rid)
            # A cell in which all cancels out is still one in which something moved.
            if units == 0 and (earlier is not None or rid != "" or len(changes) > 1 or before):
                continue
            key = share_key(*cell, rid)
            assert key is not None, "what makes no key is carried, not added up"
            if earlier is None:
                yield CatalogEntry(FOLD, key, [period, units_value(units), None, 0])
            else:
                value: list[Value] = [period, units_value(earlier.units + units), earlier.period]
                yield CatalogEntry(FOLD, key, [*value, units_value(earlier.units)])


def _heard_of(folds: Folds, rows: Mapping[str, Row]) -> Iterator[CatalogEntry]:
    latest: dict[str, int] = {}
    for row in rows.values():
        if row[0] in EFFECT:
            latest[row[4]] = max(latest.get(row[4], 0), int(row[5]))
    for rid, at in sorted(latest.items()):
        key = comp(rid) if rid and nfc(rid) == rid else ""
        if key and len(key) <= KEY_BYTES_MAX and at > folds.seen.get(rid, -1):
            yield CatalogEntry(SEEN, key, at)


class _Sorter:
    """Tells movements whose effect is final from those that a later movement may yet give another meaning.

    Those stay rows. What has come to its end is added up together with what ended it."""

    def __init__(self, rows: Mapping[str, Row], folds: Folds) -> None:
        self._rows = rows
        self._folds = folds
        self._keyable: dict[tuple[str, str, str], bool] = {}
        self._referring: defaultdict[str, list[str]] = defaultdict(list)
        self._served = {row[6] for row in rows.values() if row[0] == SALE and len(row) > 6}
        self._wants: dict[tuple[str, str, str], tuple[int, str]] = {}
        for mid, row in rows.items():
            if row[0] in REFERRING:
                self._referring[row[6]].append(mid)
            elif row[0] == WANT:
                asker = nfc(row[1]), nfc(row[2]), row[4]
                self._wants[asker] = max(self._wants.get(asker, (-1, "")), (int(row[5]), mid))
        self._last_wants = {mid for _, mid in self._wants.values()}

    def stays(self, mid: str) -> bool:
        row = self._rows[mid]
        kind = row[0]
        if kind not in EFFECT or kind == COUNT:
            # A later stock-take chooses by what it names which of the earlier ones count.
            return True
        if kind == HOLD:
            return not self._is_ended(mid, row)
        if kind == SHIP:
            return not self._is_booked_in(mid)
        if kind in REFERRING:
            return self._referring_stays(row)
        if not self._has_key(row):
            return True
        if kind == BACKORDER:
            return mid not in self._served
        if kind == WANT:
            return mid in self._last_wants
        return kind == GIVE and self._answers(row)

    def counts(self, row: Row) -> bool:
        """Whether a movement that does not stay takes part in the totals."""
        # An arrival of what was booked in before would be taken for one whose shipment nobody has seen.
        return row[0] != ARRIVE or row[6] in self._rows

    def done_with(self, stays: set[str]) -> Iterator[str]:
        """Ids that nothing must refer to any more, and which are no rows from now on."""
        for mid, row in self._rows.items():
            if row[0] in (SHIP, WANT) and mid not in stays:
                yield mid
            elif row[0] == SALE and (ref := _reference(row)) is not None and ref not in self._rows:
                # What it serves has not come yet, and must not be taken for owed when it does.
                yield ref

    def _referring_stays(self, row: Row) -> bool:
        subject = self._rows.get(row[6])
        if subject is None:
            return not self._folds.is_done_with(row[6])
        if row[0] == ARRIVE:
            return subject[0] != SHIP or not self._is_booked_in(row[6])
        return subject[0] == HOLD and reservations.is_end_of(row, subject) and not self._is_ended(row[6], subject)

    def _is_ended(self, hold: str, row: Row) -> bool:
        ends = (self._rows[mid] for mid in self._referring[hold] if self._rows[mid][0] != ARRIVE)
        return self._has_key(row) and any(reservations.is_end_of(end, row) for end in ends)

    def _is_booked_in(self, shipment: str) -> bool:
        arrivals = [row for mid in self._referring[shipment] if (row := self._rows[mid])[0] == ARRIVE]
        row = self._rows[shipment]
        to = recipient(row)
        assert to is not None, "a shipment has a recipient"
        cells = {(nfc(arrival[1]), nfc(arrival[2])) for arrival in arrivals}
        return bool(cells) and self._has_key(row) and all(self._makes_key(cell, to) for cell in cells)

    def _answers(self, row: Row) -> bool:
        """Whether rights were handed over to answer a request that is open, or has not come yet."""
        ref = _reference(row)
        if ref is None or self._folds.is_done_with(ref):
            return False
        return ref in self._last_wants or ref not in self._rows

    def _has_key(self, row: Row) -> bool:
        cell = nfc(row[1]), nfc(row[2])
        return all(self._makes_key(cell, rid) for rid in (row[4], *(rid for rid, _ in rights_effects(row))))

    def _makes_key(self, cell: Cell, rid: str) -> bool:
        wanted = *cell, rid
        found = self._keyable.get(wanted)
        if found is None:
            found = self._keyable[wanted] = rid != "" and share_key(*wanted) is not None
        return found


def _reference(row: Row) -> str | None:
    """The reference of a movement where it may be another one's id."""
    ref = row[6] if len(row) > 6 else None
    return ref if isinstance(ref, str) and is_movement_id(ref) else None


def stored(value: Value) -> Value:
    """A value as it was written: numbers come back from a document as floats."""
    if isinstance(value, list):
        return [stored(item) for item in value]
    if isinstance(value, dict):
        return {name: stored(item) for name, item in value.items()}
    number = whole(value) if isinstance(value, float) else None
    return value if number is None else number
