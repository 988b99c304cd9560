"""Versions of the layouts, the door that every write passes, and how a reader reports what it could not read."""

from __future__ import annotations

from dataclasses import dataclass

from crdt_sync.documents.roots import RootsView
from crdt_sync.errors import PeriodClosed, QuantityOutOfRange, SchemaTooNew

SCHEMA = 1
"""The layouts that this version reads and writes. A document without a ``schema`` entry is of this one."""

INT_MAX = 2**53 - 1
"""Beyond it, JavaScript and yrs hand out different numbers for the same bytes."""

META, ATTRIBUTES, PERIODS, MOVEMENTS, GAUGES, COUNTERS = "meta", "attr", "periods", "mv", "g", "c"
HISTOGRAMS, REGISTERS, SAMPLES, ROLLUPS, REJECTED = "h", "d", "s", "r", "rej"
RULES, INCIDENTS = "rules", "incident"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """An entry that was skipped, or counts but looks wrong, and why."""

    root: str
    key: str
    reason: str


def check_writable(roots: RootsView) -> None:
    """Raise :class:`SchemaTooNew` or :class:`PeriodClosed` when this version must not write here (any more)."""
    check_version(roots)
    if roots.get(META, "closed") is not None:
        raise PeriodClosed("the period of this document is closed; write into the current one")


def check_version(roots: RootsView) -> None:
    """Raise :class:`SchemaTooNew` when a later version has said that this one must not write here."""
    for field in ("minWriter", "minReader"):
        asked = whole(roots.get(META, field))
        if asked is not None and asked > SCHEMA:
            raise SchemaTooNew(f"the document asks for version {asked} to be edited, this is version {SCHEMA}")


def meta_faults(roots: RootsView) -> list[Fault]:
    """Entries of ``meta`` that should be whole numbers and are not."""
    return [
        Fault(META, field, "is no whole number")
        for field in ("schema", "minReader", "minWriter", "epoch", "closed")
        if roots.get(META, field) is not None and whole(roots.get(META, field)) is None
    ]


def whole(value: object) -> int | None:
    """``value`` as an int when it is a whole number that every peer holds exactly, else None.

    yrs hands out every number as a float, so 3 that was written comes back as 3.0."""
    if type(value) is float and value.is_integer() and abs(value) <= INT_MAX:
        return int(value)
    return value if type(value) is int and abs(value) <= INT_MAX else None


def stamp(value: object) -> int | None:
    """``value`` as a clock stamp, or None."""
    number = whole(value)
    return number if number is not None and number >= 0 else None


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
