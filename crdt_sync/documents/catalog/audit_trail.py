"""What was decided, by whom and when: the root ``resolve``, which is data like any other and therefore syncs.

``{key}|{id}`` -> ``{tips, how, v, by, t}``. The key is an attribute's, and the tips are the siblings that were chosen
from; or it is that of an inconsistency, and the tips are the evidence that somebody has seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from crdt_sync.documents.catalog.inconsistencies import parse_inconsistency
from crdt_sync.documents.catalog.registers import parse_key
from crdt_sync.documents.catalog.siblings import ForksView, Sibling, Siblings, readable
from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.keys import parse_movement_id
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES, Fault, stamp
from crdt_sync.values import ClientId

RESOLUTIONS: Final = "resolve"

Strategy: TypeAlias = Literal["local", "server", "merge", "auto"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """One entry of the audit trail."""

    key: str
    mid: str
    product: str | None
    location: str | None
    field: str
    how: Strategy
    value: Value
    device: str
    stamp: int
    siblings: tuple[Sibling, ...]
    """What was chosen from."""
    evidence: tuple[str, ...] = ()
    """What somebody has seen of a data inconsistency."""

    @property
    def at_ms(self) -> int:
        return at_ms(self.stamp)


def covered_tips(roots: RootsView) -> defaultdict[str, set[str]]:
    """By attribute, the tips that some resolution lists."""
    covered: defaultdict[str, set[str]] = defaultdict(set)
    for entry, value in roots.entries(RESOLUTIONS).items():
        key, _, _ = entry.rpartition("|")
        covered[key].update(tips_of(value))
    return covered


def resolvers_of(roots: RootsView) -> Mapping[str, set[ClientId]]:
    """By attribute, who has resolved it. What one of them wrote there may be its resolution."""
    found: defaultdict[str, set[ClientId]] = defaultdict(set)
    for entry in roots.entries(RESOLUTIONS):
        key, _, mid = entry.rpartition("|")
        if (parsed := parse_movement_id(mid)) is not None:
            found[key].add(parsed[0])
    return found


def acknowledged(roots: RootsView) -> Mapping[str, set[frozenset[str]]]:
    """By key the evidence that somebody has seen."""
    seen: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
    for entry, value in roots.entries(RESOLUTIONS).items():
        key, _, _ = entry.rpartition("|")
        if parse_inconsistency(key) is not None:
            seen[key].add(frozenset(tips_of(value)))
    return seen


def resolutions(roots: RootsView, forks: ForksView) -> list[Resolution]:
    """The audit trail: every resolution that can be read, in the one order that all peers agree on."""
    siblings = Siblings(roots, forks)
    found = []
    for entry, value in roots.entries(RESOLUTIONS).items():
        key, _, mid = entry.rpartition("|")
        about = _about(key)
        if about is None or _flaw(value) is not None or not isinstance(value, dict):
            continue
        chosen: tuple[Sibling, ...] = ()
        evidence = tuple(tips_of(value))
        if not about.is_inconsistency:
            chosen, evidence = _chosen_from(siblings, forks, key, evidence), ()
        how, decided, device = _how(value["how"]), readable(value.get("v"))[1], str(value["by"])
        written = stamp(value["t"]) or 0
        where = about.product, about.location, about.field
        found.append(Resolution(key, mid, *where, how, decided, device, written, chosen, evidence))
    return sorted(found, key=lambda resolution: (resolution.stamp, resolution.mid, resolution.key))


def resolution_faults(roots: RootsView, forks: ForksView) -> list[Fault]:
    """Entries of ``resolve`` that can't be read, or that list tips which nobody has seen."""
    siblings = Siblings(roots, forks)
    faults = []
    for entry, value in roots.entries(RESOLUTIONS).items():
        key, _, _ = entry.rpartition("|")
        about = _about(key)
        reason = "belongs to no attribute" if about is None else _flaw(value)
        if reason is None and about is not None and not about.is_inconsistency:
            heads = {head.dot for head in forks.heads(ATTRIBUTES, key)}
            unknown = [tip for tip in tips_of(value) if tip not in heads and not siblings.has(key, tip)]
            reason = f"lists unknown siblings: {', '.join(unknown)}" if unknown else None
        if reason is not None:
            faults.append(Fault(RESOLUTIONS, entry, reason))
    return faults


class _About(NamedTuple):
    """What a resolution is about."""

    product: str | None
    location: str | None
    field: str
    is_inconsistency: bool


def _about(key: str) -> _About | None:
    if (attribute := parse_key(key)) is not None:
        is_location, name, field_name = attribute
        return _About(None if is_location else name, name if is_location else None, field_name, False)
    if (broken := parse_inconsistency(key)) is not None:
        sort, sku, location, _ = broken
        return _About(sku, location, sort, True)
    return None


def _chosen_from(siblings: Siblings, forks: ForksView, key: str, tips: Sequence[str]) -> tuple[Sibling, ...]:
    heads = {head.dot: head for head in forks.heads(ATTRIBUTES, key)}
    return tuple(siblings.of_head(key, heads[tip]) if tip in heads else siblings.of_tip(key, tip) for tip in tips)


def tips_of(value: Value) -> list[str]:
    """The tips that a resolution lists."""
    tips = value.get("tips") if isinstance(value, dict) else None
    return [tip for tip in tips if isinstance(tip, str)] if isinstance(tips, list) else []


def _how(how: Value) -> Strategy:
    known: Mapping[object, Strategy] = {"local": "local", "server": "server", "auto": "auto"}
    return known.get(how, "merge")


def _flaw(value: Value) -> str | None:
    if not isinstance(value, dict) or len(tips_of(value)) == 0:
        return "is no object with the tips that it resolves"
    if not isinstance(value.get("by"), str) or stamp(value.get("t")) is None or not isinstance(value.get("how"), str):
        return "does not say how, by whom and when"
    return None if readable(value.get("v"))[0] else "holds a value that can't be read"
