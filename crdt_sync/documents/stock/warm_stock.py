"""The index of a tenant's movements, kept from one edit to the next by whoever owns the documents."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import MOVEMENTS
from crdt_sync.documents.stock.stock_index import StockIndex


class WarmStock:
    """Reads a document that it has read before only as far as there is something new in it.

    Movements never change, so what is new is what has a new id; an edit that was given up leaves ids that are in no
    document, and then all is read again. Not for two threads at once."""

    def __init__(self) -> None:
        self._index = StockIndex()
        self._versions: dict[str, Hashable] = {}
        self._keys: dict[str, set[str]] = {}

    def index(self, documents: Mapping[str, RootsView]) -> StockIndex:
        """The index over these documents (by period, in order) as they are now."""
        versions = {period: document.version for period, document in documents.items()}
        if versions == self._versions:
            return self._index
        if list(documents) != list(self._keys) or not self._add_new(documents, versions):
            self._read_anew(documents)
        self._versions = versions
        return self._index

    def put(self, document: Roots, period: str, mid: str, layout: Value) -> None:
        """Write a movement under a new id into the document of a period, and keep an index that was up to date so."""
        is_current = self._versions.get(period) == document.version
        document.put(MOVEMENTS, mid, layout)
        if is_current and not any(mid in keys for keys in self._keys.values()):
            self._index.add({mid: layout})
            self._keys[period].add(mid)
            self._versions[period] = document.version

    def _read_anew(self, documents: Mapping[str, RootsView]) -> None:
        self._index, self._keys = StockIndex(), {}
        for period, document in documents.items():
            entries = document.entries(MOVEMENTS)
            self._index.add(entries)
            self._keys[period] = set(entries)

    def _add_new(self, documents: Mapping[str, RootsView], versions: Mapping[str, Hashable]) -> bool:
        """Add what is new, or nothing, and return False, when only reading everything again gives the right sum."""
        changed = {period for period, version in versions.items() if version != self._versions[period]}
        keys = {period: set(documents[period].keys(MOVEMENTS)) for period in changed}
        if any(not self._keys[period] <= now for period, now in keys.items()):
            return False
        new = {period: now - self._keys[period] for period, now in keys.items()}
        # Of an id in two documents the earlier one counts, and here the later one may have come first.
        if any(not mids.isdisjoint(known) for mids in new.values() if mids for known in self._keys.values()):
            return False
        for period in filter(new.__contains__, documents):
            self._index.add({mid: documents[period].get(MOVEMENTS, mid) for mid in new[period]})
            self._keys[period] = keys[period]
        return True
