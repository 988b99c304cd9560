"""Rules in the catalog: what is taken, what is refused, and that every peer goes by them."""

from __future__ import annotations

import pytest

from crdt_sync.documents.catalog.arbitration import ConflictPolicy
from crdt_sync.documents.catalog.rules import Rules
from crdt_sync.errors import InvalidName, InvalidValue
from crdt_sync.replica import Write
from tests.unit.documents.branches import Branch, branches, sync, the_only


def set_at_once(made: list[Branch], *values: object, field: str = "price") -> None:
    for branch, value in zip(made, values, strict=False):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", field, value)
    sync(made)


def test_what_nobody_has_set_is_as_documented() -> None:
    (one,) = branches("till-1")
    assert one.look.rules() == Rules()
    assert (one.look.rules().rights_keep_percent, one.look.rules().metrics_width_s) == (50, 86_400)


def test_rules_are_set_read_changed_and_switched_off() -> None:
    one, two = branches("till-1", "till-2")
    with one.edit() as inventory:
        inventory.set_rule("merge/price", "max")
        inventory.set_rule("merge/Größe in cm", "union")
        inventory.set_rule("rights/keep", 30)
        inventory.set_rule("rights/lapse", 60)
        inventory.set_rule("periods/grace", 0)
        inventory.set_rule("metrics/keep", 400)
        inventory.set_rule("metrics/width", 3600)
    two.pull(one)
    assert two.look.rules() == Rules({"price": "max", "Größe in cm": "union"}, 30, 60, 0, 400, 3600)
    with two.edit() as inventory:
        for name in ("merge/price", "rights/keep", "rights/lapse"):
            inventory.set_rule(name, None)
    one.pull(two)
    assert one.look.rules() == Rules({"Größe in cm": "union"}, 50, None, 0, 400, 3600)
    assert one.look.faults() == []


def test_a_rule_that_is_set_again_to_the_same_writes_nothing() -> None:
    (one,) = branches("till-1")
    with one.edit() as inventory:
        inventory.set_rule("rights/keep", 30)
    before = one.catalog.state
    with one.edit() as inventory:
        inventory.set_rule("rights/keep", 30)
    assert one.catalog.state == before


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("rights/keep", 101, "a whole number of percent from 0 to 100"),
        ("rights/keep", -1, "from 0 to 100"),
        ("rights/keep", True, "whole number"),
        ("rights/keep", 0.5, "whole number"),
        ("rights/lapse", 0, "days from 1 to"),
        ("rights/lapse", "60", "whole number of days"),
        ("metrics/width", 0, "seconds"),
        ("merge/price", "average", "max, min, sum, text, union"),
        ("merge/price", 3, "is no merge function"),
    ],
)
def test_a_wrong_value_is_refused_and_the_error_says_what_is_expected(name: str, value: object, says: str) -> None:
    (one,) = branches("till-1")
    with one.edit() as inventory, pytest.raises(InvalidValue, match=says):
        inventory.set_rule(name, value)
    assert one.catalog.entries("rules") == {}


@pytest.mark.parametrize("name", ["rights", "rights/keeps", "quality/stale", "merge/", "merge/$life", "", "a" * 300])
def test_an_unknown_rule_is_refused(name: str) -> None:
    (one,) = branches("till-1")
    with one.edit() as inventory, pytest.raises(InvalidName):
        inventory.set_rule(name, 1)


def test_what_a_page_wrote_is_kept_reported_and_ignored() -> None:
    (one,) = branches("till-1")
    one.catalog.write(
        [
            Write("rules", "rights/keep", "half"),
            Write("rules", "rights/lapse", 30.0),
            Write("rules", "merge/price", "average"),
            Write("rules", "merge/%zz", "max"),
            Write("rules", "colour", "red"),
            Write("rules", "quality/stale", 7),
        ]
    )
    assert one.look.rules() == Rules(rights_lapse_days=30)
    found = {fault.key: fault.reason for fault in one.look.faults() if fault.root == "rules"}
    assert set(found) == {"rights/keep", "merge/price", "merge/%zz", "colour"}
    assert "0 to 100" in found["rights/keep"]
    assert one.catalog.get("rules", "colour") == "red"


def test_a_rule_closes_conflicts_on_every_peer_without_a_parameter() -> None:
    made = branches("till-1", "till-2", "till-3")
    with made[2].edit() as inventory:
        inventory.set_rule("merge/price", "max")
    sync(made)
    set_at_once(made, 12, 15)
    for branch in made[:2]:
        with branch.edit() as inventory:
            assert [conflict.key for conflict in inventory.settle_conflicts()] == ["shirt/price"]
    sync(made)
    for branch in made:
        assert branch.look.conflicts() == []
        assert branch.look.attribute("shirt", "price") == 15
        assert {resolution.how for resolution in branch.look.resolutions()} == {"auto"}


