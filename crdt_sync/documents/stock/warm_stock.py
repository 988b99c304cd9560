"""The index of a tenant's movements, kept from one edit to the next by whoever owns the documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping

from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import MOVEMENTS
from crdt_sync.documents.stock.coverage import Uncovered, homes, read_covers
from crdt_sync.documents.stock.folds import NO_FOLDS, Folds, read_folds, read_notes, usable
from crdt_sync.documents.stock.originals import ORIGINALS, entries_of, entry_of, keys_of
from crdt_sync.documents.stock.stock_index import StockIndex


class WarmStock:
    """Reads a document that it has read before only as far as there is something new in it.

    Movements never change, so what is new is what has a new id; an edit that was given up leaves ids that are in no
    document, and then all is read again. So it is when the relay has noted that a movement was changed, and when a
    fold came. Not for two threads at once."""

    def __init__(
        self, unreadable: Collection[str] = (), is_dropped: Callable[[str], bool] = lambda period: False
    ) -> None:
        self.unreadable = frozenset(unreadable)
        """Periods that were written here and can't be read any more: what is late of one's own in them is not known."""
        self.is_dropped = is_dropped
        """Whether the movements of a period are gone for good: then nobody waits for them, nor for their fold."""
        self.uncovered: dict[str, Uncovered] = {}
        """Of closed documents, by period, what is in no fold, for :class:`.books.Books`."""
        self._index = StockIndex()
        self._versions: dict[str, Hashable] = {}
        self._seen: tuple[Hashable, list[tuple[str, Hashable]]] = None, []
        self._keys: dict[str, set[str]] = {}
        self._changed: dict[str, frozenset[str]] = {}
        self._folds = NO_FOLDS
        self._noted: tuple[str, ...] = ()
        self._folded: tuple[str, ...] = ()

    def index(self, catalog: RootsView, documents: Mapping[str, RootsView]) -> StockIndex:
        """The index over the folds and over these documents (by period, in order) as they are now."""
        versions = {period: document.version for period, document in documents.items()}
        folds = self._look_at_folds(catalog, documents, versions)
        if versions == self._versions:
            return self._index
        if list(documents) != list(self._keys) or not self._add_new(documents, versions):
            self._read_anew(folds, documents)
        self._versions = versions
        return self._index

    def folds(self, catalog: RootsView, documents: Mapping[str, RootsView]) -> Folds:
        """What the folds say, as far as they can be used beside these documents."""
        versions = {period: document.version for period, document in documents.items()}
        return self._look_at_folds(catalog, documents, versions)

    def periods_of(self, mid: str) -> list[str]:
        """In which of the documents that were read there is an entry under this id."""
        return [period for period, keys in self._keys.items() if mid in keys]

    def put(self, document: Roots, period: str, mid: str, layout: Value) -> None:
        """Write a movement under a new id into the document of a period, and keep an index that was up to date so."""
        is_current = self._versions.get(period) == document.version
        document.put(MOVEMENTS, mid, layout)
        if is_current and period not in self._folds.notes and not any(mid in keys for keys in self._keys.values()):
            self._index.add({mid: layout})
            self._keys[period].add(mid)
            self._versions[period] = document.version

    def _look_at_folds(
        self, catalog: RootsView, documents: Mapping[str, RootsView], versions: Mapping[str, Hashable]
    ) -> Folds:
        """The folds; once there is another one than before, nothing that was read counts any more."""
        if self._seen == (catalog.version, [(period, versions.get(period)) for period in self._noted]):
            return self._folds
        notes, _ = read_notes(catalog)
        self._noted = tuple(notes)
        self._seen = catalog.version, [(period, versions.get(period)) for period in self._noted]
        folded = usable(notes, documents)
        # What a fold says never changes, so which there are is all that must be looked at.
        if folded != self._folded or not self._folds.is_whole:
            self._folds, self._folded = read_folds(catalog, folded), folded
            self._versions, self._keys = {}, {}
        return self._folds

    def _read_anew(self, folds: Folds, documents: Mapping[str, RootsView]) -> None:
        self._index, self._keys, self._changed = StockIndex(folds), {}, {}
        for period, document in documents.items():
            entries = counting(folds, period, document)
            self._index.add(entries)
            self._keys[period] = set(entries)
            self._changed[period] = frozenset(document.keys(ORIGINALS))

    def _add_new(self, documents: Mapping[str, RootsView], versions: Mapping[str, Hashable]) -> bool:
        """Add what is new, or nothing, and return False, when only reading everything again gives the right sum."""
        changed = {period for period, version in versions.items() if version != self._versions.get(period)}
        if any(self._changed[period] != frozenset(documents[period].keys(ORIGINALS)) for period in changed):
            return False
        keys = {period: _counting_keys(self._folds, period, documents[period]) for period in changed}
        if any(not self._keys[period] <= now for period, now in keys.items()):
            return False
        new = {period: now - self._keys[period] for period, now in keys.items()}
        # Of an id in two documents the earlier one counts, and here the later one may have come first.
        if any(not mids.isdisjoint(known) for mids in new.values() if mids for known in self._keys.values()):
            return False
        for period in filter(new.__contains__, documents):
            read = entry_of if self._changed[period] else _entry
            self._index.add({mid: read(documents[period], mid) for mid in new[period]})
            self._keys[period] = keys[period]
        return True


def counting(folds: Folds, period: str, document: RootsView) -> Mapping[str, Value]:
    """The entries of the log of a document that no fold counts: of an open period all, of a folded one the late ones;
    without those that a fold has counted since in another period. A full read."""
    if period in folds.notes:
        # Hardly any of a folded document counts, and to read it as a whole takes ten times as long.
        return {mid: entry_of(document, mid) for mid in _counting_keys(folds, period, document)}
    entries = entries_of(document)
    ids = _counting_ids(folds, period, document, entries)
    return entries if ids is None else {mid: entries[mid] for mid in ids}


def is_counting(folds: Folds, period: str, document: RootsView, mid: str) -> bool:
    """Whether an id in the log of a document counts by itself and not through a fold."""
    ids = _counting_ids(folds, period, document, (mid,))
    return ids is None or mid in ids


def _entry(document: RootsView, mid: str) -> Value:
    return document.get(MOVEMENTS, mid)


def _counting_keys(folds: Folds, period: str, document: RootsView) -> set[str]:
    keys = set(keys_of(document))
    ids = _counting_ids(folds, period, document, keys)
    return keys if ids is None else ids


def _counting_ids(folds: Folds, period: str, document: RootsView, keys: Collection[str]) -> set[str] | None:
    """Which keys count; None when all do."""
    covers = read_covers(document) if period in folds.notes else None
    if covers is not None:
        return {mid for mid in keys if mid not in covers and not folds.has_counted(mid)}
    if not folds.marks or not (moved_in := homes(document)):
        return None
    return {mid for mid in keys if mid not in moved_in or not folds.has_counted(mid)}
