"""The slots of histograms and distinct counts as a document has them: whose they are, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from crdt_sync.documents.keys import KEY_BYTES_MAX, parse_base36, split
from crdt_sync.documents.metrics.gauges import Series
from crdt_sync.documents.metrics.sketches import Histogram, Registers, join_registers, sum_histograms
from crdt_sync.documents.metrics.tracks import bytes_at
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import HISTOGRAMS, REGISTERS, Fault
from crdt_sync.errors import InvalidValue

_Sketch = TypeVar("_Sketch")
_HISTOGRAM_PARTS, _REGISTER_PARTS = 4, 3
_NO_HISTOGRAM_KEY = "is no key of the form {metric}/{entity}/{writer}/{generation}"
_NO_REGISTERS_KEY = "is no key of the form {metric}/{entity}/{writer}"


def read_histograms(view: RootsView) -> tuple[dict[Series, Histogram], list[Fault]]:
    """The ``h`` root: the sum over writers and generations, and what was skipped."""
    slots, faults = histogram_slots(view)
    return {series: sum_histograms(found) for series, found in _by_series(slots).items()}, faults


def read_registers(view: RootsView) -> tuple[dict[Series, Registers], list[Fault]]:
    """The ``d`` root: all writers joined, and what was skipped."""
    slots, faults = register_slots(view)
    return {series: join_registers(found) for series, found in _by_series(slots).items()}, faults


def histogram_slots(view: RootsView) -> tuple[dict[str, Histogram], list[Fault]]:
    """The ``h`` root by key, and what was skipped."""
    return _read_root(view, HISTOGRAMS, _HISTOGRAM_PARTS, _NO_HISTOGRAM_KEY, Histogram.decode)


def register_slots(view: RootsView) -> tuple[dict[str, Registers], list[Fault]]:
    """The ``d`` root by key, and what was skipped."""
    return _read_root(view, REGISTERS, _REGISTER_PARTS, _NO_REGISTERS_KEY, Registers.decode)


def _read_root(
    view: RootsView, root: str, parts: int, no_key: str, decode: Callable[[bytes], _Sketch]
) -> tuple[dict[str, _Sketch], list[Fault]]:
    slots: dict[str, _Sketch] = {}
    faults = []
    for key in view.keys(root):
        if _names(key, parts) is None:
            faults.append(Fault(root, key, no_key))
            continue
        try:
            slots[key] = decode(bytes_at(view, root, key))
        except InvalidValue as error:
            faults.append(Fault(root, key, str(error)))
    return slots, faults


def _by_series(slots: Mapping[str, _Sketch]) -> dict[Series, list[_Sketch]]:
    found: dict[Series, list[_Sketch]] = {}
    for key, slot in slots.items():
        metric, entity = split(key.rsplit("/", key.count("/") - 1)[0], 2) or ("", "")
        found.setdefault((metric, entity), []).append(slot)
    return found


def slots_of(view: RootsView, root: str, prefix: str, decode: Callable[[bytes], _Sketch]) -> Iterable[_Sketch]:
    """The readable slots of one metric of an entity; the others are listed by ``faults()``."""
    parts = _HISTOGRAM_PARTS if root == HISTOGRAMS else _REGISTER_PARTS
    for key in view.keys(root):
        if key.startswith(prefix + "/") and _names(key, parts) is not None:
            try:
                yield decode(bytes_at(view, root, key))
            except InvalidValue:
                continue


def _names(key: str, parts: int) -> tuple[str, ...] | None:
    names = split(key, parts)
    if (
        names is None
        or len(key) > KEY_BYTES_MAX
        or (parts == _HISTOGRAM_PARTS and parse_base36(key.rpartition("/")[2]) is None)
    ):
        return None
    return names
