"""I6 and I7, the documents' half: what is open, what a resolution covers, and that no value is ever lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt_sync.documents.catalog import arbitration, conflicts
from crdt_sync.documents.catalog.audit_trail import Strategy
from crdt_sync.documents.catalog.conflicts import Conflict
from crdt_sync.documents.catalog.merges import MERGES, canonical
from crdt_sync.documents.catalog.siblings import VAULT, ForksView, Sibling
from crdt_sync.documents.keys import product_key
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import InvalidValue
from tests.unit.documents.branches import Branch, branches, sync, the_only, values

FIELDS = ("price", "name")
KEYS = tuple(product_key("shirt", field) for field in FIELDS)
SEEDS = range(120)


@dataclass(frozen=True)
class Told:
    """A write, or a resolution, as an all-knowing observer saw it."""

    dot: str
    key: str
    value: Value
    knew: frozenset[str]
    """The dots that its writer held."""
    covers: frozenset[str] = frozenset()


class Shop:
    """Three branches, and the observer."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.branches = branches("till-1", "till-2", "till-3", prices={"shirt": 0, "sock": 0})
        self.held: list[set[str]] = [set() for _ in self.branches]
        self.told: list[Told] = []

    def run(self, steps: int, *, to_the_end: bool = True) -> Shop:
        for _ in range(steps):
            self._random.choice((self._set, self._set, self._resolve, self._pull, self._pull))()
        if to_the_end:
            self.sync()
        return self

    def sync(self) -> None:
        sync(self.branches)
        for held in self.held:
            held.update(told.dot for told in self.told)

    def _pull(self) -> None:
        one, other = self._random.sample(range(len(self.branches)), 2)
        self.branches[one].pull(self.branches[other])
        self.held[one] |= self.held[other]

    def _set(self) -> None:
        number, field = self._random.randrange(len(self.branches)), self._random.choice(FIELDS)
        value = self._random.choice((1, 2, 3, None))
        with self.branches[number].edit() as inventory:
            inventory.set_attribute("shirt", field, value)
        self._tell(number, product_key("shirt", field), value)

    def _resolve(self) -> None:
        number = self._random.randrange(len(self.branches))
        with self.branches[number].edit() as inventory:
            found = [conflict for conflict in inventory.conflicts() if conflict.key in KEYS]
            if not found:
                return
            conflict = self._random.choice(found)
            value = self._random.choice((1, 4, conflict.siblings[0].value))
            conflict.resolve(value=value)
        self._tell(number, conflict.key, value, frozenset(sibling.tip for sibling in conflict.siblings))

    def _tell(self, number: int, key: str, value: Value, covers: frozenset[str] = frozenset()) -> None:
        branch, held = self.branches[number], self.held[number]
        own = [head for head in branch.catalog.heads(ATTRIBUTES, key) if head.client == branch.catalog.client_id]
        dot = max(own, key=lambda head: head.clock).dot
        self.told.append(Told(dot, key, value, frozenset(held), covers))
        held.add(dot)


def contradictions(shop: Shop) -> list[str]:
    """Where the synced branches contradict the observer."""
    found = []
    listed = [
        {conflict.key: {s.tip: s.value for s in conflict.siblings} for conflict in branch.look.conflicts()}
        for branch in shop.branches
    ]
    if any(other != listed[0] for other in listed[1:]):
        found.append("the branches list other conflicts")
    for key in KEYS:
        writes = {told.dot: told for told in shop.told if told.key == key}
        known = {dot for told in writes.values() for dot in told.knew}
        covered = {tip for told in writes.values() for tip in told.covers}
        latest = [told for dot, told in writes.items() if dot not in known | covered]
        siblings = listed[0].get(key, {})
        concurrent = any(a.dot not in b.knew and b.dot not in a.knew for a, b in combinations(writes.values(), 2))
        if siblings and not concurrent:
            found.append(f"{key} is in conflict, but all its writes followed each other")
        if len({canonical(told.value) for told in latest}) > 1 and not {told.dot for told in latest} <= set(siblings):
            found.append(f"{key}: nobody has chosen between {latest}, and it is not listed")
        if wrong := set(siblings) & covered:
            found.append(f"{key}: {wrong} is listed, but was resolved")
        for tip, value in siblings.items():
            if tip not in writes or canonical(writes[tip].value) != canonical(value):
                found.append(f"{key}: {tip} is shown with {value!r}")
    return found


