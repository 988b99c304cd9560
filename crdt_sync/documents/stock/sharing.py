"""Rights by demand, in an edit: asking for them, answering others, and taking back those of who is gone."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict

from crdt_sync.documents.catalog.rules import Rules
from crdt_sync.documents.catalog.siblings import last_edits
from crdt_sync.documents.keys import nfc
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import check_quantity
from crdt_sync.documents.stock import movements
from crdt_sync.documents.stock.allotment import Lapse, Request, allot, counted_on, lapses
from crdt_sync.documents.stock.escrow import NOBODY, Policy
from crdt_sync.documents.stock.movements import Cell
from crdt_sync.documents.stock.stock import Stock


class SharedStock(Stock):
    """The part of an :class:`~crdt_sync.documents.inventory.InventoryDocument` that is about handing rights on."""

    @abstractmethod
    def rules(self) -> Rules: ...

    def request(self, sku: str, quantity: int, *, at: str, ref: str | None = None) -> str:
        """Ask the other replicas for rights to so many more units. Returns the movement's id.

        A later request for the same cell takes the place of this one. What is handed over raises :meth:`rights` as soon
        as it arrives here. Raises as :meth:`receive`."""
        return self._record(movements.WANT, sku, at, check_quantity(quantity), ref)

    def requests(self, *, product: str | None = None, location: str | None = None) -> list[Request]:
        """The requests that are not answered in full, the oldest first."""
        return [
            request
            for request in self._stock_index().requests()
            if (product is None or request.sku == nfc(product))
            and (location is None or request.location == nfc(location))
        ]

    def answer_requests(self) -> list[str]:
        """Hand over what this replica can spare to those that ask for it, the oldest request first. Returns the ids of
        the movements; none where there is nothing to do.

        Several that could answer share a request in proportion, and each keeps the part of its rights that the rule
        ``rights/keep`` says, all but the relay. Raises :class:`PeriodsMissing`."""
        by_cell: defaultdict[Cell, list[Request]] = defaultdict(list)
        for request in self._stock_index().requests():
            by_cell[request.cell].append(request)
        if not by_cell:
            return []
        self._check_whole()
        keep_percent = self.rules().rights_keep_percent
        givers = counted_on(self._stock_index().seen(), self._now_ms()) | {self._rid}
        answers = []
        for cell in sorted(by_cell):
            if self.policy(*cell) is Policy.OFF:
                continue
            plan = allot(by_cell[cell], self._stock_index().rights(cell).of, givers, keep_percent)
            self._catch_up(cell)
            answers += [
                self._append(movements.GIVE, *cell, units, request.mid, {"to": request.rid})
                for request, parts in plan
                if (units := parts.get(self._rid, 0))
            ]
        return answers

    def lapsed(self) -> list[Lapse]:
        """Rights of replicas that have written nothing for longer than the rule ``rights/lapse`` allows; none where
        there is no such rule. Raises :class:`PeriodsMissing`: what is not here may be a sign of life."""
        self._check_whole()
        index = self._stock_index()
        rights = {cell: index.rights(cell).of for cell in index.cells() if self.policy(*cell) is not Policy.OFF}
        seen, signed = index.seen(), last_edits(self._catalog)
        latest = {rid: max(seen.get(rid, 0), signed.get(rid, 0)) for rid in seen.keys() | signed.keys()}
        return lapses(rights, latest, self._now_ms(), self.rules().rights_lapse_days)

    def reclaim_lapsed(self) -> list[str]:
        """Take over all rights that have lapsed; returns the ids of the movements.

        One replica per tenant may do this, as for :meth:`reclaim`; where there is a relay it is the relay."""
        return [
            self._append(movements.GIVE, lapse.sku, lapse.location, lapse.units, None, self._taken_from(lapse.rid))
            for lapse in self.lapsed()
            if lapse.rid != self._rid
        ]

    def reclaim_unassigned(self) -> list[str]:
        """Take over the rights that nobody has, such as to what stock-takes have found; as :meth:`reclaim_lapsed`."""
        self._check_whole()
        index = self._stock_index()
        free = {cell: index.rights(cell).unassigned for cell in index.cells() if self.policy(*cell) is not Policy.OFF}
        return [
            self._append(movements.GIVE, *cell, units, None, self._taken_from(NOBODY))
            for cell, units in sorted(free.items())
            if units > 0
        ]

    def _taken_from(self, rid: str) -> dict[str, Value]:
        return {"from": rid, "to": self._rid}
