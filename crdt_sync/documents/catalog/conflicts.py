"""Open conflicts of a catalog: what its heads, its vault and its resolutions say together. Reads only.

``resolve`` is the audit trail: ``{attribute}|{id}`` -> ``{tips, how, v, by, t}``. A key is in conflict when it has at
least two tips that no resolution lists, and their values are not all equal.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from crdt_sync.documents.catalog.merges import canonical
from crdt_sync.documents.catalog.registers import parse_key
from crdt_sync.documents.catalog.siblings import CLAIM, SIBLINGS_MAX, ForksView, Sibling, Siblings, readable, value_of
from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.keys import LIFE
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES, Fault, stamp
from crdt_sync.updates.forks import Head

RESOLUTIONS = "resolve"

ConflictKind: TypeAlias = Literal["concurrent_update", "update_delete", "version_mismatch", "data_inconsistency"]
Strategy: TypeAlias = Literal["local", "server", "merge", "auto"]


class Resolver(Protocol):
    """What closes a conflict; the document that found it provides it."""

    def __call__(
        self, conflict: Conflict, accept: str | None, value: object, merge: str | None, base: Value
    ) -> None: ...


class _Unset:
    """Stands for a value that was not given, because None is one."""


UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field with several values that nobody has chosen from."""

    key: str
    product: str | None
    """None for a location's field."""
    location: str | None
    field: str
    kind: ConflictKind
    siblings: tuple[Sibling, ...]
    current: Value
    """What everybody reads meanwhile."""
    _resolver: Resolver = dataclasses.field(repr=False, compare=False)

    def resolve(
        self,
        accept: str | None = None,
        *,
        value: object = UNSET,
        merge: str | None = None,
        base: Value = None,
    ) -> None:
        """Close the conflict in the edit that it was found in, with one of these:

        ``accept="local"`` what this device wrote; ``"server"`` what everybody reads now; a sibling's ``tip``: its
        value; ``value=`` any other; ``merge=`` a registered function, with what all began from as ``base``. Raises
        :class:`UnknownSibling`, or :class:`InvalidValue` when not just one of these is given or the values can't be
        merged. A concurrent resolution to another value opens the conflict again.
        """
        self._resolver(self, accept, value, merge, base)


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

    @property
    def at_ms(self) -> int:
        return at_ms(self.stamp)


def open_conflicts(roots: RootsView, forks: ForksView, resolver: Resolver) -> list[Conflict]:
    """All open conflicts, by rising key. Its cost grows with the forked keys, the vault and the audit trail."""
    siblings = Siblings(roots, forks)
    claims, covered = siblings.claims(), covered_tips(roots)
    forked = forks.forked(ATTRIBUTES)
    found = []
    for key in sorted({*forked, *claims}):
        parsed = parse_key(key)
        if parsed is None:
            continue
        heads = forked.get(key) or forks.heads(ATTRIBUTES, key)
        of_key = [siblings.of_head(key, head) for head in heads[:SIBLINGS_MAX] if head.dot not in covered[key]]
        of_key += [siblings.of_tip(key, tip) for tip in sorted(claims.get(key, ())) if tip not in covered[key]]
        current = roots.get(ATTRIBUTES, key)
        if is_open(of_key):
            is_location, name, field_name = parsed
            product, location = (None, name) if is_location else (name, None)
            kind = _kind(field_name, of_key, current)
            found.append(
                Conflict(key, product, location, field_name, kind, tuple(of_key), readable(current)[1], resolver)
            )
    return found


def is_open(uncovered: Sequence[Sibling]) -> bool:
    """Whether tips that no resolution lists are a conflict: at least two, and not known to be equal."""
    if len(uncovered) < 2:
        return False
    values = {canonical(sibling.value) for sibling in uncovered if sibling.is_known}
    return len(values) > 1 or not all(sibling.is_known for sibling in uncovered)


def covered_tips(roots: RootsView) -> defaultdict[str, set[str]]:
    """By attribute, the tips that some resolution lists."""
    covered: defaultdict[str, set[str]] = defaultdict(set)
    for entry, value in roots.entries(RESOLUTIONS).items():
        key, _, _ = entry.rpartition("|")
        covered[key].update(_tips(value))
    return covered


