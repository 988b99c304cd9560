"""What somebody should look at: conflicts, inconsistencies, incidents, and the rules that settle some of them."""

from __future__ import annotations

from abc import abstractmethod

from crdt_sync.documents.catalog.arbitration import Arbitration
from crdt_sync.documents.catalog.audit_trail import Resolution
from crdt_sync.documents.catalog.conflicts import Conflict
from crdt_sync.documents.catalog.inconsistencies import Inconsistency
from crdt_sync.documents.catalog.registers import Catalog
from crdt_sync.documents.catalog.rules import Rules
from crdt_sync.documents.keys import LIFE, comp, nfc
from crdt_sync.documents.schema import ATTRIBUTES, INCIDENTS
from crdt_sync.documents.stock.findings import broken_cells, changed, idle_counts, late
from crdt_sync.documents.stock.incidents import Incident, new_incidents, read_incidents
from crdt_sync.documents.stock.sharing import SharedStock
from crdt_sync.errors import PeriodsMissing


class Oversight(SharedStock):
    """The part of an :class:`~crdt_sync.documents.inventory.InventoryDocument` that tells what does not add up."""

    _arbitration: Arbitration

    @abstractmethod
    def _read_catalog(self) -> Catalog: ...

    def conflicts(self, *, product: str | None = None, location: str | None = None) -> list[Conflict]:
        """What a person should look at, of one product or location if named: fields with several values that nobody has
        chosen from, products that came back after their deletion, and inconsistencies that nobody has acknowledged.

        Writes of equal values close by themselves. Resolve each in the edit that it was listed in. Where the movements
        of some period are not open, as in most edits, inconsistencies are not listed: half of them prove nothing."""
        found = self._arbitration.conflicts(self._read_catalog().revived)
        if self._is_whole():
            found += self._arbitration.inconsistent(self.inconsistencies())
        return [
            conflict
            for conflict in found
            if (product is None or conflict.product == nfc(product))
            and (location is None or conflict.location == nfc(location))
        ]

    def settle_conflicts(self) -> list[Conflict]:
        """Resolve what there is a rule for, in the catalog or else in the policy, and return it; what its function
        can't merge stays open."""
        self._check_writable(self._catalog)
        return self._arbitration.settle()

    def inconsistencies(self) -> list[Inconsistency]:
        """Every invariant that a merge has broken, acknowledged or not. Raises :class:`PeriodsMissing`."""
        self._check_whole()
        index = self._stock_index()
        # What has a life is known, or was until somebody deleted it on evidence.
        lives = {key for key in self._catalog.keys(ATTRIBUTES) if key.endswith(f"/{LIFE}")}
        return [
            *broken_cells(index, self.policy, lambda sku, at: {f"{comp(sku)}/{LIFE}", f"@{comp(at)}/{LIFE}"} <= lives),
            *idle_counts(index, self.find),
            *changed(self._documents),
            *late(self.books.late()),
        ]

    def note_incidents(self) -> list[Incident]:
        """Put on record which inconsistencies there are, and which are gone; returns what was written. One replica per
        tenant does this, and where there is a relay it is the relay. Raises :class:`PeriodsMissing`."""
        noted = self._catalog.entries(INCIDENTS)
        entries = new_incidents(self.inconsistencies(), noted, lambda: self._clock.tick(self._now_ms()))
        if entries:
            self._check_writable(self._catalog)
        for key, entry in entries:
            self._catalog.put(INCIDENTS, key, entry)
        return read_incidents(dict(entries))[0]

    def incidents(self) -> list[Incident]:
        """What the relay has put on record, the oldest first; also what has dissolved since."""
        return read_incidents(self._catalog.entries(INCIDENTS))[0]

    def rules(self) -> Rules:
        """What an operator has configured for this tenant; entries that can't be read are ignored and in faults()."""
        return self._arbitration.rules()[0]

    def set_rule(self, name: str, value: object) -> None:
        """Set a rule for all peers of this tenant, such as ``merge/price`` to ``"max"`` or ``rights/keep`` to 30; None
        switches it off. Raises :class:`InvalidName`, and :class:`InvalidValue` that says what the rule takes."""
        self._check_writable(self._catalog)
        self._arbitration.set_rule(name, value)

    def resolutions(self) -> list[Resolution]:
        """The audit trail: who has resolved what, when, how, and what was chosen from."""
        return self._arbitration.resolutions()

    def _is_whole(self) -> bool:
        try:
            self._check_whole()
        except PeriodsMissing:
            return False
        return True
