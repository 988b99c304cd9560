"""Incidents: inconsistencies that the relay has put on record, each once, with the stamp at which it was gone again.

What is inconsistent is derived, so that a late movement may dissolve it, and nothing of it would be left to read. The
root ``incident`` keeps it: ``{sort}/{product}/{location}/{about}`` -> ``[stamp, detail]``, and
``[stamp, detail, stamp]`` once it has dissolved. One writer per tenant writes there, which is the relay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from crdt_sync.documents.catalog.inconsistencies import Inconsistency, parse_inconsistency
from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import INCIDENTS, Fault, stamp, whole


@dataclass(frozen=True, slots=True)
class Incident:
    """One inconsistency on record."""

    key: str
    sort: str
    sku: str
    location: str
    about: str
    stamp: int
    """When it was noted."""
    units: int | None
    """What it came to when it was noted."""
    movements: tuple[str, ...]
    dissolved: int | None
    """The stamp at which it was found gone; None while it lasts."""

    @property
    def at_ms(self) -> int:
        """When it was noted, in Unix milliseconds."""
        return at_ms(self.stamp)


def new_incidents(
    found: Iterable[Inconsistency], noted: Mapping[str, Value], tick: Callable[[], int]
) -> list[tuple[str, Value]]:
    """The entries of ``incident`` that are to be written, by key: what was ``found`` and is not on record, and what is
    on record and not found any more. ``tick`` gives a new stamp. Give all that was found, from all documents: what is
    left out counts as gone.

    An inconsistency that comes back after it had dissolved is on record already, and stays as it is."""
    present = {one.key: one for one in found}
    entries: list[tuple[str, Value]] = []
    for key in sorted(present.keys() - noted.keys()):
        one = present[key]
        entries.append((key, [tick(), {"units": one.units, "movements": [*one.movements]}]))
    for key in sorted(noted.keys() - present.keys()):
        entry = noted[key]
        if isinstance(entry, list) and len(entry) == 2 and _read(key, entry) is not None:
            entries.append((key, [*entry, tick()]))
    return entries


def read_incidents(entries: Mapping[str, Value]) -> tuple[list[Incident], list[Fault]]:
    """What is on record, the oldest first, and the entries that can't be read."""
    read = {key: _read(key, entry) for key, entry in entries.items()}
    known = [incident for incident in read.values() if incident is not None]
    faults = [Fault(INCIDENTS, key, "is no incident") for key, incident in read.items() if incident is None]
    return sorted(known, key=lambda incident: (incident.stamp, incident.key)), faults


def _read(key: str, entry: Value) -> Incident | None:
    about = parse_inconsistency(key)
    if about is None or not isinstance(entry, list) or len(entry) < 2:
        return None
    noted, detail, gone, *_ = [*entry, None]
    written, dissolved = stamp(noted), stamp(gone)
    if written is None or not isinstance(detail, dict) or (gone is not None and dissolved is None):
        return None
    movements = detail.get("movements")
    mids = tuple(mid for mid in movements if isinstance(mid, str)) if isinstance(movements, list) else ()
    return Incident(key, *about, written, whole(detail.get("units")), mids, dissolved)
