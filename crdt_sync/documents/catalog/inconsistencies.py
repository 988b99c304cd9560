"""Invariants that a merge has broken: what is wrong, by what evidence, and whether somebody has seen it.

Each is derived from the documents, so all that have the same movements find the same. That somebody has seen it is an
entry of ``resolve``, as for a conflict of attributes: its tips are the evidence, and it holds for just this evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from crdt_sync.documents.keys import comp, uncomp

OVERSOLD, ORPHAN, COUNTS = "oversold", "orphan", "counts"
OVERDRAWN, CHANGED, LATE = "overdrawn", "changed", "late"

_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        OVERSOLD: "More of {sku} was taken at {location} than was there: {units} after movement {about}.",
        ORPHAN: "{units} of {sku} are booked at {location}, and the catalog never had both.",
        COUNTS: "Two people counted {sku} at {location} at once; stock-take {about} does not count.",
        OVERDRAWN: "{about} has taken more of {sku} at {location} than it had rights to: {units}.",
        CHANGED: "Movement {about} of {sku} at {location} was changed after the fact; what was written first counts.",
        LATE: "Movement {about} of {sku} at {location} came after its period was closed.",
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Inconsistency:
    """One invariant that does not hold."""

    sort: str
    """``oversold``, ``orphan``, ``counts``, ``overdrawn``, ``changed`` or ``late``."""
    sku: str
    location: str
    about: str
    """The movement, or the replica, that it is about; empty where it is the whole cell."""
    units: int | None
    """The balance, or what is booked; None where no number belongs to it."""
    movements: tuple[str, ...]
    """The movements that show it."""

    @property
    def key(self) -> str:
        """``{sort}/{product}/{location}/{about}``, its name for as long as it lasts."""
        return "/".join((self.sort, comp(self.sku), comp(self.location), comp(self.about)))

    @property
    def evidence(self) -> tuple[str, ...]:
        """The movements, and what they come to."""
        return self.movements if self.units is None else (*self.movements, f"={self.units}")

    @property
    def sentence(self) -> str:
        """What it is, for people."""
        shown = {"sku": repr(self.sku), "location": repr(self.location), "about": self.about, "units": self.units}
        return _SENTENCES[self.sort].format(**shown)


def parse_inconsistency(key: str) -> tuple[str, str, str, str] | None:
    """Sort, product, location and what it is about; None when it is no such key. No attribute has four parts."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] not in _SENTENCES:
        return None
    # Also of a cell that a page has moved goods in under an empty name.
    sku, location, about = ("" if part == "" else uncomp(part) for part in parts[1:])
    return None if sku is None or location is None or about is None else (parts[0], sku, location, about)