def test_a_rule_of_the_catalog_comes_before_one_in_code() -> None:
    policy = ConflictPolicy(rules={"price": "min", "size": "min"})
    one, two = Branch("till-1", policy), Branch("till-2", policy)
    with one.edit() as inventory:
        inventory.add_product("shirt")
        inventory.set_rule("merge/price", "max")
    two.pull(one)
    for field in ("price", "size"):
        set_at_once([one, two], 12, 15, field=field)
    with one.edit() as inventory:
        inventory.settle_conflicts()
        assert (inventory.attribute("shirt", "price"), inventory.attribute("shirt", "size")) == (15, 12)


@pytest.mark.parametrize(
    ("merge", "began", "values", "outcome"),
    [("sum", 10, (12, 15), 17), ("text", "red wool", ("blue wool", "red cotton"), "blue cotton")],
)
def test_a_merge_against_what_all_began_from_needs_nobody_to_say_what_that_was(
    merge: str, began: object, values: tuple[object, ...], outcome: object
) -> None:
    made = branches("till-1", "till-2")
    with made[0].edit() as inventory:
        inventory.set_attribute("shirt", "count", began)
        inventory.set_rule("merge/count", merge)
    sync(made)
    set_at_once(made, *values, field="count")
    assert all(the_only(branch.look.conflicts()).base == (began,) for branch in made)
    with made[0].edit() as inventory:
        the_only(inventory.conflicts()).resolve(merge=merge)
    with made[1].edit() as inventory:
        inventory.settle_conflicts()
    sync(made)
    for branch in made:
        assert branch.look.conflicts() == []
        assert branch.look.attribute("shirt", "count") == outcome


def test_where_nobody_knows_what_all_began_from_a_sum_waits_for_a_person() -> None:
    made = branches("till-1", "till-2")
    with made[0].edit() as inventory:
        inventory.set_rule("merge/price", "sum")
    sync(made)
    set_at_once(made, 12, 15)
    # One more price, on top of one of the two: they did not begin from one value.
    with made[0].edit() as inventory:
        inventory.set_attribute("shirt", "price", 20)
    sync(made)
    with made[0].edit() as inventory:
        conflict = the_only(inventory.conflicts())
        assert conflict.base is None
        assert inventory.settle_conflicts() == []
        with pytest.raises(InvalidValue):
            conflict.resolve(merge="sum")
        conflict.resolve(merge="sum", base=10)


def test_two_different_resolutions_are_never_added_up() -> None:
    """Their elements follow one element, as if both had changed its value; but they have replaced it."""
    made = branches("till-1", "till-2", "till-3")
    with made[0].edit() as inventory:
        inventory.set_rule("merge/price", "sum")
    sync(made)
    set_at_once(made, 12, 15)
    for branch, value in zip(made[:2], (17, 18), strict=True):
        with branch.edit() as inventory:
            the_only(inventory.conflicts()).resolve(value=value)
    sync(made)
    for branch in made:
        assert the_only(branch.look.conflicts()).base is None
        with branch.edit() as inventory:
            assert inventory.settle_conflicts() == []


def test_the_vault_tells_person_and_base_and_old_entries_can_still_be_read() -> None:
    one, two = branches("till-1", "till-2")
    set_at_once([one, two], 12, 15)
    tips = {sibling.value: sibling.tip for sibling in the_only(one.look.conflicts()).siblings}
    one.catalog.write(
        [
            Write("conflict", f"shirt/price|{tips[12]}", [12, "till-1", 5, "user:ann", [10]]),
            Write("conflict", f"shirt/price|{tips[15]}", [15, "till-2", 5]),
        ]
    )
    one.restart()
    siblings = {sibling.value: sibling for sibling in the_only(one.look.conflicts()).siblings}
    assert (siblings[12].person, siblings[12].base) == ("user:ann", (10,))
    assert (siblings[15].person, siblings[15].base) == (None, None)
    one.catalog.write([Write("conflict", f"shirt/price|{tips[15]}", [15, "till-2", 5, 7, "no list"])])
    siblings = {sibling.value: sibling for sibling in the_only(one.look.conflicts()).siblings}
    assert (siblings[15].person, siblings[15].base) == (None, None)
