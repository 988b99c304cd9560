"""Writes what closes a conflict: the attribute and the resolution, together, with every tip that it chose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crdt_sync.documents.catalog.audit_trail import (
    RESOLUTIONS,
    Resolution,
    Strategy,
    acknowledged,
    resolution_faults,
    resolutions,
    tips_of,
)
from crdt_sync.documents.catalog.conflicts import UNSET, Conflict, open_conflicts, version_of
from crdt_sync.documents.catalog.inconsistencies import Inconsistency
from crdt_sync.documents.catalog.merges import MERGES, Merge, canonical
from crdt_sync.documents.catalog.registers import ACTIVE, DELETED, check_value, same
from crdt_sync.documents.catalog.rules import Rules, check_rule, read_rules, rule_key
from crdt_sync.documents.catalog.siblings import (
    CLAIM,
    NO_FORKS,
    VAULT,
    ForksView,
    Sibling,
    Siblings,
    readable,
    value_of,
)
from crdt_sync.documents.keys import LIFE, movement_id, product_key
from crdt_sync.documents.roots import Roots, Value
from crdt_sync.documents.schema import ATTRIBUTES, RULES, Fault
from crdt_sync.errors import InvalidValue, UnknownSibling
from crdt_sync.updates.forks import Head


@dataclass(frozen=True, slots=True)
class ConflictPolicy:
    """How conflicts of a catalog are found and closed."""

    forks: ForksView = NO_FORKS
    """Follows the heads of ``attr``. Without it no conflicts are seen."""
    merges: Mapping[str, Merge] = field(default_factory=lambda: MERGES)
    """The functions that a resolution may name."""
    rules: Mapping[str, str] = field(default_factory=dict)
    """By field the function that resolves it without asking anybody, where the catalog has no rule for it."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.rules.values()) - set(self.merges)):
            raise InvalidValue(f"there is no merge function {', '.join(unknown)}")


DEFAULT_POLICY = ConflictPolicy()


