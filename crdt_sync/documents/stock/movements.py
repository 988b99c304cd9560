"""Stock as a log of immutable movements: what one entry says. :mod:`.stock_index` adds them up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.keys import is_movement_id, nfc, to_base36
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import stamp, whole
from crdt_sync.documents.stock.originals import entry_of

RECEIVE, SALE, ADJUST, SHIP, ARRIVE = "rcv", "sale", "adj", "ship", "recv"
HOLD, CONFIRM, RELEASE, EXPIRE = "hold", "conf", "rel", "exp"
COUNT, GIVE, BACKORDER, WANT = "cnt", "xfer", "backorder", "want"
EFFECT: Mapping[str, int] = {
    RECEIVE: 1,
    SALE: -1,
    ADJUST: 1,
    SHIP: -1,
    ARRIVE: 1,
    HOLD: -1,
    CONFIRM: 0,
    RELEASE: 1,
    EXPIRE: 1,
    COUNT: 1,
    GIVE: 0,
    BACKORDER: 0,
    WANT: 0,
}
"""What a quantity of each kind does to the stock at its place. Of an arrival, of what ends a hold, and of a stock-take
only the entry that counts has its effect. Other kinds are for later versions to count."""

REFERRING = frozenset({ARRIVE, CONFIRM, RELEASE, EXPIRE})
"""Kinds that mean nothing without the id of the shipment or hold that they are about."""

SIGNED = frozenset({ADJUST, COUNT})

Row = list[Any]
"""A sound entry as it is stored: kind, product, location, quantity, replica, stamp, and what may follow."""

Cell = tuple[str, str]
"""One product at one location."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry of the log. ``quantity`` is positive except in an adjustment and in a stock-take, where it is the
    difference to the books; ``EFFECT`` gives its sign."""

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
    """The caller's own number (an invoice, say); in an arrival the id of its shipment, in the end of a hold its id."""
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
    if number is None or (number <= 0 and kind not in SIGNED):
        return "the quantity must be a whole number, positive except in an adjustment or a stock-take"
    if stamp(written) is None:
        return "the stamp must be a whole number, not negative"
    ref = value[6] if len(value) > 6 else None
    if not (type(ref) is str or (ref is None and kind not in REFERRING)):
        return "the reference must be text, and an arrival or the end of a hold needs one"
    ext = value[7] if len(value) > 7 else None
    if not (ext is None or isinstance(ext, dict)):
        return "the eighth place must be an object"
    if kind in (GIVE, COUNT) and (reason := _ext_flaw(kind, ext or {})):
        return reason
    return None if is_movement_id(mid) else "the key is no movement id"


def _ext_flaw(kind: str, ext: Mapping[str, Value]) -> str | None:
    if kind == GIVE:
        is_sound = type(ext.get("to")) is str and type(ext.get("from", "")) in (str, type(None))
        return None if is_sound else "rights that are handed over need a replica 'to', and may name one 'from'"
    is_sound = whole(ext.get("counted")) is not None and type(ext.get("prev")) in (str, type(None))
    return (
        None if is_sound else "a stock-take needs the number 'counted', and 'prev', the id of the one before, or null"
    )


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


def next_sequence(roots: RootsView, start: int) -> int:
    """The first free sequence number from ``start`` on for movements of this replica in this document.

    Nobody else writes under our client id and we count without gaps, so a search in growing steps finds the end."""
    author = to_base36(roots.client_id)

    def is_taken(sequence: int) -> bool:
        # One that somebody has deleted is taken, too.
        return entry_of(roots, f"{author}.{to_base36(sequence)}") is not None

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
