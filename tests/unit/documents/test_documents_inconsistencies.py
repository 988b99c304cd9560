"""What merges break in the stock: listed with its evidence, acknowledged for just that, and put on record once."""

from __future__ import annotations

import pytest

from crdt_sync.documents.catalog.conflicts import Conflict
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.stock.stock_index import StockIndex
from crdt_sync.errors import InvalidValue, PeriodsMissing
from crdt_sync.replica import Write
from tests.unit.documents.branches import Branch, branches, sync, the_only
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica, shop

STAMP = 889_500_467_200_000


def both_sold(one_sells: int = 6, two_sells: int = 6) -> list[Branch]:
    """Two branches sell from ten pieces without hearing of each other."""
    made = branches("till-1", "till-2")
    with made[0].edit() as inventory:
        inventory.receive("shirt", 10, at="A")
    sync(made)
    # A peer takes over the stamps of what it merges.
    made[1].clock.receive(made[0].clock.latest, NOW_MS)
    for branch, units in zip(made, (one_sells, two_sells), strict=True):
        with branch.edit() as inventory:
            inventory.sell("shirt", units, at="A")
    sync(made)
    return made


def sorts(inventory: InventoryDocument) -> dict[str, str]:
    return {conflict.field: conflict.key for conflict in inventory.conflicts()}


def test_an_oversell_is_listed_on_both_sides_with_its_movement_and_a_sentence() -> None:
    made = both_sold()
    first, second = (the_only(branch.look.conflicts()) for branch in made)
    assert first == second
    (oversold,) = made[0].look.oversold()
    assert (first.kind, first.product, first.location, first.field) == ("data_inconsistency", "shirt", "A", "oversold")
    assert first.key == f"oversold/shirt/A/{oversold.mid}"
    assert (first.current, first.evidence, first.siblings) == (-2, (oversold.mid, "=-2"), ())
    assert "'shirt'" in first.sentence
    assert "-2" in first.sentence


def test_what_is_acknowledged_stays_closed_for_everybody_and_is_in_the_trail() -> None:
    one, two = both_sold()
    with one.edit() as inventory:
        conflict = the_only(inventory.conflicts())
        conflict.acknowledge()
        assert inventory.conflicts() == []
        conflict.acknowledge()
    sync([one, two])
    one.restart()
    for branch in (one, two):
        assert branch.look.conflicts() == []
        assert len(branch.look.inconsistencies()) == 1
        (resolution,) = branch.look.resolutions()
        assert (resolution.key, resolution.field, resolution.how) == (conflict.key, "oversold", "server")
        assert (resolution.product, resolution.location, resolution.device) == ("shirt", "A", "till-1")
        assert (resolution.value, resolution.evidence, resolution.siblings) == (-2, conflict.evidence, ())
        assert branch.look.faults() == []


def test_it_is_open_again_when_the_evidence_changes() -> None:
    one, two = both_sold()
    with one.edit() as inventory:
        the_only(inventory.conflicts()).acknowledge()
    # A loss from before the sales comes in late: the same sale now takes one more that was not there.
    received = next(two.look.movements()).stamp
    two.movements.write([Write("mv", "zzz.0", ["adj", "shirt", "A", -1, "till-9", received])])
    sync([one, two])
    for branch in (one, two):
        assert "=-3" in the_only(branch.look.conflicts()).evidence


def test_it_is_gone_when_the_goods_turn_out_to_have_been_there() -> None:
    one, two = both_sold()
    two.movements.write([Write("mv", "zz.0", ["rcv", "shirt", "A", 2, "till-9", STAMP])])
    sync([one, two])
    assert one.look.conflicts() == two.look.conflicts() == []


@pytest.mark.parametrize("given", [{"accept": "local"}, {"value": 3}, {"accept": "server", "value": 3}, {}])
def test_an_inconsistency_can_only_be_acknowledged(given: dict[str, object]) -> None:
    one, _ = both_sold()
    with one.edit() as inventory, pytest.raises(InvalidValue):
        the_only(inventory.conflicts()).resolve(**given)  # type: ignore[arg-type]
    assert one.look.resolutions() == []


