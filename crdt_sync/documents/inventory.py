"""Products, locations and stock: the typed face of a catalog and of the movement documents of its periods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from crdt_sync.documents import keys, movements
from crdt_sync.documents.arbitration import DEFAULT_POLICY, Arbitration, ConflictPolicy
from crdt_sync.documents.clock import HybridClock, is_ahead
from crdt_sync.documents.conflicts import Conflict, Resolution
from crdt_sync.documents.keys import LIFE, check_name, location_key, product_key
from crdt_sync.documents.movements import Cell, Movement
from crdt_sync.documents.names import check_period
from crdt_sync.documents.registers import (
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
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import ATTRIBUTES, MOVEMENTS, PERIODS, Fault, check_writable, meta_faults
from crdt_sync.documents.stock_index import StockIndex
from crdt_sync.errors import (
    AlreadyExists,
    InvalidName,
    InvalidValue,
    UnknownLocation,
    UnknownProduct,
    VersionMismatch,
)

REF_BYTES_MAX = 200
_NO_HISTORY: Mapping[str, RootsView] = MappingProxyType({})


class InventoryDocument:
    """One edit's view of a tenant's inventory.

    Reads cover the catalog, the period that is written to, and ``history`` (period to document). Every misuse
    raises a :class:`~crdt_sync.errors.DocumentError` before anything is written. Make a new one for every edit:
    that a product exists, or that a period is open, is looked up once."""

    def __init__(
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
    ) -> None:
        self._catalog = catalog
        self._period = check_period(period)
        self._movements = movements
        self._documents: dict[str, RootsView] = dict(sorted({**history, period: movements}.items()))
        self._rid = check_name("replica", rid)
        self._clock = clock
        self._now_ms = now_ms
        self._next_sequence: int | None = None
        self._writable: set[int] = set()
        self._noted = False
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
            key, checked = product_key(product, check_field(field)), check_value(field, value)
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

    def product(self, sku: str) -> dict[str, Value]:
        """All attributes of a product. A full read of the catalog. Raises :class:`UnknownProduct`."""
        return self.products().get(self._known_product(sku), {})

    def products(self) -> dict[str, dict[str, Value]]:
        """All products with their attributes. Whole numbers are ints, whoever wrote them."""
        return self._read_catalog().products

    def locations(self) -> dict[str, dict[str, Value]]:
        """All locations with their attributes."""
        return self._read_catalog().locations

    # Conflicts

    def conflicts(self) -> list[Conflict]:
        """Fields with several values that nobody has chosen from, and products that came back after their deletion.

        Writes of equal values close by themselves. Resolve each in the edit that it was listed in."""
        return self._arbitration.conflicts(self._read_catalog().revived)

    def settle_conflicts(self) -> list[Conflict]:
        """Resolve what the policy has a rule for, and return it; what its function can't merge stays open."""
        self._check_writable(self._catalog)
        return self._arbitration.settle()

    def resolutions(self) -> list[Resolution]:
        """The audit trail: who has resolved what, when, how, and what was chosen from."""
        return self._arbitration.resolutions()

    def periods(self) -> list[str]:
        """The periods that anybody noted, sorted; each has, or soon will have, a movement document."""
        return read_periods(self._catalog.entries(PERIODS))[0]

    # Movements

    def receive(self, sku: str, quantity: int, *, at: str, ref: str | None = None) -> str:
        """Goods came in from outside. Returns the movement's id.

        Like all that move stock it raises :class:`UnknownProduct`, :class:`UnknownLocation`,
        :class:`QuantityOutOfRange`, :class:`PeriodClosed`, :class:`SchemaTooNew` and :class:`InvalidName`."""
        return self._record(movements.RECEIVE, sku, at, movements.check_quantity(quantity), ref)

    def sell(self, sku: str, quantity: int, *, at: str, ref: str | None = None) -> str:
        """Goods were sold. Stock may go below zero: what was sold was sold. Returns the movement's id."""
        return self._record(movements.SALE, sku, at, movements.check_quantity(quantity), ref)

    def adjust(self, sku: str, delta: int, *, at: str, ref: str | None = None) -> str:
        """Correct the stock by a signed quantity: breakage, finds, returns. Returns the movement's id."""
        return self._record(movements.ADJUST, sku, at, movements.check_delta(delta), ref)

    def transfer(self, sku: str, quantity: int, *, source: str, to: str, ref: str | None = None) -> tuple[str, str]:
        """Move goods between locations at once: a shipment and its arrival in one edit. Returns both ids."""
        destination = self._known_location(to)
        shipment = self.ship(sku, quantity, source=source, to=destination, ref=ref)
        return shipment, self._record(movements.ARRIVE, sku, destination, quantity, shipment)

    def ship(self, sku: str, quantity: int, *, source: str, to: str, ref: str | None = None) -> str:
        """Send goods off to another location; until they arrive they are in no stock. Returns the shipment's id.

        Raises :class:`InvalidValue` when source and destination are one."""
        destination = self._known_location(to)
        if destination == self._known_location(source):
            raise InvalidValue(f"goods can't be sent from {source!r} to itself")
        return self._record(movements.SHIP, sku, source, movements.check_quantity(quantity), ref, {"to": destination})

    def arrive(self, shipment: str) -> str:
        """Book a shipment in at its destination. Booked twice, by whomever, it counts once. Returns the movement's id.

        Raises :class:`InvalidName` when no document here holds this shipment."""
        sent = self.find(check_name("shipment", shipment))
        if sent is None or sent.destination is None:
            raise InvalidName("shipment", shipment, "the id of a shipment in this period or its history")
        # An arrival is later than its shipment, also where this machine's clock lags.
        self._clock.receive(sent.stamp, self._now_ms())
        return self._record(movements.ARRIVE, sent.sku, sent.destination, sent.quantity, shipment)

    def find(self, mid: str) -> Movement | None:
        """One movement by its id, without a full read."""
        for period, document in self._documents.items():
            movement = movements.read_movement(period, mid, document.get(MOVEMENTS, mid))
            if movement is not None:
                return movement
        return None

    def movements(self, sku: str | None = None, *, at: str | None = None) -> Iterator[Movement]:
        """The readable movements, of one product or location if named, in the one order that all peers agree on."""
        wanted = [
            movement
            for period, document in self._documents.items()
            for movement in movements.read_movements(period, document.entries(MOVEMENTS))
            if (sku is None or movement.sku == keys.nfc(sku)) and (at is None or movement.location == keys.nfc(at))
        ]
        return iter(sorted(wanted, key=lambda movement: (movement.stamp, movement.mid, movement.period)))

    def refs(self) -> set[str]:
        """The references that callers gave, so that a restarted program can skip what it recorded already."""
        return {m.ref for m in self._all_movements() if m.ref is not None and m.kind not in movements.REFERRING}

    def in_transit(self) -> list[Movement]:
        """Shipments that nobody has booked in yet."""
        everything = list(self._all_movements())
        arrived = {movement.ref for movement in everything if movement.kind == movements.ARRIVE}
        return [m for m in everything if m.kind == movements.SHIP and m.mid not in arrived]

    # Stock

    def stock(self, sku: str, at: str) -> int:
        """How many of a product are at a location; 0 where nothing ever moved. Folds the whole log: for many
        cells take :meth:`stock_table` once."""
        return self.stock_table().get((keys.nfc(sku), keys.nfc(at)), 0)

    def stock_table(self) -> dict[Cell, int]:
        """Stock of every (product, location) that anything ever moved in, in one pass."""
        return self._fold().table()

    def orphans(self) -> dict[Cell, int]:
        """The part of the stock table whose product or location is not in the catalog (yet)."""
        catalog = self._read_catalog()
        return {
            (sku, location): quantity
            for (sku, location), quantity in self.stock_table().items()
            if sku not in catalog.products or location not in catalog.locations
        }

    def unknown_kinds(self) -> dict[str, int]:
        """Kinds of movements that this version does not count, with how many there are: written by a later one."""
        return dict(self._fold().unknown)

    def faults(self) -> list[Fault]:
        """Every entry that was skipped as unreadable, and movements stamped by a clock that runs ahead."""
        faults = [*self._read_catalog().faults, *meta_faults(self._catalog), *self._fold().faults]
        faults += read_periods(self._catalog.entries(PERIODS))[1]
        faults += self._arbitration.faults()
        for document in self._documents.values():
            faults += meta_faults(document)
        now_ms = self._now_ms()
        faults += [
            Fault(MOVEMENTS, m.mid, "is stamped by a clock that runs more than 60 s ahead")
            for m in self._all_movements()
            if is_ahead(m.stamp, now_ms)
        ]
        return sorted(faults)

    # Inside

    def _record(
        self, kind: str, sku: str, at: str, quantity: int, ref: str | None, ext: Mapping[str, Value] | None = None
    ) -> str:
        product, location = self._known_product(sku), self._known_location(at)
        reference = None if ref is None else _check_ref(ref)
        self._check_writable(self._movements)
        # A newcomer learns from the catalog which movement documents there are; equal concurrent notes are harmless.
        if not self._noted:
            self._noted = self._catalog.get(PERIODS, self._period) is not None
        if not self._noted:
            self._check_writable(self._catalog)
        stamp = self._clock.tick(self._now_ms())
        mid = keys.movement_id(self._movements.client_id, self._take_sequence())
        movement = Movement(
            self._period, mid, kind, product, location, quantity, self._rid, stamp, reference, ext or {}
        )
        if not self._noted:
            self._catalog.put(PERIODS, self._period, 1)
            self._noted = True
        self._movements.put(MOVEMENTS, mid, movement.layout())
        return mid

    def _take_sequence(self) -> int:
        # Searched once: from there on nobody but this edit writes under our client id.
        if self._next_sequence is None:
            self._next_sequence = movements.next_sequence(self._movements, 0)
        sequence = self._next_sequence
        self._next_sequence += 1
        return sequence

    def _add(self, what: str, key: Callable[[str, str], str], name: str, attributes: Mapping[str, object]) -> None:
        checked = check_name(what, name)
        fields = {check_field(field): check_value(field, value) for field, value in attributes.items()}
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
        checked_value = check_value(field, value)
        self._check_writable(self._catalog)
        self._catalog.put(ATTRIBUTES, checked_key, checked_value)

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

    def _check_writable(self, document: Roots) -> None:
        if id(document) not in self._writable:
            check_writable(document)
            self._writable.add(id(document))

    def _read_catalog(self) -> Catalog:
        return read_catalog(self._catalog.entries(ATTRIBUTES), self._moved)

    def _all_movements(self) -> Iterator[Movement]:
        for period, document in self._documents.items():
            yield from movements.read_movements(period, document.entries(MOVEMENTS))

    def _fold(self) -> StockIndex:
        index = StockIndex()
        for document in self._documents.values():
            index.add(document.entries(MOVEMENTS))
        return index


def _check_ref(ref: str) -> str:
    checked = check_name("reference", ref)
    if len(checked.encode()) > REF_BYTES_MAX:
        raise InvalidName("reference", checked, f"at most {REF_BYTES_MAX} bytes")
    return checked