class Arbitration:
    """The conflicts of one edit's catalog, and what is decided about them."""

    def __init__(
        self,
        catalog: Roots,
        policy: ConflictPolicy,
        *,
        rid: str,
        stamp: Callable[[], int],
        delete: Callable[[str], Value],
    ) -> None:
        """``stamp`` gives a new one, ``delete`` the ``$life`` of a product that is deleted now."""
        self._catalog = catalog
        self._forks = policy.forks
        self._rid = rid
        self._stamp = stamp
        self._merges = policy.merges
        self._rules = policy.rules
        self._delete = delete

    def conflicts(self, revived: Iterable[str] = ()) -> list[Conflict]:
        """What is open, by key; ``revived`` are the products that came back after they were deleted."""
        found = {conflict.key: conflict for conflict in open_conflicts(self._catalog, self._forks, self.resolve)}
        for sku in revived:
            key = product_key(sku, LIFE)
            if key not in found:
                found[key] = self._revival(sku, key)
        return [found[key] for key in sorted(found)]

    def inconsistent(self, found: Iterable[Inconsistency]) -> list[Conflict]:
        """Of these the ones that nobody has acknowledged as they are now, by key."""
        seen = acknowledged(self._catalog)
        return [
            Conflict(
                one.key,
                one.sku,
                one.location,
                one.sort,
                "data_inconsistency",
                (),
                one.units,
                self._acknowledge,
                one.sentence,
                one.evidence,
            )
            for one in sorted(found, key=lambda one: one.key)
            if frozenset(one.evidence) not in seen.get(one.key, ())
        ]

    def resolutions(self) -> list[Resolution]:
        return resolutions(self._catalog, self._forks)

    def faults(self) -> list[Fault]:
        return [*resolution_faults(self._catalog, self._forks), *self.rules()[1]]

    def rules(self) -> tuple[Rules, list[Fault]]:
        """The rules of the catalog, and what there is no rule."""
        return read_rules(self._catalog.entries(RULES), self._merges)

    def set_rule(self, name: str, value: object) -> None:
        """See :meth:`InventoryDocument.set_rule`."""
        key, checked = rule_key(name), check_rule(name, value, self._merges)
        if not same(self._catalog.get(RULES, key), checked):
            self._catalog.put(RULES, key, checked)

    def version(self, key: str) -> str:
        return version_of(self._forks.heads(ATTRIBUTES, key))

    def replace(self, key: str, value: Value) -> None:
        """Set an attribute. Equal values that were written at once closed by themselves, and stay closed: who writes
        over them has seen them all, but its element follows just one, so it says so."""
        uncovered = self._uncovered(key)
        self._catalog.put(ATTRIBUTES, key, value)
        if len(uncovered) > 1 and len({canonical(held) for _, held in uncovered}) == 1:
            self._record(key, [dot for dot, _ in uncovered], value, "auto")

    def _uncovered(self, key: str) -> list[tuple[str, Value]]:
        """Several heads of a key that no resolution lists, with their values; none where one is unknown."""
        heads = self._forks.heads(ATTRIBUTES, key)
        if len(heads) < 2:
            return []
        covered = self._covered(key)
        open_heads = [(head.dot, *self._held(key, head)) for head in heads if head.dot not in covered]
        is_known = all(known for _, known, _ in open_heads)
        return [(dot, value) for dot, _, value in open_heads] if is_known else []

    def _covered(self, key: str) -> set[str]:
        """The tips of one attribute that some resolution lists."""
        # By key, because this is done with every write: a full read would be of the whole trail.
        of_key = [entry for entry in self._catalog.keys(RESOLUTIONS) if entry.rpartition("|")[0] == key]
        return {tip for entry in of_key for tip in tips_of(self._catalog.get(RESOLUTIONS, entry))}

    def _is_vaulted(self, key: str, tip: str) -> bool:
        return self._catalog.get(VAULT, f"{key}|{tip}") is not None

    def _held(self, key: str, head: Head) -> tuple[bool, Value]:
        """What a head holds, by its own bytes or by the vault."""
        if head.is_known:
            return value_of(head)
        noted = self._catalog.get(VAULT, f"{key}|{head.dot}")
        return readable(noted[0]) if isinstance(noted, list) and noted else (False, None)

    def claim(self, key: str, value: Value) -> None:
        """Keep a write that came too late beside what is there, so that a person sees both."""
        written = self._stamp()
        mid = movement_id(self._catalog.client_id, written)
        self._catalog.put(VAULT, f"{key}|{CLAIM}{mid}", [value, self._rid, written])

    def settle(self) -> list[Conflict]:
        """Resolve what a rule is for, of the catalog or else of the policy, and return it. What its function refuses
        stays open. Two peers may do so at once: they come to equal values."""
        settled = []
        rules = {**self._rules, **self.rules()[0].merges}
        for conflict in self.conflicts():
            merge = rules.get(conflict.field)
            if merge is None or not all(sibling.is_known for sibling in conflict.siblings):
                continue
            try:
                value = self._merged(conflict, merge)
            except InvalidValue:
                # A rule is only for what it can merge; the rest is for a person.
                continue
            self._close(conflict, value, "auto")
            settled.append(conflict)
        return settled

    def resolve(self, conflict: Conflict, accept: str | None, value: object, merge: str | None, base: object) -> None:
        """See :meth:`Conflict.resolve`."""
        if sum((accept is not None, value is not UNSET, merge is not None)) != 1:
            raise InvalidValue(f"{conflict.key}: give just one of accept, value and merge")
        self._check_known(conflict)
        how: Strategy = "merge"
        if accept is not None:
            chosen, how = self._accepted(conflict, accept)
        elif merge is not None:
            chosen = self._merged(conflict, merge, base)
        else:
            chosen = check_value(conflict.field, value)
        self._close(conflict, chosen, how)

    def _accepted(self, conflict: Conflict, accept: str) -> tuple[Value, Strategy]:
        if accept == "server":
            return conflict.current, "server"
        ours = accept == "local"
        wanted = [s for s in conflict.siblings if (s.device == self._rid if ours else s.tip == accept) and s.is_known]
        if not wanted:
            raise UnknownSibling(conflict.key, accept)
        # One device may have written two of them, before and after a restart.
        return max(wanted, key=lambda sibling: sibling.stamp or 0).value, "local" if ours else "merge"

    def _merged(self, conflict: Conflict, merge: str, base: object = UNSET) -> Value:
        function = self._merges.get(merge)
        if function is None:
            raise InvalidValue(f"there is no merge function {merge!r}; there are {', '.join(sorted(self._merges))}")
        if not all(sibling.is_known for sibling in conflict.siblings):
            raise InvalidValue(f"{conflict.key}: a sibling's value is gone, so that nothing can be merged")
        if base is UNSET:
            base = None if conflict.base is None else conflict.base[0]
        values = sorted((sibling.value for sibling in conflict.siblings), key=canonical)
        return check_value(conflict.field, function(values, check_value("base", base)))

    def _check_known(self, conflict: Conflict) -> None:
        """The conflict may come from an earlier look, or from a caller's own making."""
        heads = {head.dot for head in self._forks.heads(ATTRIBUTES, conflict.key)}
        for sibling in conflict.siblings:
            if sibling.tip not in heads and not self._is_vaulted(conflict.key, sibling.tip):
                raise UnknownSibling(conflict.key, sibling.tip)

    def _close(self, conflict: Conflict, value: Value, how: Strategy) -> None:
        tips: list[Value] = [sibling.tip for sibling in conflict.siblings]
        if self._covered(conflict.key).issuperset(sibling.tip for sibling in conflict.siblings) and same(
            self._catalog.get(ATTRIBUTES, conflict.key), value
        ):
            return
        self._keep(conflict.key, conflict.siblings)
        self._catalog.put(ATTRIBUTES, conflict.key, self._stored(conflict, value))
        # Where nobody follows the heads of this document, there is nothing to cover, and nothing that stays open.
        if tips:
            self._record(conflict.key, tips, value, how)

    def _acknowledge(
        self, conflict: Conflict, accept: str | None, value: object, merge: str | None, base: object
    ) -> None:
        if accept != "server" or (value, base) != (UNSET, UNSET) or merge is not None:
            raise InvalidValue(f"{conflict.key}: a data inconsistency is acknowledged, or made good by other movements")
        if frozenset(conflict.evidence) not in acknowledged(self._catalog).get(conflict.key, ()):
            self._record(conflict.key, [*conflict.evidence], conflict.current, "server")

    def _record(self, key: str, tips: list[Value], value: Value, how: Strategy) -> None:
        written = self._stamp()
        mid = movement_id(self._catalog.client_id, written)
        entry: Value = {"tips": tips, "how": how, "v": value, "by": self._rid, "t": written}
        self._catalog.put(RESOLUTIONS, f"{key}|{mid}", entry)

    def _stored(self, conflict: Conflict, value: Value) -> Value:
        if conflict.field != LIFE or conflict.product is None:
            return value
        if value not in (ACTIVE, DELETED):
            raise InvalidValue(f"{conflict.key}: a product is {ACTIVE!r} or {DELETED!r}, not {value!r}")
        return ACTIVE if value == ACTIVE else self._delete(conflict.product)

    def _keep(self, key: str, siblings: Sequence[Sibling]) -> None:
        """Note what was chosen from, so that the trail can be read when the CRDT has forgotten it."""
        for sibling in siblings:
            if sibling.is_known and not self._is_vaulted(key, sibling.tip):
                self._catalog.put(VAULT, f"{key}|{sibling.tip}", sibling.entry())

    def _revival(self, sku: str, key: str) -> Conflict:
        held = Siblings(self._catalog, self._forks)
        siblings = [held.of_head(key, head) for head in self._forks.heads(ATTRIBUTES, key)]
        return Conflict(key, sku, None, LIFE, "update_delete", tuple(siblings), ACTIVE, self.resolve)
