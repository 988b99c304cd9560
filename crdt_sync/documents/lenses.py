"""Two versions of a field in one catalog: read and written so that neither version loses what the other one wrote.

A field whose meaning changes gets a new name. While writers of the old version may still be about, the new version
writes both, in one transaction: ``price_c = [1200, 12.0]`` holds the new value and, as its last place, the evidence:
what the old field ``price`` held then. A reader of the new version compares: an old field that holds something else
has been written by somebody who knows nothing of the new one. That is shown as contested, and never as lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from crdt_sync.documents.catalog.registers import check_value, same
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.keys import nfc
from crdt_sync.documents.roots import Value
from crdt_sync.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Lens:
    """How one field of products goes over into another one. The new value is a scalar, or a list of at least two."""

    legacy: str
    field: str
    since: int
    """The version of the layouts that knows ``field``. Once the catalog's ``minWriter`` asks for it, the old field is
    no longer written."""
    upgrade: Callable[[Value], Value]
    """The new value of an old one. Raises :class:`InvalidValue` for one that has none."""
    downgrade: Callable[[Value], Value]
    """The old value of a new one, a scalar."""


class Reading(NamedTuple):
    """A field as the new version sees it."""

    value: Value
    """What to show. Where it is contested, what the old version wrote: it alone can't have seen the other."""
    contested_by: Value
    """The value of the new version that the old one did not know of, where there is one."""
    is_contested: bool


class Contested(NamedTuple):
    """A field of a product that writers of two versions have left with two values."""

    product: str
    field: str
    value: Value
    contested_by: Value


def read_through(lens: Lens, old: Value, new: Value) -> Reading:
    """What a product's two fields say together. Raises :class:`InvalidValue` when neither can be read."""
    held = _split(new)
    if held is None:
        return Reading(None if old is None else lens.upgrade(old), None, False)
    value, evidence = held
    if same(evidence, old):
        return Reading(value, None, False)
    try:
        theirs = None if old is None else lens.upgrade(old)
    except InvalidValue:
        # Whatever it is that an old version wrote, it is not for this reader to drop: both stand, ours is shown.
        return Reading(value, old, True)
    return Reading(theirs, None, False) if same(theirs, value) else Reading(theirs, value, True)


class LensedProducts:
    """The products of one edit, read and written through lenses. Fields without a lens are as in the inventory."""

    def __init__(self, inventory: InventoryDocument, lenses: Iterable[Lens]) -> None:
        self._inventory = inventory
        self._lenses = {lens.field: lens for lens in lenses}

    def attribute(self, sku: str, field: str) -> Value:
        """One attribute of a product, by whichever version it was written; raises as
        :meth:`InventoryDocument.attribute`."""
        lens = self._lenses.get(nfc(field))
        if lens is None:
            return self._inventory.attribute(sku, field)
        return self._read(lens, sku).value

    def set_attribute(self, sku: str, field: str, value: object) -> None:
        """Set one attribute, for both versions as long as both are in use; it settles what was contested.

        Raises as :meth:`InventoryDocument.set_attribute`, and :class:`InvalidValue` for what the lens can't hold."""
        lens = self._lenses.get(nfc(field))
        if lens is None:
            self._inventory.set_attribute(sku, field, value)
            return
        checked = check_value(field, value)
        evidence = self._inventory.attribute(sku, lens.legacy)
        if self._inventory.min_writer < lens.since:
            evidence = None if checked is None else lens.downgrade(checked)
            self._inventory.set_attribute(sku, lens.legacy, evidence)
        self._inventory.set_attribute(sku, lens.field, _joined(field, checked, evidence))

    def contested(self) -> list[Contested]:
        """Fields that hold two values, one of either version, by product and field. Setting one settles it. Writes of
        one version that met each other are among :meth:`InventoryDocument.conflicts`."""
        found = []
        for sku, fields in sorted(self._inventory.products().items()):
            for name in sorted(self._lenses):
                lens = self._lenses[name]
                reading = read_through(lens, fields.get(lens.legacy), fields.get(lens.field))
                if reading.is_contested:
                    found.append(Contested(sku, name, reading.value, reading.contested_by))
        return found

    def _read(self, lens: Lens, sku: str) -> Reading:
        return read_through(
            lens, self._inventory.attribute(sku, lens.legacy), self._inventory.attribute(sku, lens.field)
        )


def _joined(field: str, value: Value, evidence: Value) -> Value:
    if isinstance(evidence, list) or (isinstance(value, list) and len(value) < 2):
        raise InvalidValue(f"{field}: through a lens go scalars and lists of at least two, and scalars for evidence")
    return [*value, evidence] if isinstance(value, list) else [value, evidence]


def _split(stored: Value) -> tuple[Value, Value] | None:
    """The value and its evidence; None where the new version has written nothing that can be read."""
    if not isinstance(stored, list) or len(stored) < 2:
        return None
    *value, evidence = stored
    return (value[0] if len(value) == 1 else value), evidence
