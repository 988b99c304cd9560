"""Functions that make one value of several that were written at once. Each gives every peer the same, in any order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from re import findall
from types import MappingProxyType
from typing import TypeAlias

from crdt_sync.documents.roots import Value
from crdt_sync.errors import InvalidValue

Merge: TypeAlias = Callable[[Sequence[Value], Value], Value]
"""Takes the siblings, sorted by :func:`canonical`, and what they all began from (None where nobody knows it).

It must give the same for the same siblings whoever calls it: two peers may merge at once, and only equal outcomes
close the conflict. Raises :class:`InvalidValue` for siblings that it can't merge."""


def canonical(value: Value) -> str:
    """One text for equal values, by which siblings are sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def greatest(siblings: Sequence[Value], _base: Value) -> Value:
    """The greatest number; who cleared the field is outvoted."""
    numbers = _numbers(siblings)
    return max(numbers) if numbers else None


def least(siblings: Sequence[Value], _base: Value) -> Value:
    """The least number; who cleared the field is outvoted."""
    numbers = _numbers(siblings)
    return min(numbers) if numbers else None


def union(siblings: Sequence[Value], _base: Value) -> Value:
    """Every item of every list, once, in one order; a single value counts as a list of it."""
    items: dict[str, Value] = {}
    for sibling in siblings:
        for item in sibling if isinstance(sibling, list) else [] if sibling is None else [sibling]:
            items[canonical(item)] = item
    return [items[key] for key in sorted(items)]


def summed(siblings: Sequence[Value], base: Value) -> Value:
    """What they began from, and what each has added or taken away."""
    numbers, begin = _numbers(siblings), _number(base)
    if len(numbers) != len(siblings):
        raise InvalidValue("sum: a field that somebody cleared can't be added up")
    # Floats would add up to another sum in another order, and with other peers' rounding.
    if not all(isinstance(number, int) for number in [begin, *numbers]):
        raise InvalidValue("sum: only whole numbers add up to the same everywhere")
    return begin + sum(number - begin for number in numbers)


def three_way_text(siblings: Sequence[Value], base: Value) -> Value:
    """All changes of all texts against what they began from. Refuses where two changed the same words differently."""
    if not isinstance(base, str) or not all(isinstance(sibling, str) for sibling in siblings):
        raise InvalidValue("text: needs texts, and the text that they all began from")
    words = _words(base)
    changes: set[tuple[int, int, str]] = set()
    for sibling in siblings:
        theirs = _words(str(sibling))
        matcher = SequenceMatcher(None, words, theirs, autojunk=False)
        changes |= {(i, j, "".join(theirs[k:end])) for tag, i, j, k, end in matcher.get_opcodes() if tag != "equal"}
    merged, position, last = [], 0, -1
    for start, end, replacement in sorted(changes):
        if start < position or start == last:
            raise InvalidValue("text: two of them changed the same words differently")
        merged += [*words[position:start], replacement]
        position, last = end, start
    return "".join([*merged, *words[position:]])


MERGES: Mapping[str, Merge] = MappingProxyType(
    {"max": greatest, "min": least, "union": union, "sum": summed, "text": three_way_text}
)


def _numbers(siblings: Sequence[Value]) -> list[int | float]:
    return [_number(sibling) for sibling in siblings if sibling is not None]


def _number(value: Value) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f"{canonical(value)[:80]} is no number")
    return value


def _words(text: str) -> list[str]:
    return findall(r"\s+|\w+|[^\w\s]", text)