def test_each_sort_of_inconsistency_is_found() -> None:
    made = both_sold()
    with made[0].edit() as inventory:
        inventory.set_attribute("shirt", "escrow", "refuse")
    page = made[0].movements
    page.write(
        [
            Write("mv", "zz.0", ["rcv", "sock", "A", 3, "page", STAMP]),
            Write("mv", "zz.1", ["cnt", "shirt", "A", 1, "page", STAMP + 1, None, {"counted": 1, "prev": None}]),
            Write("mv", "zz.2", ["cnt", "shirt", "A", 2, "page", STAMP + 2, None, {"counted": 2, "prev": None}]),
            Write("mv", "zz.3", ["sale", "shirt", "A", 1, "page", STAMP + 3]),
            Write("orig", "zz.3", ["sale", "shirt", "A", 1, "page", STAMP + 3]),
        ]
    )
    found = sorts(made[0].look)
    assert found.keys() == {"oversold", "orphan", "counts", "overdrawn", "changed"}
    assert found["orphan"] == "orphan/sock/A/"
    assert found["counts"] == "counts/shirt/A/zz.1"
    assert found["changed"] == "changed/shirt/A/zz.3"
    assert {conflict.field for conflict in made[0].look.conflicts(product="sock")} == {"orphan"}
    assert {conflict.field for conflict in made[0].look.conflicts(product="shirt")} == found.keys() - {"orphan"}
    assert made[0].look.conflicts(product="hat") == []
    assert made[0].look.conflicts(location="B") == []
    for conflict in list(made[0].look.conflicts()):
        with made[0].edit() as inventory:
            next(c for c in inventory.conflicts() if c.key == conflict.key).acknowledge()
    assert made[0].look.conflicts() == []


def test_fields_are_filtered_by_product_and_location_too() -> None:
    made = branches("till-1", "till-2", prices={"shirt": 1, "sock": 2})
    for branch, value in zip(made, (5, 6), strict=True):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", value)
            inventory.set_attribute("sock", "price", value)
            inventory.set_location_attribute("A", "name", value)
    sync(made)

    def keys(found: list[Conflict]) -> list[str]:
        return [conflict.key for conflict in found]

    look = made[0].look
    assert keys(look.conflicts()) == ["@A/name", "shirt/price", "sock/price"]
    assert keys(look.conflicts(product="sock")) == ["sock/price"]
    assert keys(look.conflicts(location="A")) == ["@A/name"]


def test_an_edit_that_sees_only_some_of_the_periods_lists_no_inconsistencies() -> None:
    one = shop()
    with one.edit() as docs:
        docs.inventory.sell("shirt", 1, at="A")
    assert [conflict.field for conflict in one.inventory.conflicts()] == ["oversold"]
    one.catalog.put("periods", "2026-10", 1)
    assert one.inventory.conflicts() == []
    with pytest.raises(PeriodsMissing):
        one.inventory.inconsistencies()


def test_a_movement_that_came_after_its_period_was_closed_is_listed_until_it_has_moved_on() -> None:
    one = shop()
    with one.edit() as docs:
        docs.inventory.receive("shirt", 5, at="A")
    with one.edit() as docs:
        docs.inventory.books.close()
    one.movements.put("mv", "zz.0", ["sale", "shirt", "A", 1, "page", STAMP + 9])
    assert sorts(one.inventory) == {"late": "late/shirt/A/zz.0"}
    one.history, one.movements, one.period = {one.period: one.movements}, DocRoots(), "2026-12"
    with one.edit() as docs:
        docs.inventory.books.rehome()
    assert one.inventory.conflicts() == []
    assert one.inventory.stock("shirt", "A") == 4


def noted(replica: Replica) -> list[tuple[str, bool]]:
    with replica.edit() as docs:
        docs.inventory.note_incidents()
    return [(incident.key, incident.dissolved is not None) for incident in replica.inventory.incidents()]


