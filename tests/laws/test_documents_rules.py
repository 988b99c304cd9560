"""Rules of a catalog: peers that settle at once come to one value, and a sum leaves out no change."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt_sync.documents.catalog import conflicts
from crdt_sync.documents.catalog.merges import MERGES, canonical
from crdt_sync.documents.roots import Value
from tests.unit.documents.branches import Branch, branches, sync

VALUES = st.integers(-9, 9) | st.none() | st.text("ab ", max_size=3) | st.lists(st.integers(0, 3), max_size=3)


def ruled(merge: str, began: Value, count: int) -> list[Branch]:
    made = branches(*(f"till-{number}" for number in range(count)))
    with made[0].edit() as inventory:
        inventory.set_attribute("shirt", "count", began)
        inventory.set_rule("merge/count", merge)
    sync(made)
    return made


def write_at_once(made: list[Branch], values: list[Value]) -> None:
    for branch, value in zip(made, values, strict=True):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "count", value)


def settle(branch: Branch) -> int:
    with branch.edit() as inventory:
        return len(inventory.settle_conflicts())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(MERGES)), VALUES, st.lists(VALUES, min_size=2, max_size=3))
def test_peers_that_settle_at_once_by_a_rule_of_the_catalog_agree(
    merge: str, began: Value, values: list[Value]
) -> None:
    made = ruled(merge, began, len(values))
    write_at_once(made, values)
    sync(made)
    settled = {settle(branch) for branch in made}
    sync(made)
    assert len(settled) == 1
    assert len({canonical(branch.look.attribute("shirt", "count")) for branch in made}) == 1
    listed = [[(c.key, c.siblings) for c in branch.look.conflicts()] for branch in made]
    assert all(other == listed[0] for other in listed)
    if settled == {1}:
        assert listed[0] == []


def sum_of_some_history(seed: int) -> tuple[Value, int, bool]:
    """Three tills each add to one number, hear of each other in some order, and settle whenever they like."""
    random, began, deltas = Random(seed), 100, [1, 2, 4]
    made = ruled("sum", began, len(deltas))
    write_at_once(made, [began + delta for delta in deltas])
    for _ in range(8):
        one, other = random.sample(made, 2)
        one.pull(other)
        if random.random() < 0.5:
            settle(one)
    for _ in range(2):
        sync(made)
        for branch in made:
            settle(branch)
    sync(made)
    look = made[0].look
    return look.attribute("shirt", "count"), began + sum(deltas), bool(look.conflicts())


def test_a_sum_holds_every_change_or_waits_for_a_person() -> None:
    settled = 0
    for seed in range(60):
        value, wanted, is_open = sum_of_some_history(seed)
        assert is_open or value == wanted, f"seed {seed}: {value!r} instead of {wanted}"
        settled += not is_open
    assert settled


def settled_by_two_of_three() -> tuple[Value, bool]:
    """One till settles what it and the last have written, another what all three have, at once: 101, 102 and 104."""
    one, two, last = sorted(ruled("sum", 100, 3), key=lambda branch: branch.catalog.client_id)
    made = [one, two, last]
    write_at_once(made, [101, 102, 104])
    for to, source in ((two, one), (two, last), (one, last)):
        to.pull(source)
    # Both follow the element of the last, which all read meanwhile: its writer has the greatest id.
    assert settle(one) == settle(two) == 1
    sync(made)
    settle(last)
    sync(made)
    return one.look.attribute("shirt", "count"), bool(one.look.conflicts())


def test_a_sum_that_takes_resolutions_for_changes_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settled_by_two_of_three()[1]
    monkeypatch.setattr(conflicts, "resolvers_of", lambda _roots: {})
    assert settled_by_two_of_three() == (108, False)