def resolutions(roots: RootsView, forks: ForksView) -> list[Resolution]:
    """The audit trail: every resolution that can be read, in the one order that all peers agree on."""
    siblings = Siblings(roots, forks)
    found = []
    for entry, value in roots.entries(RESOLUTIONS).items():
        key, _, mid = entry.rpartition("|")
        parsed = parse_key(key)
        if parsed is None or _flaw(value) is not None or not isinstance(value, dict):
            continue
        heads = {head.dot: head for head in forks.heads(ATTRIBUTES, key)}
        is_location, name, field_name = parsed
        tips = tuple(
            siblings.of_head(key, heads[tip]) if tip in heads else siblings.of_tip(key, tip) for tip in _tips(value)
        )
        found.append(
            Resolution(
                key,
                mid,
                None if is_location else name,
                name if is_location else None,
                field_name,
                _how(value["how"]),
                readable(value.get("v"))[1],
                str(value["by"]),
                stamp(value["t"]) or 0,
                tips,
            )
        )
    return sorted(found, key=lambda resolution: (resolution.stamp, resolution.mid, resolution.key))


def resolution_faults(roots: RootsView, forks: ForksView) -> list[Fault]:
    """Entries of ``resolve`` that can't be read, or that list tips which nobody has seen."""
    siblings = Siblings(roots, forks)
    faults = []
    for entry, value in roots.entries(RESOLUTIONS).items():
        key, _, _ = entry.rpartition("|")
        reason = "belongs to no attribute" if parse_key(key) is None else _flaw(value)
        if reason is None:
            heads = {head.dot for head in forks.heads(ATTRIBUTES, key)}
            unknown = [tip for tip in _tips(value) if tip not in heads and not siblings.has(key, tip)]
            reason = f"lists unknown siblings: {', '.join(unknown)}" if unknown else None
        if reason is not None:
            faults.append(Fault(RESOLUTIONS, entry, reason))
    return faults


def unvaulted(roots: RootsView, forks: ForksView, keys: Iterable[str] | None = None) -> list[tuple[str, list[Value]]]:
    """The entries that the vault lacks: of the forked ``keys`` (all, when left out) each head whose value is known.

    Also the head that everybody reads now is noted: another write may make it lose before this peer sees it."""
    forked = forks.forked(ATTRIBUTES)
    wanted = forked if keys is None else {key: forked[key] for key in keys if key in forked}
    if not wanted:
        return []
    siblings = Siblings(roots, forks)
    lacking: list[tuple[str, list[Value]]] = []
    for key, heads in wanted.items():
        for head in heads[:SIBLINGS_MAX]:
            if head.is_known and value_of(head)[0] and not siblings.has(key, head.dot):
                sibling = siblings.of_head(key, head)
                lacking.append((f"{key}|{head.dot}", [sibling.value, sibling.device, sibling.stamp]))
    return lacking


def version_of(heads: Sequence[Head]) -> str:
    """A text that changes with every write of a field, and with nothing else."""
    return ",".join(head.dot for head in heads)


def _kind(field_name: str, siblings: Sequence[Sibling], current: Value) -> ConflictKind:
    if any(sibling.tip.startswith(CLAIM) for sibling in siblings):
        return "version_mismatch"
    # A plain page's map.delete is no element, so that it shows only in what is read now.
    cleared = current is None or any(sibling.is_known and sibling.value is None for sibling in siblings)
    return "update_delete" if cleared or field_name == LIFE else "concurrent_update"


def _tips(value: Value) -> list[str]:
    tips = value.get("tips") if isinstance(value, dict) else None
    return [tip for tip in tips if isinstance(tip, str)] if isinstance(tips, list) else []


def _how(how: Value) -> Strategy:
    known: Mapping[object, Strategy] = {"local": "local", "server": "server", "auto": "auto"}
    return known.get(how, "merge")


def _flaw(value: Value) -> str | None:
    if not isinstance(value, dict) or len(_tips(value)) == 0:
        return "is no object with the tips that it resolves"
    if not isinstance(value.get("by"), str) or stamp(value.get("t")) is None or not isinstance(value.get("how"), str):
        return "does not say how, by whom and when"
    return None if readable(value.get("v"))[0] else "holds a value that can't be read"