def test_an_incident_is_put_on_record_once_and_gets_its_stamp_when_it_dissolves() -> None:
    one = shop()
    with one.edit() as docs:
        sale = docs.inventory.sell("shirt", 2, at="A")
    key = f"oversold/shirt/A/{sale}"
    assert noted(one) == [(key, False)]
    before = one.catalog.entries("incident")
    assert noted(one) == [(key, False)]
    assert one.catalog.entries("incident") == before
    (incident,) = one.inventory.incidents()
    assert (incident.sort, incident.sku, incident.location, incident.about) == ("oversold", "shirt", "A", sale)
    assert (incident.units, incident.movements) == (-2, (sale,))
    one.movements.put("mv", "zz.0", ["rcv", "shirt", "A", 1, "page", STAMP - 1])
    one.movements.put("mv", "zz.1", ["sale", "shirt", "A", 2, "page", STAMP - 1])
    # The late sale crosses zero now, and the one that did so before does not any more.
    assert noted(one) == [(key, True), ("oversold/shirt/A/zz.1", False)]
    one.movements.put("mv", "zz.2", ["rcv", "shirt", "A", 9, "page", STAMP - 2])
    assert noted(one) == [(key, True), ("oversold/shirt/A/zz.1", True)]
    assert one.inventory.faults() == []


def test_incidents_that_a_page_made_up_are_reported_and_left_alone() -> None:
    one = shop()
    for key, entry in {"oversold/shirt/A": [1, {}], "oversold/shirt/A/x.1": 3, "odd/a/b/c": [STAMP, {}]}.items():
        one.catalog.put("incident", key, entry)  # type: ignore[arg-type]
    assert noted(one) == []
    assert {fault.key for fault in one.inventory.faults()} == set(one.catalog.entries("incident"))


def test_a_second_booking_that_does_not_count_may_still_dissolve_an_oversell_that_was_looked_at_before() -> None:
    index = StockIndex().add(
        {
            "a.0": ["rcv", "shirt", "B", 5, "x", 1],
            "a.1": ["ship", "shirt", "B", 5, "x", 2, None, {"to": "A"}],
            "a.2": ["recv", "shirt", "A", 5, "x", 9, "a.1"],
            "a.3": ["sale", "shirt", "A", 5, "y", 5],
        }
    )
    assert [found.mid for found in index.oversold(("shirt", "A"))] == ["a.3"]
    index.add({"b.0": ["recv", "shirt", "A", 5, "y", 3, "a.1"]})
    assert index.oversold(("shirt", "A")) == []


def test_movements_under_names_that_make_no_key_hide_nothing_and_stop_nobody() -> None:
    made = branches("till-1")
    (one,) = made
    with one.edit() as inventory:
        inventory.set_location_attribute("A", "escrow", "refuse")
        inventory.set_rule("rights/lapse", 1)
        inventory.receive("shirt", 3, at="A")
    rows = {
        "abc.0": ["rcv", "", "A", 3, "web", STAMP],
        "abc.1": ["rcv", "x" * 300, "", 3, "web", STAMP],
        "abc.2": ["want", "", "", 3, "web", STAMP],
        "abc.3": ["want", "shirt", "A", 1, "web", STAMP],
        "abc.4": ["sale", "shirt", "A", 4, "", STAMP],
    }
    one.movements.write([Write("mv", mid, row) for mid, row in rows.items()])
    with one.edit() as inventory:
        assert set(sorts(inventory)) == {"orphan", "oversold", "overdrawn"}
        assert {incident.sku for incident in inventory.note_incidents()} == {"", "x" * 300, "shirt"}
        assert inventory.reclaim_lapsed() == inventory.reclaim_unassigned() == []
        assert len(inventory.answer_requests()) == 1
    with one.edit() as inventory:
        for conflict in inventory.conflicts():
            conflict.acknowledge()
    assert (one.look.conflicts(), one.look.faults()) == ([], [])
    assert one.look.note_incidents() == []
