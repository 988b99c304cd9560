"""A document begun anew, and what is carried over from the one that has ended. Pure.

Keys stay in a CRDT for good, and so does every client id that ever wrote. A new *epoch* is a fresh document that holds
what is alive in the old one: the winners, the values that stand against each other, everything that others refer to.
Left out are cleared fields, the values behind settled conflicts, and who wrote what is no conflict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crdt_sync.documents.catalog.audit_trail import RESOLUTIONS, covered_tips
from crdt_sync.documents.catalog.conflicts import is_open
from crdt_sync.documents.catalog.siblings import (
    CLAIM,
    EDITS,
    SIBLINGS_MAX,
    VAULT,
    ForksView,
    Sibling,
    Siblings,
    readable,
)
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES, META, whole
from crdt_sync.errors import WrongKind
from crdt_sync.values import ClientId

EPOCH: Final = "epoch"
DEVICE: Final = "epoch"
"""Stands where a device would for attributes that a new epoch has taken over."""

_JUDGED: Final = frozenset({ATTRIBUTES, VAULT, EDITS, RESOLUTIONS, META})
"""Roots that are not copied as they are."""

Entry = tuple[str, str, Value]
"""Root, key and value."""


@dataclass(slots=True)
class Epoch:
    """What a new epoch begins with, in the order in which it must be written, and what was left out."""

    entries: list[Entry] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Leftover:
    """An entry that a peer has written, and no relay has acknowledged, before the document ended."""

    root: str
    key: str
    value: Value
    base: Value
    """What the entry held before this peer's first unacknowledged edit."""
    dot: str
    stamp: int | None
    """When it was written, as far as the document says so."""


@dataclass(slots=True)
class CarriedOver:
    """What becomes of leftovers in the successor."""

    entries: list[Entry] = field(default_factory=list)
    present: int = 0
    """So many are there already."""
    lost: int = 0
    """So many can't be told from what others have made of them since."""


def new_epoch(
    roots: RootsView, forks: ForksView, names: Iterable[str], *, epoch: int, client: ClientId, stamp: int
) -> Epoch:
    """The living content of a document, to be written by ``client`` as the first entries of a fresh one.

    ``names`` are the document's roots. Every value takes one element, so that who wrote what is in conflict can be said
    by the place at which it will stand. Raises :class:`WrongKind` for nested types, which no facade writes."""
    made = Epoch()
    made.entries.append((META, EPOCH, epoch))
    made.entries += [(META, key, roots.get(META, key)) for key in sorted(roots.keys(META)) if key != EPOCH]
    if ATTRIBUTES in names:
        _take_attributes(made, roots, forks, client, stamp)
    for name in sorted(set(names) - _JUDGED):
        for key in sorted(roots.keys(name)):
            value = _plain(name, key, roots)
            if value is None:
                made.left_out["cleared entries"] += 1
            else:
                made.entries.append((name, key, value))
    return made


def carried_over(leftovers: Sequence[Leftover], heir: RootsView, *, rid: str) -> CarriedOver:
    """What to write into the successor, so that no leftover changes what others have written, and none is hidden.

    An attribute that somebody else has changed since stands beside the other value, as a conflict."""
    carried = CarriedOver()
    present = {root: set(heir.keys(root)) for root in {leftover.root for leftover in leftovers}}
    vaulted = set(heir.keys(VAULT))
    for leftover in leftovers:
        root, key, value = leftover.root, leftover.key, leftover.value
        if root == EDITS or (root == VAULT and not _is_claim(key)):
            # They speak of elements of the document that has ended.
            continue
        if root == RESOLUTIONS:
            value = _renamed_tips(key, value, vaulted)
        current = heir.get(root, key)
        if key not in present[root]:
            carried.entries.append((root, key, value))
        elif _equal(current, value):
            carried.present += 1
        elif _equal(current, leftover.base) and not (root == ATTRIBUTES and current is None):
            # A cleared attribute is not taken over into an epoch, so one that is there was cleared since, or stands
            # in a conflict.
            carried.entries.append((root, key, value))
        elif root == ATTRIBUTES:
            claim: Value = [value, rid, leftover.stamp, None, [leftover.base]]
            carried.entries.append((VAULT, f"{key}|{CLAIM}{leftover.dot}", claim))
        else:
            carried.lost += 1
    return carried


