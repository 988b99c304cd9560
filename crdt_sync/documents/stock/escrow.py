"""Escrow: every replica holds rights to a part of the stock and takes no more than those, so nobody can oversell.

A bounded counter as a fold over movements. Three facts make it safe. Only a replica's own movements lower its rights,
and it writes them one after the other. It sees all of its own movements and some of those that raise its rights, so
what it sees is never more than it has. What one hands over, another one gets, so the sum never exceeds the stock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from crdt_sync.documents.roots import Value
from crdt_sync.documents.stock.movements import ADJUST, COUNT, GIVE, HOLD, RECEIVE, SALE, SHIP, Row
from crdt_sync.errors import InvalidValue

ESCROW = "escrow"
"""The attribute of a product, or else of a location, that says whether its stock is under escrow."""

NOBODY = ""
"""Whose rights those are that no replica has, such as to what a stock-take found."""

_OWN: Mapping[str, int] = {RECEIVE: 1, SALE: -1, ADJUST: 1, SHIP: -1, HOLD: -1}


class Policy(StrEnum):
    """What selling does in a cell, and, under escrow, what it does when rights run out."""

    OFF = "off"
    """No escrow: every sale is recorded, and an oversell is found afterwards."""
    REFUSE = "refuse"
    BACK_ORDER = "back-order"
    ALLOW = "allow"
    """Sell all the same, and flag the sale."""


@dataclass(frozen=True, slots=True)
class Rights:
    """How the stock of one cell is divided."""

    of: Mapping[str, int]
    """Units that each replica may take without asking anybody. Below zero: see :attr:`overdrawn`."""
    unassigned: int
    """Units that are in stock and in nobody's rights."""

    @property
    def overdrawn(self) -> dict[str, int]:
        """Replicas below zero. They sold without rights: allowed and flagged, from before escrow was switched on, from
        a page that knows no escrow, by two writers under one name, or after their rights had been reclaimed."""
        return {rid: units for rid, units in self.of.items() if units < 0}


def rights_effects(row: Row) -> Iterator[tuple[str, int]]:
    """What a movement by itself does to whose rights. Arrivals and the ends of holds depend on others, see
    :mod:`.stock_index`."""
    kind, _, _, quantity, rid, *_ = row
    units = int(quantity)
    if kind in _OWN:
        yield rid, _OWN[kind] * units
    elif kind == COUNT:
        # Whether a stock-take counts may change with the next merge. Rights must not change with it: what it found
        # missing is gone for good, what it found beyond the books belongs to nobody until somebody is given it.
        yield rid, min(units, 0)
    elif kind == GIVE:
        ext: Mapping[str, Value] = row[7]
        source, to = ext.get("from"), ext["to"]
        assert isinstance(to, str)
        giver = source if isinstance(source, str) else rid
        if giver != NOBODY:
            yield giver, -units
        yield to, units


def read_policy(of_product: Value, of_location: Value) -> Policy | None:
    """The policy of a cell: the product's attribute where it has one, else the location's, else no escrow; None when
    the attribute is no policy."""
    chosen = of_location if of_product is None else of_product
    if chosen is None:
        return Policy.OFF
    return next((policy for policy in Policy if policy == chosen), None)


def check_policy(field: str, value: Value) -> Value:
    """Return an attribute's value unchanged. Raises :class:`InvalidValue` for an ``escrow`` that is no policy."""
    if field == ESCROW and read_policy(value, None) is None:
        raise InvalidValue(f"{field}: {value!r} is none of {', '.join(Policy)}")
    return value
