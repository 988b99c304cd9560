"""Attributes of products and locations: one register per field, in one flat map."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import TypeAlias

from crdt_sync.documents.catalog.money import Money
from crdt_sync.documents.keys import LIFE, check_name, uncomp
from crdt_sync.documents.names import check_period
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import ATTRIBUTES, INT_MAX, PERIODS, Fault, whole
from crdt_sync.errors import InvalidName, InvalidValue

ACTIVE, DELETED = "active", "deleted"
VALUE_BYTES_MAX = 64 << 10
"""One value travels in one struct that can't be cut, so it must stay far below a frame."""

_UNREADABLE = "holds something else than text, a number, true, false, null or a list of these"


Moved: TypeAlias = Mapping[str, Mapping[str, int]]
"""By product and period: how many movements there are. A period that is not open here is missing."""


@dataclass(slots=True)
class Catalog:
    """Products and locations with their attributes. A field that was cleared (null) is left out."""

    products: dict[str, dict[str, Value]] = field(default_factory=dict)
    locations: dict[str, dict[str, Value]] = field(default_factory=dict)
    revived: dict[str, dict[str, Value]] = field(default_factory=dict)
    """Products that were deleted by somebody who had not seen all of their attributes and movements; they are among
    ``products``, and a person must say what becomes of them."""
    faults: list[Fault] = field(default_factory=list)


def check_field(name: str) -> str:
    """Return a field's name in its one spelling. Raises :class:`InvalidName`; names with ``$`` first are reserved."""
    checked = check_name("field", name)
    if checked.startswith("$"):
        raise InvalidName("field", checked, "names that begin with '$' are reserved")
    return checked


def check_value(name: str, value: object) -> Value:
    """Return a copy of ``value`` that every peer reads back equal.

    Text, bool, int within ±(2**53 - 1), finite float, None, or a list of these; at most 64 KiB as JSON.
    :class:`Money` becomes a list of its minor units and its currency, an exact decimal is a text.
    Raises :class:`InvalidValue`."""
    if isinstance(value, Money):
        checked: Value = value.stored()
    elif isinstance(value, (list, tuple)):
        checked = [_scalar(name, item) for item in value]
    else:
        checked = _scalar(name, value)
    size = len(json.dumps(checked, ensure_ascii=False).encode())
    if size > VALUE_BYTES_MAX:
        raise InvalidValue(f"{name}: {size} bytes, at most {VALUE_BYTES_MAX}")
    return checked


def read_value(value: Value) -> Value:
    """A stored value as it was meant: whole numbers as int. Raises :class:`InvalidValue` for a foreign layout."""
    if isinstance(value, list):
        return [_read_scalar(item) for item in value]
    return _read_scalar(value)


def deletion(seen: Mapping[str, Value], moved: Mapping[str, int], by: str, stamp: int) -> Value:
    """The ``$life`` of a deleted product, with the evidence of what its deleter had seen: the attributes, and the
    number of movements in each period that was open there. What came in beside it brings the product back."""
    return {"s": DELETED, "seen": dict(seen), "n": dict(moved), "by": by, "t": stamp}


def is_deletion(life: object) -> bool:
    """Whether a ``$life`` says that the product was deleted, and on what grounds."""
    return (
        isinstance(life, dict)
        and life.get("s") == DELETED
        and isinstance(life.get("seen"), dict)
        and isinstance(life.get("n"), dict)
    )


def is_undisturbed(life: Value, fields: Mapping[str, Value], moved: Mapping[str, int]) -> bool:
    """Whether a deletion had seen all that is known of its product. Periods that its deleter had not open, or that
    are not open here, say nothing; movements in a period that began later say that it is in use."""
    seen, counts = (life.get("seen"), life.get("n")) if isinstance(life, dict) else (None, None)
    if not isinstance(seen, dict) or not isinstance(counts, dict):
        return False
    known = {name: value for name, value in fields.items() if value is not None}
    newest = max(counts, default="")
    return (
        known.keys() == seen.keys()
        and all(same(known[name], seen[name]) for name in known)
        and all(same(counts[period], moved[period]) for period in counts.keys() & moved.keys())
        and not any(period > newest and moved[period] for period in moved)
    )