@pytest.mark.parametrize("batch", range(4))
def test_I6_open_conflicts_are_those_that_an_all_knowing_observer_finds(batch: int) -> None:
    seen_open = seen_closed = 0
    for seed in SEEDS[batch::4]:
        shop = Shop(seed).run(25)
        assert contradictions(shop) == [], f"seed {seed}"
        seen_open += bool(shop.branches[0].look.conflicts())
        seen_closed += bool(shop.branches[0].look.resolutions())
    assert seen_open
    assert seen_closed


def test_I7_no_value_that_stands_against_another_is_ever_lost() -> None:
    """After everybody has restarted, when the CRDT has collected what lost, each value is in the document still."""
    for seed in SEEDS[:40]:
        shop = Shop(seed).run(25)
        before = listed_values(shop.branches[0])
        for branch in shop.branches:
            branch.restart()
            assert listed_values(branch) == before, f"seed {seed}"
            assert all(sibling.is_known for _, siblings in before for sibling in siblings), f"seed {seed}"


def listed_values(branch: Branch) -> list[tuple[str, list[Sibling]]]:
    """What stands against what. From which value each began is known to those only that were there."""
    return [(c.key, [replace(sibling, base=None) for sibling in c.siblings]) for c in branch.look.conflicts()]


def test_I7_concurrent_detectors_note_equal_entries() -> None:
    noted_twice = 0
    for seed in SEEDS[:40]:
        shop = Shop(seed).run(25, to_the_end=False)
        for one, other in combinations([branch.catalog.entries(VAULT) for branch in shop.branches], 2):
            both = one.keys() & other.keys()
            for key in both:
                mine, theirs = entry_of(one[key]), entry_of(other[key])
                assert mine[:4] == theirs[:4], f"seed {seed}"
                assert None in (mine[4], theirs[4]) or mine[4] == theirs[4], f"seed {seed}"
            noted_twice += len(both)
    assert noted_twice


def entry_of(entry: Value) -> list[Value]:
    """Value, device, stamp, person and base of an entry of the vault, which may leave out the last ones."""
    assert isinstance(entry, list)
    return [*entry, None, None][:5]


VALUES = st.none() | st.integers(-9, 9) | st.sampled_from(["a", "b"]) | st.lists(st.integers(0, 3), max_size=3)


def in_conflict(one_value: Value, other_value: Value, count: int = 2) -> list[Branch]:
    made = branches(*(f"till-{number}" for number in range(count)))
    for branch, value in zip(made, [one_value, other_value], strict=False):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", value)
    sync(made)
    return made


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES)
def test_two_resolutions_at_once_open_the_conflict_again_unless_they_are_equal(first: Value, second: Value) -> None:
    made = in_conflict("x", "y")
    for branch, value in zip(made, (first, second), strict=True):
        with branch.edit() as inventory:
            the_only(inventory.conflicts()).resolve(value=value)
    sync(made)
    for branch in made:
        again = branch.look.conflicts()
        if canonical(first) == canonical(second):
            assert again == []
            assert branch.look.attribute("shirt", "price") == first
        else:
            assert values(the_only(again)) == sorted((first, second), key=repr)
        assert len(branch.look.resolutions()) == 2


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(3)), VALUES)
def test_the_order_in_which_resolutions_and_writes_arrive_does_not_matter(order: list[int], value: Value) -> None:
    made = in_conflict("x", "y", count=4)
    with made[0].edit() as inventory:
        the_only(inventory.conflicts()).resolve(value=value)
    with made[1].edit() as inventory:
        inventory.set_attribute("shirt", "price", "late")
    with made[2].edit() as inventory:
        inventory.set_attribute("shirt", "price", "later")
    reader = made[3]
    for number in order:
        reader.pull(made[number])
        reader.pull(made[number])
    sync(made)
    expected = [branch.look.conflicts() for branch in made]
    assert expected[0] == expected[1] == expected[2] == expected[3]
    assert values(the_only(expected[0])) == sorted((value, "late", "later"), key=repr)


