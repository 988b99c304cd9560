"""Products, locations and stock: the typed face of a catalog and of the movement documents of its periods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from crdt_sync.documents.catalog.arbitration import DEFAULT_POLICY, Arbitration, ConflictPolicy
from crdt_sync.documents.catalog.registers import (
    ACTIVE,
    Catalog,
    Moved,
    check_field,
    check_value,
    deletion,
    is_deletion,
    read_catalog,
    read_periods,
    read_value,
    same,
)
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.faces import Location, Product, fields_of
from crdt_sync.documents.keys import LIFE, check_name, comp, location_key, product_key
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES, INCIDENTS, META, PERIODS, Fault, meta_faults, whole
from crdt_sync.documents.stock.escrow import ESCROW, Policy, check_policy, read_policy
from crdt_sync.documents.stock.incidents import read_incidents
from crdt_sync.documents.stock.movements import Cell
from crdt_sync.documents.stock.oversight import Oversight
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.errors import (
    AlreadyExists,
    InvalidName,
    UnknownLocation,
    UnknownProduct,
    VersionMismatch,
)
from crdt_sync.limits import DEFAULT_LIMITS, Limits

_NO_HISTORY: Mapping[str, RootsView] = MappingProxyType({})


class InventoryDocument(Oversight):
    """One edit's view of a tenant's inventory.

    Reads cover the catalog, the period that is written to, and ``history`` (period to document). Every misuse
    raises a :class:`~crdt_sync.errors.DocumentError` before anything is written. Make a new one for every edit:
    that a product exists, or that a period is open, is looked up once."""

    def __init__(  # noqa: PLR0913  an edit's circumstances, one by one
        self,
        catalog: Roots,
        period: str,
        movements: Roots,
        history: Mapping[str, RootsView] = _NO_HISTORY,
        *,
        rid: str,
        clock: HybridClock,
        now_ms: Callable[[], int],
        policy: ConflictPolicy = DEFAULT_POLICY,
        warm: WarmStock | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(
            catalog, period, movements, history, rid=rid, clock=clock, now_ms=now_ms, warm=warm, limits=limits
        )
        self._found: set[tuple[Callable[[str, str], str], str]] = set()
        self._arbitration = Arbitration(
            catalog, policy, rid=self._rid, stamp=lambda: clock.tick(now_ms()), delete=self._deletion
        )

    # Catalog

    def add_product(self, sku: str, /, **attributes: object) -> None:
        """Add a product. Adding it again with attributes that it has already is no error and writes nothing.

        Raises :class:`AlreadyExists` when it is there with others, :class:`InvalidName`, :class:`InvalidValue`."""
        self._add("product", product_key, sku, attributes)

    def add_location(self, name: str, /, **attributes: object) -> None:
        """Add a location; as :meth:`add_product`."""
        self._add("location", location_key, name, attributes)

    def delete_product(self, sku: str) -> None:
        """Take a product out of the catalog. What others wrote about it at the same time, attributes or movements,
        brings it back, as a conflict. Its movements stay. Raises :class:`UnknownProduct`."""
        product = self._known_product(sku)
        self._check_writable(self._catalog)
        self._catalog.put(ATTRIBUTES, product_key(product, LIFE), self._deletion(product))
        self._found.discard((product_key, product))

    def set_attribute(
        self, sku: str, field: str, value: object, *, seen: str | None = None, keep_stale: bool = False
    ) -> None:
        """Set one attribute of a product; None clears it. ``seen`` is the :meth:`version` that the value was chosen
        on: if the field was written since, nothing is written, or, with ``keep_stale``, the value is kept as one side
        of a conflict. Raises :class:`UnknownProduct`, :class:`InvalidValue`, :class:`VersionMismatch`."""
        product = self._known_product(sku)
        if seen is not None and seen != (actual := self.version(product, field)):
            key, checked = product_key(product, check_field(field)), check_policy(field, check_value(field, value))
            if not keep_stale:
                raise VersionMismatch(key, seen, actual)
            self._check_writable(self._catalog)
            self._arbitration.claim(key, checked)
            return
        self._set(product, product_key, field, value)

    def version(self, sku: str, field: str) -> str:
        """Which writes of a field this document holds: changes with every write of it, by whomever."""
        return self._arbitration.version(product_key(check_name("product", sku), check_field(field)))

    def set_location_attribute(self, name: str, field: str, value: object) -> None:
        """Set one attribute of a location; None clears it. Raises :class:`UnknownLocation`, :class:`InvalidValue`."""
        self._set(self._known_location(name), location_key, field, value)

    def attribute(self, sku: str, field: str) -> Value:
        """One attribute of a product, None where it has none; needs no full read.

        Raises :class:`UnknownProduct`, and :class:`InvalidValue` when a foreign page stored something unreadable."""
        return read_value(self._catalog.get(ATTRIBUTES, product_key(self._known_product(sku), check_field(field))))

    def product(self, sku: str) -> Product:
        """A product's typed face: a mapping of its attributes, to be read and set. Raises :class:`UnknownProduct`."""
        return Product(self._known_product(sku), self)

    def location(self, name: str) -> Location:
        """A location's typed face, as :meth:`product`. Raises :class:`UnknownLocation`."""
        return Location(self._known_location(name), self)

    def attributes(self, sku: str) -> dict[str, Value]:
        """All attributes of a product. Reads every key of the catalog and the values of this one product."""
        return fields_of(self._catalog, comp(self._known_product(sku)), read_value)

    def location_attribute(self, name: str, field: str) -> Value:
        """One attribute of a location, as :meth:`attribute`. Raises :class:`UnknownLocation`."""
        return read_value(self._catalog.get(ATTRIBUTES, location_key(self._known_location(name), check_field(field))))

    def location_attributes(self, name: str) -> dict[str, Value]:
        """All attributes of a location, as :meth:`attributes`."""
        return fields_of(self._catalog, "@" + comp(self._known_location(name)), read_value)

    def products(self) -> dict[str, dict[str, Value]]:
        """All products with their attributes. Whole numbers are ints, whoever wrote them."""
        return self._read_catalog().products

    def locations(self) -> dict[str, dict[str, Value]]:
        """All locations with their attributes."""
        return self._read_catalog().locations

    @property
    def min_writer(self) -> int:
        """The version that writers of this catalog must have; 1 where nobody has asked for more."""
        return whole(self._catalog.get(META, "minWriter")) or 1

    def periods(self) -> list[str]:
        """The periods that anybody noted, sorted; each has, or soon will have, a movement document."""
        return self._known_periods()

    def policy(self, sku: str, at: str) -> Policy:
        """Whether a cell is under escrow, and what selling does when rights run out: the attribute ``escrow`` of the
        product where it has one, else of the location, else off. What is no policy counts as ``refuse``."""
        product, location = self._escrow(product_key, sku), self._escrow(location_key, at)
        return read_policy(product, location) or Policy.REFUSE

    # Reports

    def orphans(self) -> dict[Cell, int]:
        """The part of the stock table whose product or location is not in the catalog (yet)."""
        catalog = self._read_catalog()
        return {
            (sku, location): quantity
            for (sku, location), quantity in self.stock_table().items()
            if sku not in catalog.products or location not in catalog.locations
        }

    def faults(self) -> list[Fault]:
        """Every entry that was skipped as unreadable, and movements stamped by a clock that runs ahead."""
        faults = [*self._read_catalog().faults, *meta_faults(self._catalog), *self._stock_index().faults]
        faults += read_periods(self._catalog.entries(PERIODS))[1]
        faults += [*self._arbitration.faults(), *read_incidents(self._catalog.entries(INCIDENTS))[1]]
        for document in self._documents.values():
            faults += meta_faults(document)
        faults += [*self._skewed(), *self._policy_faults(), *self._period_faults()]
        return sorted(faults)

    # Inside

    def _escrow(self, key: Callable[[str, str], str], name: str) -> Value:
        try:
            return self._catalog.get(ATTRIBUTES, key(check_name("name", name), ESCROW))
        except InvalidName:
            # A page may have moved what no key can name. It has no attributes, and must not hide the other cells.
            return None

    def _policy_faults(self) -> list[Fault]:
        catalog = self._read_catalog()
        named = {product_key(name, ESCROW): fields for name, fields in catalog.products.items()}
        named |= {location_key(name, ESCROW): fields for name, fields in catalog.locations.items()}
        return [
            Fault(ATTRIBUTES, key, "is no policy for escrow, so sales beyond one's rights are refused")
            for key, fields in named.items()
            if read_policy(fields.get(ESCROW), None) is None
        ]

    def _add(self, what: str, key: Callable[[str, str], str], name: str, attributes: Mapping[str, object]) -> None:
        checked = check_name(what, name)
        fields = {
            check_field(field): check_policy(field, check_value(field, value)) for field, value in attributes.items()
        }
        values = {key(checked, field): value for field, value in fields.items()}
        life = key(checked, LIFE)
        self._check_writable(self._catalog)
        present = self._catalog.get(ATTRIBUTES, life)
        if present == ACTIVE and all(same(self._catalog.get(ATTRIBUTES, k), v) for k, v in values.items()):
            return
        if present is not None and (not is_deletion(present) or checked in self._read_catalog().products):
            raise AlreadyExists(f"{what} {checked!r} is in the catalog already, with other content")
        for field_key, value in {life: ACTIVE, **values}.items():
            self._catalog.put(ATTRIBUTES, field_key, value)

    def _set(self, name: str, key: Callable[[str, str], str], field: str, value: object) -> None:
        checked_key = key(name, check_field(field))
        checked_value = check_policy(field, check_value(field, value))
        self._check_writable(self._catalog)
        self._arbitration.replace(checked_key, checked_value)

    def _known_product(self, sku: str) -> str:
        checked = check_name("product", sku)
        if not self._is_active(product_key, checked):
            raise UnknownProduct(f"the catalog has no product {checked!r}")
        return checked

    def _known_location(self, name: str) -> str:
        checked = check_name("location", name)
        if not self._is_active(location_key, checked):
            raise UnknownLocation(f"the catalog has no location {checked!r}")
        return checked

    def _is_active(self, key: Callable[[str, str], str], name: str) -> bool:
        found = key, name
        if found not in self._found:
            life = self._catalog.get(ATTRIBUTES, key(name, LIFE))
            # Only a deletion needs a full read: whether it stands depends on what came in beside it.
            if life == ACTIVE or (is_deletion(life) and name in self._read_catalog().products):
                self._found.add(found)
        return found in self._found

    def _deletion(self, product: str) -> Value:
        entries = self._catalog.entries(ATTRIBUTES)
        fields = read_catalog({**entries, product_key(product, LIFE): ACTIVE}).products[product]
        moved = dict.fromkeys(self._documents, 0) | dict(self._moved().get(product, {}))
        return deletion(fields, moved, self._rid, self._clock.tick(self._now_ms()))

    def _moved(self) -> Moved:
        moved: dict[str, dict[str, int]] = {}
        for movement in self._all_movements():
            counts = moved.setdefault(movement.sku, dict.fromkeys(self._documents, 0))
            counts[movement.period] += 1
        return moved

    def _read_catalog(self) -> Catalog:
        return read_catalog(self._catalog.entries(ATTRIBUTES), self._moved)
