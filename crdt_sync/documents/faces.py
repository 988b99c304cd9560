"""One product, one location: their well-known fields as typed properties, any other field by its name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar, overload

from crdt_sync.documents.catalog.conflicts import Conflict
from crdt_sync.documents.catalog.money import Money
from crdt_sync.documents.keys import uncomp
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES, INT_MAX, whole
from crdt_sync.documents.stock.escrow import Policy
from crdt_sync.errors import InvalidField, InvalidValue

TEXT_CHARACTERS_MAX = 500

T = TypeVar("T")


class Shop(Protocol):
    """What the faces need of the inventory that they belong to."""

    def attribute(self, sku: str, field: str) -> Value: ...
    def attributes(self, sku: str) -> dict[str, Value]: ...
    def set_attribute(self, sku: str, field: str, value: object) -> None: ...
    def version(self, sku: str, field: str) -> str: ...
    def delete_product(self, sku: str) -> None: ...
    def location_attribute(self, name: str, field: str) -> Value: ...
    def location_attributes(self, name: str) -> dict[str, Value]: ...
    def set_location_attribute(self, name: str, field: str, value: object) -> None: ...
    def stock(self, sku: str, at: str) -> int: ...
    def conflicts(self, *, product: str | None = None, location: str | None = None) -> list[Conflict]: ...


class WellKnown(Generic[T]):
    """A field of a face. Reading gives its value, or None where it has none; setting None clears it.

    Both raise :class:`InvalidField` for what the field is not for; of a page that wrote such a thing, ``face[field]``
    gives it all the same."""

    def __init__(self, read: Callable[[str, Value], T], check: Callable[[str, T], Value]) -> None:
        self._read = read
        self._check = check
        self._name = ""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, face: None, owner: type[object]) -> WellKnown[T]: ...
    @overload
    def __get__(self, face: Face, owner: type[object]) -> T | None: ...
    def __get__(self, face: Face | None, owner: type[object]) -> WellKnown[T] | T | None:
        if face is None:
            return self
        stored = face.get(self._name)
        return None if stored is None else self._read(self._name, stored)

    def __set__(self, face: Face, value: T | None) -> None:
        face[self._name] = None if value is None else self._check(self._name, value)


def _read_text(field: str, stored: Value) -> str:
    if isinstance(stored, str) and 0 < len(stored) <= TEXT_CHARACTERS_MAX:
        return stored
    raise InvalidField(field, stored, f"a text of 1 to {TEXT_CHARACTERS_MAX} characters")


def _read_price(field: str, stored: Value) -> Money:
    money = Money.read(field, stored)
    if money.minor < 0:
        raise InvalidField(field, stored, "an amount of 0 or more")
    return money


def _check_price(field: str, value: Money) -> Value:
    if not isinstance(value, Money):
        raise InvalidField(field, value, "money, like Money(255, 'GBP')")
    return _read_price(field, value.stored()).stored()


def _read_units(field: str, stored: Value) -> int:
    units = whole(stored)
    if units is None or not 0 <= units <= INT_MAX:
        raise InvalidField(field, stored, "a whole number from 0 to 2**53 - 1")
    return units


def _check_units(field: str, value: int) -> Value:
    if type(value) is not int:
        raise InvalidField(field, value, "a whole number from 0 to 2**53 - 1")
    return _read_units(field, value)


def _read_policy(field: str, stored: Value) -> Policy:
    found = next((policy for policy in Policy if policy == stored), None)
    if found is None:
        raise InvalidField(field, stored, f"one of {', '.join(Policy)}")
    return found


def _check_policy(field: str, value: Policy) -> Value:
    return _read_policy(field, value).value


class Face(Mapping[str, Value]):
    """The attributes of one thing, as a mapping that equals a dict of them. Each read looks into the document: there
    is nothing to reload, and nothing is read that is not asked for."""

    # A misspelt property must raise, and not be remembered by nobody.
    __slots__ = ("_name", "_shop")

    # It changes with its document.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str, shop: Shop) -> None:
        self._name = name
        self._shop = shop

    @abstractmethod
    def __setitem__(self, field: str, value: object) -> None: ...

    @abstractmethod
    def _one(self, field: str) -> Value: ...

    @abstractmethod
    def _all(self) -> dict[str, Value]: ...

    def __getitem__(self, field: str) -> Value:
        value = self._one(field)
        if value is None:
            raise KeyError(field)
        return value

    def __delitem__(self, field: str) -> None:
        self[field] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == dict(other) if isinstance(other, Mapping) else NotImplemented

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"


class Product(Face):
    """One product of the catalog, from :meth:`~crdt_sync.documents.inventory.InventoryDocument.product`.

    Any field: ``product["colour"] = "red"``, ``product.get("colour")``, ``del product["colour"]``, which
    clears it. Everything raises :class:`UnknownProduct` once the product is gone."""

    __slots__ = ()

    name = WellKnown(_read_text, _read_text)
    price = WellKnown(_read_price, _check_price)
    cost = WellKnown(_read_price, _check_price)
    barcode = WellKnown(_read_text, _read_text)
    unit = WellKnown(_read_text, _read_text)
    reorder_level = WellKnown(_read_units, _check_units)
    escrow = WellKnown(_read_policy, _check_policy)

    @property
    def sku(self) -> str:
        return self._name

    def stock(self, *, at: str) -> int:
        """How many are at a location and not held."""
        return self._shop.stock(self._name, at)

    def conflicts(self) -> list[Conflict]:
        """What a person should look at of this product; see :meth:`InventoryDocument.conflicts`."""
        return self._shop.conflicts(product=self._name)

    def version(self, field: str) -> str:
        """Which writes of a field are here; see :meth:`InventoryDocument.version`."""
        return self._shop.version(self._name, field)

    def delete(self) -> None:
        """Take it out of the catalog; see :meth:`InventoryDocument.delete_product`."""
        self._shop.delete_product(self._name)

    def _one(self, field: str) -> Value:
        return self._shop.attribute(self._name, field)

    def __setitem__(self, field: str, value: object) -> None:
        self._shop.set_attribute(self._name, field, value)

    def _all(self) -> dict[str, Value]:
        return self._shop.attributes(self._name)


class Location(Face):
    """One location, as :class:`Product`. What it is called in keys is :attr:`id`; ``name`` is for people to read."""

    __slots__ = ()

    name = WellKnown(_read_text, _read_text)
    escrow = WellKnown(_read_policy, _check_policy)

    @property
    def id(self) -> str:
        return self._name

    def stock(self, sku: str) -> int:
        """How many of a product are here and not held."""
        return self._shop.stock(sku, self._name)

    def conflicts(self) -> list[Conflict]:
        """What a person should look at of this location; see :meth:`InventoryDocument.conflicts`."""
        return self._shop.conflicts(location=self._name)

    def _one(self, field: str) -> Value:
        return self._shop.location_attribute(self._name, field)

    def __setitem__(self, field: str, value: object) -> None:
        self._shop.set_location_attribute(self._name, field, value)

    def _all(self) -> dict[str, Value]:
        return self._shop.location_attributes(self._name)


def fields_of(catalog: RootsView, owner: str, read: Callable[[Value], Value]) -> dict[str, Value]:
    """The fields that stand under ``owner`` (the key's part before the slash), without those that were cleared or that
    ``read`` refuses with :class:`InvalidValue`. Goes over all keys and reads only its own values."""
    prefix = owner + "/"
    fields: dict[str, Value] = {}
    for key in catalog.keys(ATTRIBUTES):
        field = uncomp(key[len(prefix) :]) if key.startswith(prefix) else None
        if field is None or field.startswith("$"):
            continue
        try:
            value = read(catalog.get(ATTRIBUTES, key))
        except InvalidValue:
            # A stranger's layout; faults() reports it.
            continue
        if value is not None:
            fields[field] = value
    return fields