@given(
    st.sampled_from(["max", "min", "union"]),
    st.lists(st.integers(-9, 9) | st.none(), min_size=2, max_size=5),
    st.data(),
)
def test_merge_functions_do_not_care_who_is_first(name: str, siblings: list[Value], data: st.DataObject) -> None:
    def merged(some: Iterable[Value]) -> Value:
        return MERGES[name](sorted(some, key=canonical), None)

    assert merged(siblings) == merged(data.draw(st.permutations(siblings)))


@given(st.integers(-99, 99), st.lists(st.integers(-99, 99), min_size=2, max_size=5))
def test_a_sum_of_deltas_keeps_every_delta(base: int, deltas: list[int]) -> None:
    assert MERGES["sum"]([base + delta for delta in deltas], base) == base + sum(deltas)


def test_a_text_merge_keeps_all_changes_or_refuses() -> None:
    base = "red shirt of wool"
    merge = MERGES["text"]
    assert merge(["blue shirt of wool", "red shirt of cotton"], base) == "blue shirt of cotton"
    assert merge(["red shirt of wool", "red shirt"], base) == "red shirt"
    assert merge(["blue shirt of wool", "blue shirt of wool"], base) == "blue shirt of wool"
    for clash in (["blue shirt of wool", "green shirt of wool"], ["no shirt", "a big red shirt of wool"]):
        with pytest.raises(InvalidValue):
            merge(clash, base)
    with pytest.raises(InvalidValue):
        merge(["a", 3], "a")


def resolves_without_tips(patch: pytest.MonkeyPatch) -> None:
    whole = arbitration.Arbitration._close

    def close(self: arbitration.Arbitration, conflict: conflicts.Conflict, value: Value, how: Strategy) -> None:
        whole(self, conflict, value, how)
        for entry, resolution in self._catalog.entries("resolve").items():
            if isinstance(resolution, dict):
                self._catalog.put("resolve", entry, {**resolution, "tips": []})

    patch.setattr(arbitration.Arbitration, "_close", close)


def a_resolution_covers_the_whole_field(patch: pytest.MonkeyPatch) -> None:
    honest = conflicts.open_conflicts

    def only_where_nobody_resolved(roots: RootsView, forks: ForksView, resolver: conflicts.Resolver) -> list[Conflict]:
        resolved = {entry.rpartition("|")[0] for entry in roots.entries("resolve")}
        return [conflict for conflict in honest(roots, forks, resolver) if conflict.key not in resolved]

    patch.setattr(arbitration, "open_conflicts", only_where_nobody_resolved)


def equal_values_stay_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conflicts, "is_open", lambda uncovered: len(uncovered) > 1)


def one_tip_is_enough_to_close(patch: pytest.MonkeyPatch) -> None:
    honest = conflicts.is_open
    patch.setattr(conflicts, "is_open", lambda uncovered: honest(uncovered) and len(uncovered) > 2)


@pytest.mark.parametrize(
    "plant", [resolves_without_tips, a_resolution_covers_the_whole_field, one_tip_is_enough_to_close]
)
def test_I6_kills(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(contradictions(Shop(seed).run(25)) for seed in range(40))


def test_I6_kills_equal_values_that_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    equal_values_stay_open(monkeypatch)
    assert in_conflict(7, 7)[0].look.conflicts() != []


def test_I7_kills_a_peer_that_forgets_what_lost() -> None:
    made = branches("till-1", "till-2", keeps_lost=False)
    for branch, price in zip(made, (1, 2), strict=True):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", price)
    sync(made)
    made[0].restart()
    assert not all(sibling.is_known for sibling in the_only(made[0].look.conflicts()).siblings)
