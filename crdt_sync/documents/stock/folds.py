"""The folds of a tenant: what the movements of closed periods come to, so that a reader need not open those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from crdt_sync.documents.keys import KEY_BYTES_MAX, comp, nfc, split, uncomp
from crdt_sync.documents.names import check_period
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import INT_MAX, Fault, stamp, whole
from crdt_sync.documents.stock.coverage import MARK_BYTES, mark_of, read_covers, subject_mark
from crdt_sync.documents.stock.movements import EFFECT, Cell, Row, flaw, kind_of
from crdt_sync.errors import InvalidName

FOLDS, FOLD, CARRY, ENDED, SETTLED, SEEN = "folds", "fold", "carry", "ended", "settled", "seen"
"""Roots of the catalog: which periods are folded; rights of each cell; movements that others may yet refer to, and
which later fold has dealt with them; marks of what must not be referred to any more; when each replica was last heard
of.

What stands under a key follows from the key, so it does no harm that several fold. Only totals and the times in
``seen`` grow, and so every folder has entries of its own for them."""

_DIGEST_DIGITS = 16


class FoldNote(NamedTuple):
    """The entry that switches a fold on."""

    stamp: int
    movements: int
    digest: str
    """Of the ids of these movements, see :func:`.coverage.digest_of`."""


class Share(NamedTuple):
    """What one replica has in one cell: units, and the period whose fold wrote so."""

    units: int
    period: str


class Carried(NamedTuple):
    """A movement of a folded period that counts by itself, not through a total."""

    period: str
    row: Row


@dataclass(frozen=True, slots=True)
class Folds:
    """All folds through one period, the greatest whose folds can be used here."""

    notes: Mapping[str, FoldNote] = field(default_factory=dict)
    """By folded period, sorted."""
    shares: Mapping[Cell, Mapping[str, Share]] = field(default_factory=dict)
    """Of each cell what each replica has a right to, and under ``""`` what is in nobody's rights. Without what
    :attr:`carried` movements do."""
    carried: Mapping[str, Carried] = field(default_factory=dict)
    marks: frozenset[bytes] = frozenset()
    seen: Mapping[str, int] = field(default_factory=dict)
    """Of each replica the greatest stamp of its folded movements."""
    faults: tuple[Fault, ...] = ()
    is_whole: bool = True
    """False when what a cell came to at this point has been overwritten by later folds since."""

    @property
    def through(self) -> str:
        """The greatest folded period, ``""`` where there is none."""
        return max(self.notes, default="")

    def has_counted(self, mid: str) -> bool:
        """Whether a movement that was late has got into a fold since: where it turns up again it counts nothing."""
        return bool(self.marks) and mark_of(mid) in self.marks

    def is_done_with(self, subject: str) -> bool:
        """Whether a shipment was booked in, a back-order served or a request replaced in a fold, so that another
        movement that refers to it changes nothing."""
        return bool(self.marks) and subject_mark(subject) in self.marks


NO_FOLDS = Folds()


def read_notes(catalog: RootsView) -> tuple[dict[str, FoldNote], list[Fault]]:
    """Which periods are folded, sorted, and entries that are no such note."""
    notes, faults = {}, []
    for period, value in sorted(catalog.entries(FOLDS).items()):
        note = _note(period, value)
        if note is None:
            faults.append(Fault(FOLDS, period, "is no period with stamp, number of movements and digest"))
        else:
            notes[period] = note
    return notes, faults


def usable(notes: Mapping[str, FoldNote], documents: Mapping[str, RootsView]) -> tuple[str, ...]:
    """The folded periods up to the first whose document is here and does not say yet what its fold counts.

    Catalog and movements travel separately, so the fold may come first. Until the document catches up nobody can tell
    which of its movements are in it, those of this replica among them."""
    found = []
    for period in sorted(notes):
        if (document := documents.get(period)) is not None and read_covers(document) is None:
            break
        found.append(period)
    return tuple(found)


def read_folds(catalog: RootsView, periods: tuple[str, ...] | None = None) -> Folds:
    """All folds, or those of ``periods``: the first so many of the folded ones. A full read of what is folded."""
    notes, faults = read_notes(catalog)
    counted = {period: note for period, note in notes.items() if periods is None or period in periods}
    if not notes:
        return Folds(faults=tuple(faults)) if faults else NO_FOLDS
    shares, is_whole, more = _read_shares(catalog, counted)
    carried, others = _read_carried(catalog, counted)
    marks, rest = _read_marks(catalog, counted)
    return Folds(counted, shares, carried, marks, _read_seen(catalog), (*faults, *more, *others, *rest), is_whole)


def _read_shares(
    catalog: RootsView, counted: Mapping[str, FoldNote]
) -> tuple[dict[Cell, dict[str, Share]], bool, list[Fault]]:
    shares: dict[Cell, dict[str, Share]] = {}
    is_whole, faults = True, []
    for key, value in catalog.entries(FOLD).items():
        owner, parts = split_key(key), _parts(value)
        if owner is None or parts is None:
            faults.append(Fault(FOLD, key, "is no total of a product, a location and a replica"))
            continue
        share = next((part for part in parts if part.period in counted), None)
        if share is not None:
            of = shares.setdefault(owner[:2], {})
            # Of two folders' the later period's; of one period both say the same.
            of[owner[2]] = max(of.get(owner[2], share), share, key=lambda one: (one.period, one.units))
        elif len(parts) > 1 and counted:
            # Before the first fold there was nothing, but between two there may have been another total.
            is_whole = False
    return shares, is_whole, faults


def _read_carried(catalog: RootsView, counted: Mapping[str, FoldNote]) -> tuple[dict[str, Carried], list[Fault]]:
    carried: dict[str, Carried] = {}
    faults, ended = [], catalog.entries(ENDED)
    for mid, value in catalog.entries(CARRY).items():
        one = _carried(mid, value)
        if one is None:
            faults.append(Fault(CARRY, mid, "is no movement that is carried on"))
        elif one.period in counted and ended.get(mid) not in counted:
            carried[mid] = one
    return carried, faults


def _read_seen(catalog: RootsView) -> dict[str, int]:
    # A replica was heard of then, whether what it wrote is folded yet or not.
    seen: dict[str, int] = {}
    for key, value in catalog.entries(SEEN).items():
        parts, at = split(key, 2), stamp(value)
        if parts is not None and at is not None:
            seen[parts[0]] = max(seen.get(parts[0], 0), at)
    return seen


def share_key(sku: str, location: str, rid: str) -> str | None:
    """``{sku}/{location}/{rid}``, with nothing behind the last slash for what is in nobody's rights; a folder's name is
    to follow. None for names that make no key, as foreign pages may write them: too long, empty, or not in their one
    spelling."""
    if not sku or not location or nfc(rid) != rid:
        return None
    key = f"{comp(sku)}/{comp(location)}/{comp(rid) if rid else ''}"
    return key if len(key) <= KEY_BYTES_MAX else None


def split_key(key: str) -> tuple[str, str, str] | None:
    """Product, location and replica behind the key of an entry of ``fold``."""
    parts = key.split("/")
    if len(parts) != 4 or uncomp(parts[3]) is None:
        return None
    sku, location, rid = uncomp(parts[0]), uncomp(parts[1]), uncomp(parts[2]) if parts[2] else ""
    return None if sku is None or location is None or rid is None else (sku, location, rid)


def units_value(units: int) -> Value:
    """A total as it is stored: beyond what JavaScript holds exactly, as text."""
    return units if abs(units) <= INT_MAX else str(units)


def _note(period: str, value: Value) -> FoldNote | None:
    try:
        check_period(period)
    except InvalidName:
        return None
    if not isinstance(value, list) or len(value) < 3:
        return None
    at, movements, digest = stamp(value[0]), whole(value[1]), value[2]
    if at is None or movements is None or movements < 0 or not isinstance(digest, str):
        return None
    return FoldNote(at, movements, digest) if len(digest) == _DIGEST_DIGITS else None


def _parts(value: Value) -> list[Share] | None:
    """What one entry of ``fold`` says, the later part first."""
    if not isinstance(value, list) or len(value) < 4:
        return None
    period, units, earlier, units_before = value[0], _units(value[1]), value[2], _units(value[3])
    if not isinstance(period, str) or units is None or units_before is None:
        return None
    if earlier is None:
        return [Share(units, period)]
    return [Share(units, period), Share(units_before, earlier)] if isinstance(earlier, str) else None


def _units(value: Value) -> int | None:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() else None
    return whole(value)


def _carried(mid: str, value: Value) -> Carried | None:
    if not isinstance(value, list) or len(value) < 2:
        return None
    period, row = value[0], value[1]
    if not isinstance(period, str) or not isinstance(row, list) or not is_countable(mid, row):
        return None
    return Carried(period, row)


def is_countable(mid: str, row: Value) -> bool:
    """Whether an entry is a sound movement, or of a kind that a later version may count."""
    return kind_of(row) is not None and (kind_of(row) not in EFFECT or flaw(mid, row) is None)


def _read_marks(catalog: RootsView, counted: Mapping[str, FoldNote]) -> tuple[frozenset[bytes], list[Fault]]:
    marks: set[bytes] = set()
    faults = []
    for period in counted:
        value = catalog.get(SETTLED, period)
        if isinstance(value, bytes | bytearray) and len(value) % MARK_BYTES == 0:
            marks.update(bytes(value[at : at + MARK_BYTES]) for at in range(0, len(value), MARK_BYTES))
        elif value is not None:
            faults.append(Fault(SETTLED, period, "is no row of eight-byte marks"))
    return frozenset(marks), faults
