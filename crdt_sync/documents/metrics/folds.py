"""Folds: what closed periods came to, in the document of their year, and which of them can be believed.

Root ``folds``: ``{period}`` -> ``[closing, stamp, entries, covers, width]``. A **closing** is a name for what was
closed, five characters that follow from it; the entries of its fold have ``{period}.{closing}`` for a writer. So two
that close a period at once, and differ, do not mix: the note of the one that wins says whose entries count. A fold
counts when all of its entries are here; until then its period counts as its own document says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Final, NamedTuple

from crdt_sync.documents.names import check_period
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import COUNTERS, GAUGES, HISTOGRAMS, REGISTERS, ROLLUPS, Fault, stamp, whole
from crdt_sync.errors import InvalidName
from crdt_sync.values import ClientId

FOLDS: Final = "folds"
FOLDER: Final = "fold"
"""Who rolls up in a fold: nobody in particular."""

_WRITER_PART: Final[Mapping[str, int]] = {GAUGES: 2, COUNTERS: 2, HISTOGRAMS: 2, REGISTERS: 2, ROLLUPS: 3}
_PLACES: Final = 5


class FoldNote(NamedTuple):
    """What the document of a year says about one folded period."""

    closing: str
    stamp: int
    """When it was closed."""
    entries: int
    """How many entries the fold has."""
    covers: int
    """How many entries the coverage has, in the closed document."""
    width_s: int
    """How wide its rows are."""


def fold_writer(period: str, closing: str) -> str:
    """The writer of a fold's entries, as keys hold it."""
    return f"{period}.{closing}"


def note_value(note: FoldNote) -> Value:
    return [*note]


def read_fold_notes(view: RootsView) -> tuple[dict[str, FoldNote], list[Fault]]:
    """By period what the ``folds`` root says, whether all of the fold is here or not."""
    notes, faults = {}, []
    for period, value in view.entries(FOLDS).items():
        note = _read_note(value)
        if note is None or not _is_period(period):
            faults.append(Fault(FOLDS, period, "is no note of a fold"))
        else:
            notes[period] = note
    return notes, faults


class FoldsView:
    """A year's document without anything but the folds that count. A :class:`RootsView`; reads the keys once."""

    def __init__(self, year: RootsView, only: Collection[str] | None = None) -> None:
        """With ``only`` the folds of these periods alone."""
        self._year = year
        notes, _ = read_fold_notes(year)
        counts: Counter[str] = Counter()
        for root, place in _WRITER_PART.items():
            counts.update(_writer(key, place) for key in year.keys(root))
        self.notes: Mapping[str, FoldNote] = {
            period: note
            for period, note in notes.items()
            if counts[fold_writer(period, note.closing)] == note.entries and (only is None or period in only)
        }
        """By period the folds that are here as a whole."""
        self._writers = {fold_writer(period, note.closing) for period, note in self.notes.items()}

    @property
    def client_id(self) -> ClientId:
        return self._year.client_id

    @property
    def version(self) -> Hashable:
        return self._year.version

    def get(self, root: str, key: str) -> Value | None:
        return self._year.get(root, key) if self._counts(root, key) else None

    def entries(self, root: str) -> Mapping[str, Value]:
        return {key: value for key, value in self._year.entries(root).items() if self._counts(root, key)}

    def keys(self, root: str) -> Iterable[str]:
        return [key for key in self._year.keys(root) if self._counts(root, key)]

    def _counts(self, root: str, key: str) -> bool:
        place = _WRITER_PART.get(root)
        return place is not None and _writer(key, place) in self._writers


def _writer(key: str, place: int) -> str:
    parts = key.split("/")
    return parts[place] if len(parts) > place else ""


def _read_note(value: Value) -> FoldNote | None:
    if not isinstance(value, list) or len(value) < _PLACES:
        return None
    closing, closed, *numbers = value[:_PLACES]
    counts = [whole(number) for number in numbers]
    known = [number for number in counts if number is not None and number >= 0]
    when = stamp(closed)
    if not isinstance(closing, str) or when is None or len(known) != len(counts) or not known[-1]:
        return None
    return FoldNote(closing, when, *known)


def _is_period(text: str) -> bool:
    try:
        check_period(text)
    except InvalidName:
        return False
    return True