def whole_numbers(value: Value) -> Value:
    """A value as it was written: yrs hands out every number as a float."""
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: whole_numbers(item) for key, item in value.items()}
    if type(value) is float:
        number = whole(value)
        return value if number is None else number
    return value


def spelled(value: Value) -> str:
    """A text that two values share when they are equal for every peer: 1 is 1.0, and neither is true."""
    return json.dumps(whole_numbers(value), sort_keys=True, default=lambda data: {"bytes": bytes(data).hex()})


def _take_attributes(made: Epoch, roots: RootsView, forks: ForksView, client: ClientId, stamp: int) -> None:
    siblings, covered = Siblings(roots, forks), covered_tips(roots)
    claims = siblings.claims()
    known: dict[str, Sibling] = {}
    taken = 0
    attributes: list[Entry] = []
    for key in sorted(roots.keys(ATTRIBUTES)):
        standing = _standing(siblings, forks, key, claims.get(key, ()), covered[key])
        value = _plain(ATTRIBUTES, key, roots)
        if value is None and not standing:
            made.left_out["cleared fields"] += 1
            continue
        attributes.append((ATTRIBUTES, key, value))
        shown = readable(value)[1]
        winner = next((sibling for sibling in standing if sibling.is_known and _equal(sibling.value, shown)), None)
        if winner is not None:
            known[key] = winner
        for sibling in standing:
            if sibling is not winner:
                taken += 1
                # One whose value nobody knows any more stands all the same: what was lost must be seen.
                entry = sibling.entry() if sibling.is_known else []
                made.entries.append((VAULT, f"{key}|{_claimed(sibling.tip)}", entry))
    made.left_out["settled values"] += len(list(roots.keys(VAULT))) - taken
    made.left_out["resolutions"] += len(list(roots.keys(RESOLUTIONS)))
    _sign(made, attributes, known, client, stamp)


def _standing(
    siblings: Siblings, forks: ForksView, key: str, claims: Iterable[str], covered: set[str]
) -> Sequence[Sibling]:
    """The values of one attribute that nobody has chosen from; none where there is no conflict."""
    heads = forks.heads(ATTRIBUTES, key)
    found = [siblings.of_head(key, head) for head in heads[:SIBLINGS_MAX] if head.dot not in covered]
    found += [siblings.of_tip(key, tip) for tip in sorted(claims) if tip not in covered]
    return found if is_open(found) else ()


def _sign(made: Epoch, attributes: Sequence[Entry], known: Mapping[str, Sibling], client: ClientId, stamp: int) -> None:
    """Write the attributes, each at a place whose writer is said: an entry of ``edits`` speaks for what follows it."""
    # Those whose writers count come last, each with an entry for itself.
    plain = [entry for entry in attributes if entry[1] not in known]
    made.entries.append((EDITS, f"{client}.{len(made.entries)}", [DEVICE, stamp]))
    made.entries += plain
    for entry in attributes:
        if (writer := known.get(entry[1])) is not None:
            made.entries.append((EDITS, f"{client}.{len(made.entries)}", [writer.device or DEVICE, writer.stamp or 0]))
            made.entries.append(entry)


def _claimed(tip: str) -> str:
    return tip if tip.startswith(CLAIM) else CLAIM + tip


def _is_claim(key: str) -> bool:
    return key.rpartition("|")[2].startswith(CLAIM)


def _renamed_tips(key: str, value: Value, vaulted: set[str]) -> Value:
    """A resolution whose tips are called as the new epoch calls them; it has no name for the one that had won."""
    tips = value.get("tips") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(tips, list):
        return value
    attribute = key.rpartition("|")[0]
    renamed = [_claimed(tip) for tip in tips if isinstance(tip, str)]
    known = [tip for tip in renamed if f"{attribute}|{tip}" in vaulted] or renamed
    return {**value, "tips": [*known]}


def _plain(root: str, key: str, roots: RootsView) -> Value:
    value: object = roots.get(root, key)
    if value is not None and not isinstance(value, (bool, int, float, str, bytes, list, dict)):
        raise WrongKind(f"{root} {key!r} holds a type of its own, which a new epoch could not take over as it is")
    return whole_numbers(roots.get(root, key))


def _equal(one: Value, other: Value) -> bool:
    return spelled(one) == spelled(other)
