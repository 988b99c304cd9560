"""What an operator configures for a tenant: entries of the catalog, so that every peer and the relay go by the same.

``rules`` maps a name to a value, and the last write wins. ``merge/{field}`` names the function that closes conflicts of
this field; all other rules are whole numbers within bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from crdt_sync.documents.catalog.registers import check_field
from crdt_sync.documents.keys import comp, join, uncomp
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import RULES, Fault, whole
from crdt_sync.errors import InvalidName, InvalidValue

MERGE: Final = "merge/"
QUALITY: Final = "quality/"
"""Reserved: such rules are for a reader of a later version."""

DAYS_MAX: Final = 36_500


class _Whole(NamedTuple):
    least: int
    most: int
    unit: str


_NUMBERS: Final[Mapping[str, _Whole]] = MappingProxyType(
    {
        "rights/keep": _Whole(0, 100, "percent"),
        "rights/lapse": _Whole(1, DAYS_MAX, "days"),
        "periods/grace": _Whole(0, DAYS_MAX, "days"),
        "metrics/keep": _Whole(0, DAYS_MAX, "days"),
        "metrics/width": _Whole(1, 31 * 86_400, "seconds"),
    }
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a tenant; what nobody has set is as below."""

    merges: Mapping[str, str] = field(default_factory=dict)
    """By field the merge function that closes its conflicts."""
    rights_keep_percent: int = 50
    """How much of its rights a replica keeps back when it answers others' requests."""
    rights_lapse_days: int | None = None
    """After so many days of silence a replica's rights are reclaimed by the relay; None: never."""
    periods_grace_days: int | None = None
    """So many days after its end a period is closed; None: never."""
    metrics_keep_days: int | None = None
    """So many days a closed period of metrics is kept after its fold; None: for ever."""
    metrics_width_s: int = 86_400
    """The width of the rows that metrics are folded into."""


def rule_key(name: str) -> str:
    """The key of a rule that is called like ``rights/keep``, or ``merge/`` and a field as people spell it.

    Raises :class:`InvalidName` for any other."""
    if name in _NUMBERS:
        return name
    if name.startswith(MERGE):
        return join(MERGE[:-1], comp(check_field(name[len(MERGE) :])))
    raise InvalidName("rule", name, f"one of {', '.join(sorted(_NUMBERS))}, or {MERGE} and a field")


def check_rule(name: str, value: object, functions: Collection[str]) -> Value:
    """Return the value of a rule unchanged; None switches it off. ``functions`` are the merge functions that there are.

    Raises :class:`InvalidValue` that says what is expected, and :class:`InvalidName`."""
    key = rule_key(name)
    if value is None:
        return None
    if (reason := _flaw(key, value, functions)) is not None:
        raise InvalidValue(f"{name}: {value!r} {reason}")
    assert isinstance(value, (str, int))
    return value


def read_rules(entries: Mapping[str, Value], functions: Collection[str]) -> tuple[Rules, list[Fault]]:
    """The rules that can be read, and why others are ignored: a page may have written anything there."""
    merges: dict[str, str] = {}
    numbers: dict[str, int] = {}
    faults: list[Fault] = []
    for key in sorted(entries):
        value, about = entries[key], _field_of(key)
        if key.startswith(QUALITY) or (value is None and (about is not None or key in _NUMBERS)):
            continue
        number = whole(value)
        reason = _flaw(key, value if number is None else number, functions)
        if reason is not None:
            faults.append(Fault(RULES, key, reason))
        elif about is not None:
            merges[about] = str(value)
        elif number is not None:
            numbers[key] = number
    return _rules(merges, numbers), faults


def _rules(merges: Mapping[str, str], numbers: Mapping[str, int]) -> Rules:
    unset = Rules()
    return Rules(
        merges,
        numbers.get("rights/keep", unset.rights_keep_percent),
        numbers.get("rights/lapse"),
        numbers.get("periods/grace"),
        numbers.get("metrics/keep"),
        numbers.get("metrics/width", unset.metrics_width_s),
    )


def _field_of(key: str) -> str | None:
    """The field that a rule for merging is about."""
    about = uncomp(key[len(MERGE) :]) if key.startswith(MERGE) else None
    return None if about is None or about.startswith("$") else about


def _flaw(key: str, value: object, functions: Collection[str]) -> str | None:
    if _field_of(key) is not None:
        is_known = isinstance(value, str) and value in functions
        return None if is_known else f"is no merge function: {', '.join(sorted(functions))} are"
    bounds = _NUMBERS.get(key)
    if bounds is None:
        return "is no rule that this version knows"
    if type(value) is not int or not bounds.least <= value <= bounds.most:
        return f"is not what this rule takes: a whole number of {bounds.unit} from {bounds.least} to {bounds.most}"
    return None
