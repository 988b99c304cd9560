"""Products and locations, and the values that their attributes may hold."""

import pytest

from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import Fault
from crdt_sync.errors import (
    AlreadyExists,
    InvalidName,
    InvalidValue,
    SchemaTooNew,
    UnknownLocation,
    UnknownProduct,
)
from tests.unit.documents.replicas import DocRoots, Replica, shop


def test_a_product_keeps_its_attributes() -> None:
    replica = shop(products=())
    with replica.edit() as docs:
        docs.inventory.add_product("shirt", name="Shirt", price=1250, weight=0.25, sold=True, tags=("a", 1, None))
        docs.inventory.set_attribute("shirt", "country of origin", "Türkei")
        docs.inventory.set_location_attribute("A", "floor", 2)
    assert replica.inventory.product("shirt") == {
        "name": "Shirt",
        "price": 1250,
        "weight": 0.25,
        "sold": True,
        "tags": ["a", 1, None],
        "country of origin": "Türkei",
    }
    assert replica.inventory.locations() == {"A": {"floor": 2}, "B": {}}
    assert type(replica.inventory.product("shirt")["price"]) is int
    assert type(replica.inventory.attribute("shirt", "price")) is int


def test_none_clears_an_attribute() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.set_attribute("shirt", "price", 1250)
    with replica.edit() as docs:
        docs.inventory.set_attribute("shirt", "price", None)
    assert replica.inventory.product("shirt") == {}
    assert replica.inventory.attribute("shirt", "price") is None


def test_adding_the_same_again_writes_nothing_and_adding_another_is_refused() -> None:
    replica = shop(products=())
    with replica.edit() as docs:
        docs.inventory.add_product("shirt", price=1250, sold=True)
    before = replica.catalog.doc.get_update()
    with replica.edit() as docs:
        docs.inventory.add_product("shirt", price=1250.0)
        docs.inventory.add_location("A")
    assert replica.catalog.doc.get_update() == before
    for other in ({"price": 1300}, {"sold": 1}, {"size": "L"}):
        with pytest.raises(AlreadyExists), replica.edit() as docs:
            docs.inventory.add_product("shirt", **other)


def test_composed_and_decomposed_accents_are_one_product() -> None:
    replica = shop(products=("caf\u00e9",), places=("K\u00f6ln",))
    with replica.edit() as docs:
        docs.inventory.receive("cafe\u0301", 3, at="Ko\u0308ln")
    assert replica.inventory.stock("caf\u00e9", "K\u00f6ln") == replica.inventory.stock("cafe\u0301", "Ko\u0308ln") == 3


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        float("nan"),
        float("inf"),
        "\ud800",
        b"x",
        {"a": 1},
        [[1]],
        [2**53],
        object(),
        {1},
        "x" * 70_000,
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:12]}".split(" object")[0],
)
def test_a_value_that_not_every_peer_reads_back_is_refused(value: object) -> None:
    replica = shop()
    before = replica.catalog.doc.get_update()
    with pytest.raises(InvalidValue), replica.edit() as docs:
        docs.inventory.set_attribute("shirt", "price", value)
    with pytest.raises(InvalidValue), replica.edit() as docs:
        docs.inventory.add_product("sock", price=value)
    assert replica.catalog.doc.get_update() == before


@pytest.mark.parametrize("field", ["", "$life", "$x", "\udfff", "x" * 200])
def test_a_field_that_no_key_can_hold_is_refused(field: str) -> None:
    replica = shop()
    with pytest.raises(InvalidName), replica.edit() as docs:
        docs.inventory.set_attribute("shirt", field, 1)


def test_what_the_catalog_does_not_have_is_refused() -> None:
    replica = shop()
    with pytest.raises(UnknownProduct, match="hat"), replica.edit() as docs:
        docs.inventory.set_attribute("hat", "price", 1)
    with pytest.raises(UnknownLocation, match="C"), replica.edit() as docs:
        docs.inventory.set_location_attribute("C", "floor", 1)
    with pytest.raises(UnknownProduct):
        replica.inventory.product("hat")


def test_a_list_that_changes_after_it_was_given_does_not_change_the_edit() -> None:
    replica, tags = shop(), ["a"]
    with replica.edit() as docs:
        docs.inventory.set_attribute("shirt", "tags", tags)
        tags.append("\ud800")
    assert replica.inventory.product("shirt") == {"tags": ["a"]}


@pytest.mark.parametrize("field", ["minWriter", "minReader"])
def test_a_catalog_of_a_later_version_is_read_but_not_written(field: str) -> None:
    replica = shop()
    replica.catalog.put("meta", field, 2)
    with pytest.raises(SchemaTooNew), replica.edit() as docs:
        docs.inventory.set_attribute("shirt", "price", 1)
    assert replica.inventory.products() == {"shirt": {}}


def test_what_a_foreign_page_wrote_wrong_is_skipped_and_reported() -> None:
    catalog = DocRoots()
    catalog.put("meta", "minWriter", "two")
    foreign: dict[str, Value] = {
        "shirt/$life": "active",
        "shirt/price": {"cents": 5},
        "shirt/size": [["L"]],
        "shirt/e%CC%81": 1,
        "shirt/%24life": "gone",
        "no slash": 1,
        "two%20/sla/shes": 1,
        "hat/price": 7,
        "sock/$life": {"s": "deleted"},
        "sock/price": 7,
    }
    for key, value in foreign.items():
        catalog.put("attr", key, value)
    replica = Replica(catalog=catalog)
    assert replica.inventory.products() == {"shirt": {}}
    faults = replica.inventory.faults()
    assert {fault.key for fault in faults} == {*foreign, "minWriter"} - {"shirt/$life", "sock/price"}
    assert Fault("attr", "hat/price", "belongs to nothing: it has no $life entry") in faults
    with pytest.raises(InvalidValue):
        replica.inventory.attribute("shirt", "price")


def test_a_period_that_no_calendar_has_hides_none_of_the_others() -> None:
    replica = shop()
    for key in ("2026-12", "2026-13", "soon", "2026-11-20"):
        replica.catalog.put("periods", key, 1)
    assert replica.inventory.periods() == ["2026-11-20", "2026-12"]
    assert [fault.key for fault in replica.inventory.faults()] == ["2026-13", "soon"]


def test_adding_a_product_that_a_foreign_page_filled_with_the_unreadable_is_refused() -> None:
    replica = shop()
    replica.catalog.put("attr", "shirt/price", {"cents": 5})
    with pytest.raises(AlreadyExists), replica.edit() as docs:
        docs.inventory.add_product("shirt", price=5)
