"""Lenses: one field in two versions, case by case."""

from __future__ import annotations

import pytest

from crdt_sync.documents.lenses import Contested, Lens, LensedProducts, read_through
from crdt_sync.documents.roots import Value
from crdt_sync.errors import InvalidValue
from tests.unit.documents.replicas import Replica, shop


def cents(old: Value) -> Value:
    if isinstance(old, bool) or not isinstance(old, (int, float)):
        raise InvalidValue(f"price: {old!r} is no number")
    return round(old * 100)


PRICE = Lens("price", "price_c", 2, cents, lambda new: int(str(new)) / 100)


def products(replica: Replica) -> LensedProducts:
    return LensedProducts(replica.inventory, [PRICE])


def set_old(replica: Replica, value: object) -> None:
    with replica.edit() as docs:
        docs.inventory.set_attribute("shirt", "price", value)


def set_new(replica: Replica, value: object) -> None:
    with replica.edit() as docs:
        LensedProducts(docs.inventory, [PRICE]).set_attribute("shirt", "price_c", value)


def test_a_field_that_only_the_old_version_wrote_is_read_through_the_lens() -> None:
    replica = shop()
    assert products(replica).attribute("shirt", "price_c") is None
    set_old(replica, 12.5)
    assert products(replica).attribute("shirt", "price_c") == 1250
    assert products(replica).contested() == []


def test_a_write_of_the_new_version_is_read_by_both() -> None:
    replica = shop()
    set_new(replica, 1200)
    assert replica.inventory.product("shirt") == {"price": 12, "price_c": [1200, 12]}
    assert products(replica).attribute("shirt", "price_c") == 1200


def test_a_later_write_of_the_old_version_is_shown_and_contested() -> None:
    replica = shop()
    set_new(replica, 1200)
    set_old(replica, 15)
    assert products(replica).contested() == [Contested("shirt", "price_c", 1500, 1200)]
    assert products(replica).attribute("shirt", "price_c") == 1500
    set_new(replica, 1500)
    assert products(replica).contested() == []


def test_an_old_write_of_the_same_value_contests_nothing() -> None:
    replica = shop()
    set_new(replica, 1200)
    set_old(replica, 12.0)
    assert products(replica).contested() == []


def test_an_old_value_that_the_lens_can_not_read_is_kept_and_contested() -> None:
    replica = shop()
    set_new(replica, 1200)
    set_old(replica, "ask the boss")
    assert products(replica).contested() == [Contested("shirt", "price_c", 1200, "ask the boss")]


def test_cleared_by_either_version_it_is_cleared_or_contested() -> None:
    replica = shop()
    set_new(replica, 1200)
    set_new(replica, None)
    assert replica.inventory.product("shirt") == {"price_c": [None, None]}
    assert products(replica).attribute("shirt", "price_c") is None
    set_new(replica, 1200)
    set_old(replica, None)
    assert products(replica).contested() == [Contested("shirt", "price_c", None, 1200)]


def test_once_old_writers_are_asked_to_stay_away_their_field_is_left_alone() -> None:
    replica = shop()
    set_new(replica, 1200)
    replica.catalog.put("meta", "minWriter", 1)
    set_new(replica, 1300)
    assert replica.inventory.attribute("shirt", "price") == 13
    # This build is of version 1, so that a catalog which asks for 2 is looked at through what a later one would write.
    replica.catalog.put("attr", "shirt/price_c", [1400, 13.0])
    assert products(replica).contested() == []
    assert products(replica).attribute("shirt", "price_c") == 1400


def test_a_list_goes_through_whole_and_what_can_not_is_refused_before_anything_is_written() -> None:
    money = Lens("price", "money", 2, lambda old: [cents(old), "GBP"], lambda new: 2.55)
    replica = shop()
    with replica.edit() as docs:
        LensedProducts(docs.inventory, [money]).set_attribute("shirt", "money", [255, "GBP"])
    assert LensedProducts(replica.inventory, [money]).attribute("shirt", "money") == [255, "GBP"]
    with pytest.raises(InvalidValue), replica.edit() as docs:
        LensedProducts(docs.inventory, [money]).set_attribute("shirt", "money", [255])
    assert replica.inventory.attribute("shirt", "money") == [255, "GBP", 2.55]


def test_a_field_without_a_lens_is_as_in_the_inventory() -> None:
    replica = shop()
    with replica.edit() as docs:
        LensedProducts(docs.inventory, [PRICE]).set_attribute("shirt", "colour", "red")
    assert products(replica).attribute("shirt", "colour") == "red"
    assert replica.inventory.attribute("shirt", "colour") == "red"


@pytest.mark.parametrize("stored", ["1200", [1200], [], {"v": 1200}, 1200])
def test_a_new_field_of_a_foreign_layout_counts_as_not_written(stored: Value) -> None:
    assert read_through(PRICE, 12, stored) == (1200, None, False)
