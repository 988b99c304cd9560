"""Conflicts of attributes: what is listed, and how each is closed."""

from __future__ import annotations

import pytest
from pycrdt import Doc, Map

from crdt_sync.documents.catalog.arbitration import ConflictPolicy
from crdt_sync.documents.catalog.audit_trail import RESOLUTIONS
from crdt_sync.documents.catalog.registers import ACTIVE, DELETED
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import InvalidValue, UnknownProduct, UnknownSibling, VersionMismatch
from crdt_sync.replica import Write
from tests.unit.documents.branches import Branch, branches, sync, the_only, values
from tests.unit.documents.replicas import NOW_MS


def both_priced(first: object = 12, second: object = 15) -> list[Branch]:
    """Two branches that have set a price at once, and have then heard of each other."""
    made = branches("till-1", "till-2")
    for branch, price in zip(made, (first, second), strict=True):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", price)
    sync(made)
    return made


def test_two_prices_at_once_are_a_conflict_on_both_sides_with_writer_device_and_time() -> None:
    one, two = both_priced()
    for branch in (one, two):
        conflict = the_only(branch.look.conflicts())
        assert (conflict.product, conflict.location, conflict.field) == ("shirt", None, "price")
        assert conflict.kind == "concurrent_update"
        assert {(s.value, s.device, s.client) for s in conflict.siblings} == {
            (12, "till-1", one.catalog.client_id),
            (15, "till-2", two.catalog.client_id),
        }
        assert all(sibling.at_ms == NOW_MS for sibling in conflict.siblings)
        assert conflict.current == branch.look.attribute("shirt", "price")


def test_one_price_after_the_other_is_none() -> None:
    one, two = branches("till-1", "till-2")
    with one.edit() as inventory:
        inventory.set_attribute("shirt", "price", 12)
    two.pull(one)
    with two.edit() as inventory:
        inventory.set_attribute("shirt", "price", 15)
    one.pull(two)
    assert one.look.conflicts() == two.look.conflicts() == []


def test_equal_values_close_by_themselves() -> None:
    one, two = both_priced(12, 12)
    assert one.look.conflicts() == two.look.conflicts() == []


def test_equal_values_stay_closed_when_somebody_who_saw_them_writes_another_one() -> None:
    one, two = both_priced(12, 12)
    with one.edit() as inventory:
        inventory.set_attribute("shirt", "price", 15)
    sync([one, two])
    assert one.look.conflicts() == two.look.conflicts() == []
    assert one.look.attribute("shirt", "price") == two.look.attribute("shirt", "price") == 15
    with two.edit() as inventory:
        inventory.set_attribute("shirt", "price", 16)
    sync([one, two])
    assert one.look.conflicts() == two.look.conflicts() == []
    assert [trail.how for trail in one.look.resolutions()] == ["auto"]


def test_they_stay_closed_also_when_only_the_vault_remembers_what_lost() -> None:
    one, two = both_priced(12, 12)
    for branch in (one, two):
        branch.restart()
    with one.edit() as inventory:
        inventory.set_attribute("shirt", "price", 15)
    sync([one, two])
    assert one.look.conflicts() == two.look.conflicts() == []


@pytest.mark.parametrize(
    ("accept", "how", "outcome"), [("local", "local", 12), ("server", "server", None), ("tip", "merge", 15)]
)
def test_a_conflict_is_closed_by_accepting_a_side(accept: str, how: str, outcome: int | None) -> None:
    one, two = both_priced()
    with one.edit() as inventory:
        conflict = the_only(inventory.conflicts())
        tip = next(sibling.tip for sibling in conflict.siblings if sibling.value == 15)
        conflict.resolve(tip if accept == "tip" else accept)
        assert inventory.conflicts() == []
    two.pull(one)
    wanted = conflict.current if outcome is None else outcome
    for branch in (one, two):
        assert branch.look.conflicts() == []
        assert branch.look.attribute("shirt", "price") == wanted
        (resolution,) = branch.look.resolutions()
        assert (resolution.how, resolution.value, resolution.device) == (how, wanted, "till-1")
        assert sorted(sibling.value for sibling in resolution.siblings) == [12, 15]  # type: ignore[type-var]


def test_a_conflict_is_closed_by_a_third_value_or_a_merge_function() -> None:
    for given, outcome in (({"value": 13}, 13), ({"merge": "max"}, 15), ({"merge": "sum", "base": 10}, 17)):
        one, two = both_priced()
        with one.edit() as inventory:
            the_only(inventory.conflicts()).resolve(**given)
        two.pull(one)
        assert two.look.conflicts() == []
        assert two.look.attribute("shirt", "price") == outcome


