"""Gauges: for every writer the last number that it saw, read as the latest of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from crdt_sync.documents.keys import check_name, comp, join, split
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import GAUGES, INT_MAX, Fault, stamp, whole
from crdt_sync.errors import InvalidValue

Series = tuple[str, str]
"""A metric of an entity, such as ``("likes", "tweet 17")``."""


@dataclass(slots=True)
class GaugeFold:
    """What all gauge slots say together."""

    latest: dict[Series, tuple[int, str, int | float]] = field(default_factory=dict)
    """Stamp, key and number of the slot that wins."""
    stamps: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def gauge_key(metric: str, entity: str, wid: str) -> str:
    """``{metric}/{entity}/{wid}``. Raises :class:`InvalidName`."""
    return join(*slot_parts(metric, entity, wid))


def slot_parts(metric: str, entity: str, wid: str) -> tuple[str, str, str]:
    """Whose number it is, encoded for a key. Raises :class:`InvalidName`."""
    return comp(check_name("metric", metric)), comp(check_name("entity", entity)), comp(check_name("writer", wid))


def check_number(number: object) -> int | float:
    """Return a number that every peer reads back equal, or raise :class:`InvalidValue`."""
    if type(number) is int and abs(number) <= INT_MAX:
        return number
    if type(number) is float and isfinite(number):
        return number
    raise InvalidValue(f"{number!r} can't be a gauge: an int within ±(2**53 - 1) or a finite float can")


def read_gauges(entries: Mapping[str, Value], *, is_fold: bool = False) -> GaugeFold:
    """The ``g`` root in one pass. Order-independent: the greatest (stamp, writer) wins.

    The slots of a fold name the writer that has won in a third place, so that a tie is settled as it was before."""
    fold = GaugeFold()
    for key, value in entries.items():
        parts = split(key, 3)
        slot = _read_slot(value)
        if parts is None:
            fold.faults.append(Fault(GAUGES, key, "is no key of the form {metric}/{entity}/{writer}"))
        elif slot is None:
            fold.faults.append(Fault(GAUGES, key, "is no list of a stamp and a number"))
        else:
            metric, entity, _ = parts
            written, number = slot
            fold.stamps[key] = written
            # The encoded key ends in the writer and is ASCII, so that it sorts alike in every language.
            winner = value[2] if is_fold and isinstance(value, list) and len(value) > 2 else None
            origin = f"{key.rpartition('/')[0]}/{winner}" if isinstance(winner, str) else key
            candidate = written, origin, number
            fold.latest[metric, entity] = max(candidate, fold.latest.get((metric, entity), candidate))
    return fold


def _read_slot(value: Value) -> tuple[int, int | float] | None:
    if not isinstance(value, list) or len(value) < 2:
        return None
    written, number = stamp(value[0]), value[1]
    if written is None or isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    if not isfinite(number):
        return None
    exact = whole(number)
    return written, number if exact is None else exact
