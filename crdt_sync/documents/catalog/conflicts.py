"""Open conflicts of a catalog: what its heads, its vault and its resolutions say together. Reads only.

A key is in conflict when it has at least two tips that no resolution lists, and their values are not all equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, TypeAlias

from crdt_sync.documents.catalog.audit_trail import covered_tips, resolvers_of
from crdt_sync.documents.catalog.merges import canonical
from crdt_sync.documents.catalog.registers import parse_key
from crdt_sync.documents.catalog.siblings import (
    CLAIM,
    OVERRULED,
    SIBLINGS_MAX,
    ForksView,
    Sibling,
    Siblings,
    readable,
    value_of,
)
from crdt_sync.documents.keys import LIFE
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.updates.forks import Head

ConflictKind: TypeAlias = Literal["concurrent_update", "update_delete", "version_mismatch", "data_inconsistency"]


class Resolver(Protocol):
    """What closes a conflict; the document that found it provides it."""

    def __call__(
        self, conflict: Conflict, accept: str | None, value: object, merge: str | None, base: object
    ) -> None: ...


class _Unset:
    """Stands for a value that was not given, because None is one."""


UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field with several values that nobody has chosen from, or an invariant that a merge has broken."""

    key: str
    product: str | None
    """None for a location's field."""
    location: str | None
    field: str
    """Of a data inconsistency its sort, such as ``oversold``."""
    kind: ConflictKind
    siblings: tuple[Sibling, ...]
    """None in a data inconsistency."""
    current: Value
    """What everybody reads meanwhile; of a data inconsistency the units that it is about, if it is about units."""
    _resolver: Resolver = dataclasses.field(repr=False, compare=False)
    sentence: str = ""
    """What a data inconsistency is, for people."""
    evidence: tuple[str, ...] = ()
    """What a data inconsistency was found by: ids of movements, and what they come to. With other evidence it is open
    again."""

    @property
    def base(self) -> tuple[Value] | None:
        """What all siblings began from, if that is known and the same for all: a tuple of one."""
        bases = {None if s.base is None else canonical(s.base[0]) for s in self.siblings}
        return self.siblings[0].base if len(bases) == 1 else None

    def resolve(
        self,
        accept: str | None = None,
        *,
        value: object = UNSET,
        merge: str | None = None,
        base: object = UNSET,
    ) -> None:
        """Close the conflict in the edit that it was found in, with one of these:

        ``accept="local"`` what this device wrote; ``"server"`` what everybody reads now; a sibling's ``tip``: its
        value; ``value=`` any other; ``merge=`` a registered function, with what all began from as ``base``, which may
        be left out where :attr:`base` is known. Raises :class:`UnknownSibling`, or :class:`InvalidValue` when not just
        one of these is given or the values can't be merged. A concurrent resolution to another value opens the
        conflict again. A data inconsistency knows ``"server"`` only.
        """
        self._resolver(self, accept, value, merge, base)

    def acknowledge(self) -> None:
        """Somebody has seen it and leaves it as it is: ``resolve("server")``."""
        self._resolver(self, "server", UNSET, None, UNSET)


def open_conflicts(roots: RootsView, forks: ForksView, resolver: Resolver) -> list[Conflict]:
    """All open conflicts, by rising key. Its cost grows with the forked keys, the vault and the audit trail."""
    siblings = Siblings(roots, forks)
    claims, covered, resolvers = siblings.claims(), covered_tips(roots), resolvers_of(roots)
    forked = forks.forked(ATTRIBUTES)
    found = []
    for key in sorted({*forked, *claims}):
        parsed = parse_key(key)
        if parsed is None:
            continue
        heads = forked.get(key) or forks.heads(ATTRIBUTES, key)
        of_key = [siblings.of_head(key, head) for head in heads[:SIBLINGS_MAX] if head.dot not in covered[key]]
        of_key += [siblings.of_tip(key, tip) for tip in sorted(claims.get(key, ())) if tip not in covered[key]]
        # A resolution is no change of the value that it happened to replace, so nothing may be added up from there.
        of_key = [replace(s, base=None) if s.client in resolvers.get(key, ()) else s for s in of_key]
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
                lacking.append((f"{key}|{head.dot}", siblings.of_head(key, head).entry()))
    return lacking


def version_of(heads: Sequence[Head]) -> str:
    """A text that changes with every write of a field, and with nothing else."""
    return ",".join(head.dot for head in heads)


def _kind(field_name: str, siblings: Sequence[Sibling], current: Value) -> ConflictKind:
    if any(sibling.tip.startswith(CLAIM) and not sibling.tip.startswith(OVERRULED) for sibling in siblings):
        return "version_mismatch"
    # A plain page's map.delete is no element, so that it shows only in what is read now.
    cleared = current is None or any(sibling.is_known and sibling.value is None for sibling in siblings)
    return "update_delete" if cleared or field_name == LIFE else "concurrent_update"
