"""The typed faces of products and locations, and money."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crdt_sync.documents.catalog.money import Money
from crdt_sync.documents.faces import Product
from crdt_sync.documents.roots import Value
from crdt_sync.documents.stock.escrow import Policy
from crdt_sync.errors import CurrencyMismatch, InvalidField, InvalidName, InvalidValue, UnknownLocation, UnknownProduct
from tests.unit.documents.replicas import Replica, shop


class CountingReplica:
    """Counts full reads of a document."""

    def __init__(self, replica: Replica) -> None:
        self.full_reads = 0
        roots = replica.catalog
        entries = roots.entries

        def counted(root: str) -> object:
            self.full_reads += 1
            return entries(root)

        roots.entries = counted  # type: ignore[method-assign,assignment]


def test_the_example_of_the_issue_sets_a_price() -> None:
    replica = shop(products=("85123A",))
    with replica.edit() as docs:
        docs.inventory.product("85123A").price = Money(255, "GBP")
    assert replica.inventory.product("85123A").price == Money(255, "GBP")
    assert replica.inventory.product("85123A") == {"price": [255, "GBP"]}
    assert replica.inventory.attribute("85123A", "price") == [255, "GBP"]


def test_well_known_fields_are_read_as_they_were_set_and_cleared_by_none() -> None:
    replica = shop()
    with replica.edit() as docs:
        shirt = docs.inventory.product("shirt")
        shirt.name, shirt.cost, shirt.barcode = "Shirt", Money(100, "EUR"), "4006381333931"
        shirt.unit, shirt.reorder_level, shirt.escrow = "piece", 0, Policy.REFUSE
        docs.inventory.location("A").name = "Aisle"
        docs.inventory.location("A").escrow = Policy.ALLOW
    shirt = replica.inventory.product("shirt")
    assert (shirt.name, shirt.cost, shirt.barcode) == ("Shirt", Money(100, "EUR"), "4006381333931")
    assert (shirt.unit, shirt.reorder_level, shirt.escrow) == ("piece", 0, Policy.REFUSE)
    assert replica.inventory.policy("shirt", "A") is Policy.REFUSE
    assert (replica.inventory.location("A").name, replica.inventory.location("A").escrow) == ("Aisle", Policy.ALLOW)
    with replica.edit() as docs:
        docs.inventory.product("shirt").cost = None
    assert replica.inventory.product("shirt").cost is None


@pytest.mark.parametrize(
    ("act", "field", "value"),
    [
        (lambda shirt: setattr(shirt, "price", 255), "price", 255),
        (lambda shirt: setattr(shirt, "price", Money(-1, "GBP")), "price", [-1, "GBP"]),
        (lambda shirt: setattr(shirt, "name", ""), "name", ""),
        (lambda shirt: setattr(shirt, "name", 7), "name", 7),
        (lambda shirt: setattr(shirt, "barcode", "9" * 501), "barcode", "9" * 501),
        (lambda shirt: setattr(shirt, "reorder_level", -1), "reorder_level", -1),
        (lambda shirt: setattr(shirt, "reorder_level", 1.0), "reorder_level", 1.0),
        (lambda shirt: setattr(shirt, "reorder_level", True), "reorder_level", True),
        (lambda shirt: setattr(shirt, "escrow", "maybe"), "escrow", "maybe"),
    ],
)
def test_a_field_refuses_what_it_is_not_for_and_says_what_it_takes(
    act: Callable[[Product], None], field: str, value: object
) -> None:
    replica = shop()
    with replica.edit() as docs:
        with pytest.raises(InvalidField) as refused:
            act(docs.inventory.product("shirt"))
        assert (refused.value.field, refused.value.value) == (field, value)
        assert refused.value.expected in str(refused.value)
    assert replica.inventory.product("shirt") == {}


@pytest.mark.parametrize("stored", [255, [255], ["GBP", 255], [255, "pounds"], [2.5, "GBP"], "2.55 GBP", True])
def test_what_a_page_wrote_for_a_price_is_no_money_but_can_be_read(stored: Value) -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.product("shirt")["price"] = stored
    shirt = replica.inventory.product("shirt")
    with pytest.raises(InvalidField):
        _ = shirt.price
    assert shirt["price"] == stored


def test_a_face_is_a_mapping_of_its_attributes() -> None:
    replica = shop(products=("shirt", "shirt/long", "shirts"))
    with replica.edit() as docs:
        shirt = docs.inventory.product("shirt")
        shirt["colour"], shirt["sizes of it"] = "red", ("S", "M")
        shirt["gone"] = 1
        del shirt["gone"]
        docs.inventory.product("shirt/long")["colour"] = "blue"
        docs.inventory.product("shirts")["colour"] = "green"
        # Within the edit it shows what was staged.
        assert shirt["colour"] == "red"
    shirt = replica.inventory.product("shirt")
    assert shirt == {"colour": "red", "sizes of it": ["S", "M"]}
    assert shirt == replica.inventory.products()["shirt"]
    assert shirt != {"colour": "red"}
    assert sorted(shirt) == ["colour", "sizes of it"]
    assert len(shirt) == 2
    assert shirt.get("gone", "none") == "none"
    assert "gone" not in shirt
    with pytest.raises(KeyError):
        _ = shirt["gone"]
    with pytest.raises(InvalidName):
        shirt["$life"] = "active"
    with pytest.raises(AttributeError):
        shirt.prise = Money(1, "GBP")  # type: ignore[attr-defined]


def test_one_field_is_read_and_set_without_reading_the_whole_catalog() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.product("shirt").name = "Shirt"
    counting = CountingReplica(replica)
    with replica.edit() as docs:
        shirt = docs.inventory.product("shirt")
        assert shirt.name == "Shirt"
        shirt.name = "A shirt"
        assert shirt == {"name": "A shirt"}
        assert docs.inventory.location("A") == {}
    assert counting.full_reads == 0


def test_a_face_tells_stock_version_and_deletes() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 3, at="A")
        assert docs.inventory.product("shirt").stock(at="A") == 3
        assert docs.inventory.location("A").stock("shirt") == 3
        assert docs.inventory.product("shirt").conflicts() == docs.inventory.location("A").conflicts() == []
        assert docs.inventory.product("shirt").version("name") == docs.inventory.version("shirt", "name")
    with replica.edit() as docs:
        shirt = docs.inventory.product("shirt")
        shirt.delete()
        with pytest.raises(UnknownProduct):
            _ = shirt.name
    with pytest.raises(UnknownProduct):
        replica.inventory.product("shirt")
    with pytest.raises(UnknownLocation):
        replica.inventory.location("shirt")


def test_money_goes_wherever_a_value_goes() -> None:
    replica = shop(products=())
    with replica.edit() as docs:
        docs.inventory.add_product("tea", price=Money(450, "GBP"))
        docs.inventory.add_product("tea", price=Money(450, "GBP"))
        docs.inventory.set_attribute("tea", "cost", Money(100, "GBP"))
    assert replica.inventory.product("tea") == {"price": [450, "GBP"], "cost": [100, "GBP"]}


def test_money_adds_up_and_compares_within_one_currency() -> None:
    two, three = Money(200, "GBP"), Money(300, "GBP")
    assert (two + three, three - two, two * 3, 3 * two, -two) == (
        Money(500, "GBP"),
        Money(100, "GBP"),
        Money(600, "GBP"),
        Money(600, "GBP"),
        Money(-200, "GBP"),
    )
    assert two < three
    assert three >= two
    assert max(two, three) == three
    assert two != Money(200, "EUR")
    for act in (lambda: two + Money(1, "EUR"), lambda: two - Money(1, "EUR"), lambda: two < Money(1, "EUR")):
        with pytest.raises(CurrencyMismatch) as refused:
            act()
        assert (refused.value.one, refused.value.other) == ("GBP", "EUR")
    for nonsense in (lambda: two + 1, lambda: two * 0.5, lambda: two < 3):  # type: ignore[operator]
        with pytest.raises(TypeError):
            nonsense()


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(255, "GBP"), "2.55 GBP"),
        (Money(5, "GBP"), "0.05 GBP"),
        (Money(-5, "GBP"), "-0.05 GBP"),
        (Money(0, "EUR"), "0.00 EUR"),
        (Money(255, "JPY"), "255 JPY"),
        (Money(1, "KWD"), "0.001 KWD"),
        (Money(123456, "CLF"), "12.3456 CLF"),
    ],
)
def test_money_is_shown_with_the_decimals_of_its_currency(money: Money, text: str) -> None:
    assert str(money) == text


@pytest.mark.parametrize(
    ("minor", "currency"),
    [(2.55, "GBP"), (True, "GBP"), (2**53, "GBP"), (1, "gbp"), (1, "POUND"), (1, "GB"), (1, "ÄÖÜ"), (1, None)],
)
def test_what_is_no_money_is_refused(minor: object, currency: object) -> None:
    with pytest.raises(InvalidField) as refused:
        Money(minor, currency)  # type: ignore[arg-type]
    assert isinstance(refused.value, InvalidValue)
    assert Money(2**53 - 1, "GBP").minor == 2**53 - 1
    with pytest.raises(InvalidField):
        Money(2**53 - 1, "GBP") + Money(1, "GBP")