def test_a_resolution_is_part_of_the_document_and_outlives_every_process() -> None:
    one, two = both_priced()
    one.restart()
    assert values(the_only(one.look.conflicts())) == [12, 15]
    with one.edit() as inventory:
        the_only(inventory.conflicts()).resolve(value=13)
    one.restart()
    two.pull(one)
    two.restart()
    for branch in (one, two):
        assert branch.look.conflicts() == []
        (resolution,) = branch.look.resolutions()
        assert sorted(sibling.value for sibling in resolution.siblings) == [12, 15]  # type: ignore[type-var]


def test_a_plain_overwrite_does_not_close_a_conflict_and_a_write_that_nobody_listed_opens_it_again() -> None:
    one, two = both_priced()
    with one.edit() as inventory:
        inventory.set_attribute("shirt", "price", 20)
    assert len(the_only(one.look.conflicts()).siblings) == 2
    with two.edit() as inventory:
        the_only(inventory.conflicts()).resolve(value=13)
    sync([one, two])
    assert values(the_only(one.look.conflicts())) == [13, 20]


def test_a_resolution_that_names_what_does_not_stand_there_is_refused_before_anything_is_written() -> None:
    one, _ = both_priced()
    with one.edit() as inventory:
        conflict = the_only(inventory.conflicts())
        with pytest.raises(UnknownSibling):
            conflict.resolve("7.7")
        with pytest.raises(InvalidValue):
            conflict.resolve()
        with pytest.raises(InvalidValue):
            conflict.resolve("local", value=3)
        with pytest.raises(InvalidValue):
            conflict.resolve(merge="average")
        with pytest.raises(InvalidValue):
            conflict.resolve(value=float("nan"))
    assert one.catalog.entries(RESOLUTIONS) == {}


def test_a_conflict_of_another_catalog_is_refused() -> None:
    one, _ = both_priced()
    stranger, _ = both_priced()
    foreign = the_only(stranger.look.conflicts())
    with one.edit() as inventory:
        mine = the_only(inventory.conflicts())
        with pytest.raises(UnknownSibling):
            mine._resolver(foreign, None, 3, None, None)


def test_resolving_twice_in_one_edit_writes_once() -> None:
    one, _ = both_priced()
    with one.edit() as inventory:
        conflict = the_only(inventory.conflicts())
        conflict.resolve(value=13)
        conflict.resolve(value=13)
    assert len(one.look.resolutions()) == 1


def test_a_resolution_that_a_page_wrote_wrong_is_kept_and_reported() -> None:
    one, _ = both_priced()
    one.catalog.write(
        [
            Write(RESOLUTIONS, "shirt/price|x.1", {"tips": ["7.7"], "how": "local", "v": 1, "by": "page", "t": 1}),
            Write(RESOLUTIONS, "shirt/price|x.2", {"how": "local"}),
            Write(RESOLUTIONS, "no key|x.3", "?"),
            Write(RESOLUTIONS, "shirt/price|x.4", {"tips": ["7.7"]}),
        ]
    )
    assert [fault.key for fault in one.look.faults() if fault.root == RESOLUTIONS] == [
        "no key|x.3",
        "shirt/price|x.1",
        "shirt/price|x.2",
        "shirt/price|x.4",
    ]
    assert values(the_only(one.look.conflicts())) == [12, 15]
    assert [resolution.mid for resolution in one.look.resolutions()] == ["x.1"]


def test_a_field_cleared_while_another_sets_it_is_an_update_against_a_delete() -> None:
    one, two = both_priced(None, 15)
    conflict = the_only(two.look.conflicts())
    assert conflict.kind == "update_delete"
    assert values(conflict) == [15, None]
    assert one.look.conflicts() == two.look.conflicts()


def test_a_key_that_a_page_deleted_after_a_conflict_shows_as_deleted() -> None:
    one, _ = both_priced()
    page: Doc[Map] = Doc()
    page.apply_update(one.catalog.snapshot())
    del page.get(ATTRIBUTES, type=Map)["shirt/price"]
    one.hear(page.get_update())
    conflict = the_only(one.look.conflicts())
    assert (conflict.kind, conflict.current) == ("update_delete", None)
    assert values(conflict) == [12, 15]


def test_a_write_on_the_grounds_of_an_old_version_is_refused_or_kept_as_a_claim() -> None:
    one, two = branches("till-1", "till-2")
    seen = one.look.version("shirt", "price")
    with one.edit() as inventory:
        inventory.set_attribute("shirt", "price", 11, seen=seen)
    with one.edit() as inventory:
        with pytest.raises(VersionMismatch) as refused:
            inventory.set_attribute("shirt", "price", 99, seen=seen)
        assert (refused.value.seen, refused.value.actual) == (seen, one.look.version("shirt", "price"))
        inventory.set_attribute("shirt", "price", 99, seen=seen, keep_stale=True)
    two.pull(one)
    conflict = the_only(two.look.conflicts())
    assert (conflict.kind, conflict.current, values(conflict)) == ("version_mismatch", 11, [11, 99])
    with two.edit() as inventory:
        claim = next(sibling for sibling in the_only(inventory.conflicts()).siblings if sibling.value == 99)
        assert claim.device == "till-1"
        the_only(inventory.conflicts()).resolve(claim.tip)
    one.pull(two)
    assert one.look.conflicts() == []
    assert one.look.attribute("shirt", "price") == 99