def _nothing_moved() -> Moved:
    return {}


def read_catalog(entries: Mapping[str, Value], moved: Callable[[], Moved] = _nothing_moved) -> Catalog:
    """Everything in the ``attr`` root, in one pass. What can't be read is skipped and reported. ``moved`` is asked
    only when some product was deleted."""
    catalog = Catalog()
    found: dict[tuple[bool, str], dict[str, tuple[str, Value]]] = {}
    for key, value in entries.items():
        parsed = parse_key(key)
        if parsed is None:
            catalog.faults.append(Fault(ATTRIBUTES, key, "is no key of the form {sku}/{field} or @{location}/{field}"))
            continue
        is_location, name, attribute = parsed
        fields = found.setdefault((is_location, name), {})
        try:
            fields[attribute] = key, value if attribute == LIFE else read_value(value)
        except InvalidValue:
            catalog.faults.append(Fault(ATTRIBUTES, key, _UNREADABLE))
    for (is_location, name), fields in found.items():
        shelf = catalog.locations if is_location else catalog.products
        _, life = fields.get(LIFE, ("", None))
        if not is_deletion(life):
            catalog.faults.extend(_file(name, fields, shelf))
            continue
        kept: dict[str, Value] = {}
        kept.update((at, value) for at, (_, value) in fields.items() if at != LIFE and value is not None)
        if not is_undisturbed(life, kept, {} if is_location else moved().get(name, {})):
            shelf[name] = kept
            if not is_location:
                catalog.revived[name] = kept
    return catalog


def read_periods(entries: Mapping[str, Value]) -> tuple[list[str], list[Fault]]:
    """The periods that the ``periods`` root notes, sorted, and the keys in it that are none."""
    periods, faults = [], []
    for key in sorted(entries):
        try:
            periods.append(check_period(key))
        except InvalidName:
            faults.append(Fault(PERIODS, key, "is no UTC month or day"))
    return periods, faults


def same(one: Value, other: Value) -> bool:
    """Whether two values are equal for every peer: 1 is 1.0, neither is true, and nothing equals the unreadable."""
    try:
        return json.dumps(read_value(one)) == json.dumps(read_value(other))
    except InvalidValue:
        return False


def _file(name: str, fields: dict[str, tuple[str, Value]], shelf: dict[str, dict[str, Value]]) -> list[Fault]:
    key, life = fields.pop(LIFE, ("", None))
    if life == ACTIVE:
        shelf[name] = {field: value for field, (_, value) in fields.items() if value is not None}
        return []
    if life is not None:
        return [Fault(ATTRIBUTES, key, "is a life cycle that this version does not know")]
    return [Fault(ATTRIBUTES, key, "belongs to nothing: it has no $life entry") for key, _ in fields.values()]


def parse_key(key: str) -> tuple[bool, str, str] | None:
    """Whether a key of ``attr`` is a location's, whose it is, and the field; None when it is no such key."""
    owner, slash, attribute = key.partition("/")
    is_location = owner.startswith("@")
    name = uncomp(owner[1:] if is_location else owner)
    known = attribute if attribute == LIFE else uncomp(attribute)
    if not slash or name is None or known is None or (known.startswith("$") and attribute != LIFE):
        return None
    return is_location, name, known


def _scalar(name: str, value: object) -> Value:
    match value:
        case None | bool():
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InvalidValue(f"{name}: text with a lone surrogate can't be stored") from error
            return value
        case int():
            if abs(value) > INT_MAX:
                raise InvalidValue(f"{name}: {value} is beyond ±(2**53 - 1); store it as text")
            return int(value)
        case float():
            if not isfinite(value):
                raise InvalidValue(f"{name}: {value} is no finite number")
            return float(value)
        case _:
            kind = type(value).__name__
            raise InvalidValue(f"{name}: {kind} can't be stored; text, numbers, bool, None or a list of these can")


def _read_scalar(value: Value) -> Value:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)) and isfinite(value):
        number = whole(value)
        return value if number is None else number
    raise InvalidValue(_UNREADABLE)
