"""Counters: every writer counts for itself, the total is the sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from crdt_sync.documents.keys import join, split, to_base36
from crdt_sync.documents.metrics.gauges import Series, slot_parts
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import COUNTERS, Fault, whole


@dataclass(slots=True)
class CounterFold:
    """What all counter slots say together."""

    totals: defaultdict[Series, int] = field(default_factory=lambda: defaultdict(int))
    slots: dict[str, int] = field(default_factory=dict)
    """By key what each writer has counted in each generation."""
    faults: list[Fault] = field(default_factory=list)


def counter_key(metric: str, entity: str, wid: str, generation: int) -> str:
    """``{metric}/{entity}/{wid}/{generation}``, the generation in base 36. Raises :class:`InvalidName`."""
    return join(*slot_parts(metric, entity, wid), to_base36(generation))


def read_counters(entries: Mapping[str, Value]) -> CounterFold:
    """The ``c`` root in one pass: the sum over writers and their generations."""
    fold = CounterFold()
    for key, value in entries.items():
        parts = split(key, 4)
        count = whole(value)
        if parts is None:
            fold.faults.append(Fault(COUNTERS, key, "is no key of the form {metric}/{entity}/{writer}/{generation}"))
        elif count is None or count < 0:
            fold.faults.append(Fault(COUNTERS, key, "is no whole number from 0"))
        else:
            fold.totals[parts[0], parts[1]] += count
            fold.slots[key] = count
    return fold