def test_rules_resolve_without_asking_and_two_peers_that_do_so_at_once_agree() -> None:
    policy = ConflictPolicy(rules={"price": "min"})
    one, two = Branch("till-1", policy), Branch("till-2", policy)
    with one.edit() as inventory:
        inventory.add_product("shirt", price=10, name="Shirt")
    two.pull(one)
    for branch, price in ((one, 12), (two, 15)):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", price)
            inventory.set_attribute("shirt", "name", branch.rid)
    sync([one, two])
    for branch in (one, two):
        with branch.edit() as inventory:
            assert [conflict.field for conflict in inventory.settle_conflicts()] == ["price"]
    sync([one, two])
    for branch in (one, two):
        assert the_only(branch.look.conflicts()).field == "name"
        assert branch.look.attribute("shirt", "price") == 12
        assert [resolution.how for resolution in branch.look.resolutions()] == ["auto", "auto"]


def test_a_rule_that_can_not_merge_leaves_the_conflict_open() -> None:
    one, two = both_priced("a", 15)
    ruled = Branch("till-3", ConflictPolicy(rules={"price": "max"}))
    ruled.pull(one)
    with ruled.edit() as inventory:
        assert inventory.settle_conflicts() == []
        assert len(inventory.conflicts()) == 1
    assert two.look.conflicts() == one.look.conflicts()
    with pytest.raises(InvalidValue):
        ConflictPolicy(rules={"price": "average"})


def test_a_value_that_was_lost_before_anybody_looked_is_an_open_conflict_without_it() -> None:
    one, two = branches("till-1", "till-2", keeps_lost=False)
    for branch, price in ((one, 12), (two, 15)):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", price)
    sync([one, two])
    one.restart()
    conflict = the_only(one.look.conflicts())
    assert sorted(sibling.is_known for sibling in conflict.siblings) == [False, True]
    with one.edit() as inventory:
        with pytest.raises(InvalidValue):
            the_only(inventory.conflicts()).resolve(merge="max")
        the_only(inventory.conflicts()).resolve("server")
    assert one.look.conflicts() == []


def test_a_deleted_product_is_gone_and_stays_gone_when_nobody_wrote_beside_it() -> None:
    one, two = branches("till-1", "till-2")
    with one.edit() as inventory:
        inventory.receive("shirt", 3, at="A")
        inventory.sell("shirt", 3, at="A")
    with one.edit() as inventory:
        inventory.delete_product("shirt")
    two.pull(one)
    for branch in (one, two):
        assert branch.look.products() == {}
        assert branch.look.conflicts() == []
        assert branch.look.faults() == []
        with branch.edit() as inventory, pytest.raises(UnknownProduct):
            inventory.sell("shirt", 1, at="A")
    with two.edit() as inventory:
        inventory.add_product("shirt", price=11)
    assert two.look.products() == {"shirt": {"price": 11}}


@pytest.mark.parametrize("beside", ["an attribute", "a movement"])
@pytest.mark.parametrize("verdict", [ACTIVE, DELETED])
def test_what_was_written_beside_a_deletion_brings_the_product_back_as_a_conflict(beside: str, verdict: str) -> None:
    one, two = branches("till-1", "till-2")
    with one.edit() as inventory:
        inventory.delete_product("shirt")
    with two.edit() as inventory:
        if beside == "an attribute":
            inventory.set_attribute("shirt", "price", 15)
        else:
            inventory.receive("shirt", 3, at="A")
    sync([one, two])
    for branch in (one, two):
        conflict = the_only(branch.look.conflicts())
        assert (conflict.product, conflict.field, conflict.kind) == ("shirt", "$life", "update_delete")
        assert "shirt" in branch.look.products()
    with two.edit() as inventory:
        the_only(inventory.conflicts()).resolve(value=verdict)
    one.pull(two)
    for branch in (one, two):
        assert branch.look.conflicts() == []
        assert ("shirt" in branch.look.products()) is (verdict == ACTIVE)


def test_a_double_deletion_is_none() -> None:
    made = branches("till-1", "till-2")
    for branch in made:
        with branch.edit() as inventory:
            inventory.delete_product("shirt")
    sync(made)
    for branch in made:
        assert branch.look.products() == {}
        assert branch.look.conflicts() == []
