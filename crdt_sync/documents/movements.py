"""Stock as a log of immutable movements: what one entry means, and the sum over all of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.keys import is_movement_id, nfc, to_base36
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import INT_MAX, MOVEMENTS, Fault, stamp, whole
from crdt_sync.errors import QuantityOutOfRange

RECEIVE, SALE, ADJUST, SHIP, ARRIVE = "rcv", "sale", "adj", "ship", "recv"
EFFECT: Mapping[str, int] = {RECEIVE: 1, SALE: -1, ADJUST: 1, SHIP: -1, ARRIVE: 1}
"""What a quantity of each kind does to the stock at its place. Other kinds are for later versions to count."""

Cell = tuple[str, str]
"""One product at one location."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry of the log. ``quantity`` is positive except in an adjustment; ``EFFECT`` gives its sign."""

    period: str
    mid: str
    kind: str
    sku: str
    location: str
    quantity: int
    rid: str
    """The replica that wrote it, as it calls itself, e.g. ``till-3``."""
    stamp: int
    ref: str | None = None
    """The caller's own number (an invoice, say); in an arrival the id of its shipment."""
    ext: Mapping[str, Value] = field(default_factory=dict)

    @property
    def at_ms(self) -> int:
        """When it was written, in Unix milliseconds, by its writer's clock."""
        return at_ms(self.stamp)

    @property
    def destination(self) -> str | None:
        """Where a shipment goes."""
        to = self.ext.get("to")
        return nfc(to) if self.kind == SHIP and isinstance(to, str) else None

    def layout(self) -> list[Value]:
        """The value as it is stored: ``[kind, sku, location, quantity, rid, stamp, ref?, ext?]``."""
        value: list[Value] = [self.kind, self.sku, self.location, self.quantity, self.rid, self.stamp]
        if self.ref is not None or self.ext:
            value.append(self.ref)
        if self.ext:
            value.append(dict(self.ext))
        return value


def kind_of(value: Value) -> str | None:
    """The kind that an entry claims to be of, or None when it claims nothing."""
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else None


def flaw(mid: str, value: Value) -> str | None:
    """Why an entry of a known kind can't be counted, or None. What follows the eight places is for later versions."""
    if not isinstance(value, list) or len(value) < 6:
        return "is no list of kind, product, location, quantity, replica and stamp"
    kind, sku, location, quantity, rid, written, *_ = value
    if not type(kind) is type(sku) is type(location) is type(rid) is str:
        return "kind, product, location and replica must be text"
    number = whole(quantity)
    if number is None or (number <= 0 and kind != ADJUST):
        return "the quantity must be a whole number, positive except in an adjustment"
    if stamp(written) is None:
        return "the stamp must be a whole number, not negative"
    ref = value[6] if len(value) > 6 else None
    if not (type(ref) is str or (ref is None and kind != ARRIVE)):
        return "the reference must be text, and an arrival needs one"
    if len(value) > 7 and not (value[7] is None or isinstance(value[7], dict)):
        return "the eighth place must be an object"
    return None if is_movement_id(mid) else "the key is no movement id"


def read_movement(period: str, mid: str, value: Value) -> Movement | None:
    """One entry as a :class:`Movement`; None when its kind is unknown or its layout wrong."""
    if kind_of(value) not in EFFECT or flaw(mid, value) is not None:
        return None
    row: Any = value
    padded: list[Any] = [*row, None, None]
    kind, sku, location, quantity, rid, written, ref, ext, *_ = padded
    return Movement(period, mid, kind, nfc(sku), nfc(location), int(quantity), rid, int(written), ref, ext or {})


def read_movements(period: str, entries: Mapping[str, Value]) -> Iterator[Movement]:
    """The movements of one document that this version can read, in no order."""
    for mid, value in entries.items():
        movement = read_movement(period, mid, value)
        if movement is not None:
            yield movement


class StockFold:
    """Adds up the movements of any number of documents. Neither the order of documents nor of entries matters."""

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        """Kinds that this version does not count, and how many entries of each there are."""
        self.faults: list[Fault] = []
        self._sums: defaultdict[Cell, int] = defaultdict(int)
        self._arrivals: dict[str, tuple[str, Cell, int]] = {}

    def add(self, entries: Mapping[str, Value]) -> StockFold:
        """Take in the ``mv`` root of one document; returns itself. Give every document once."""
        sums = self._sums
        # ``flaw`` looks at every place of a row; to narrow its type again would cost half the speed.
        rows: Mapping[str, Any] = entries
        for mid, value in rows.items():
            kind = kind_of(value)
            if kind is not None and kind not in EFFECT:
                self.unknown[kind] += 1
                continue
            reason = flaw(mid, value)
            if reason is not None:
                self.faults.append(Fault(MOVEMENTS, mid, reason))
                continue
            cell, quantity = (nfc(value[1]), nfc(value[2])), int(value[3])
            if value[0] == ARRIVE:
                self._arrive(value[6], (mid, cell, quantity))
            else:
                sums[cell] += EFFECT[value[0]] * quantity
        return self

    def table(self) -> dict[Cell, int]:
        """Stock per product and location, for every cell that anything ever moved in."""
        table = dict(self._sums)
        for _, cell, quantity in self._arrivals.values():
            table[cell] = table.get(cell, 0) + quantity
        return table

    def _arrive(self, shipment: str, arrival: tuple[str, Cell, int]) -> None:
        # Two people may book in one shipment while both are offline; everybody must pick the same booking.
        self._arrivals[shipment] = min(arrival, self._arrivals.get(shipment, arrival))


def next_sequence(roots: RootsView, start: int) -> int:
    """The first free sequence number from ``start`` on for movements of this replica in this document.

    Nobody else writes under our client id and we count without gaps, so a search in growing steps finds the end."""
    author = to_base36(roots.client_id)

    def is_taken(sequence: int) -> bool:
        return roots.get(MOVEMENTS, f"{author}.{to_base36(sequence)}") is not None

    if not is_taken(start):
        return start
    taken, step = start, 1
    while is_taken(taken + step):
        # Steeper than doubling: each look into the document costs more than halving a few times more.
        taken, step = taken + step, step * 16
    free = taken + step
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (middle, free) if is_taken(middle) else (taken, middle)
    return free


def check_quantity(quantity: int) -> int:
    """Return a positive quantity unchanged. Raises :class:`QuantityOutOfRange`."""
    if check_delta(quantity) < 0:
        raise QuantityOutOfRange(quantity, "must be positive")
    return quantity


def check_delta(delta: int) -> int:
    """Return a signed quantity other than 0 unchanged. Raises :class:`QuantityOutOfRange`."""
    if type(delta) is not int:
        raise QuantityOutOfRange(delta, f"must be an int, not {type(delta).__name__}")
    if abs(delta) > INT_MAX:
        raise QuantityOutOfRange(delta, "must be within ±(2**53 - 1)")
    if delta == 0:
        raise QuantityOutOfRange(delta, "must not be 0")
    return delta
