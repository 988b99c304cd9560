"""Histograms and distinct counts in a metrics document: a slot for each writer, read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from crdt_sync.documents.keys import KEY_BYTES_MAX, join, parse_base36, split, to_base36
from crdt_sync.documents.metrics.gauges import Series
from crdt_sync.documents.metrics.pen import Pen
from crdt_sync.documents.metrics.sketches import Histogram, Registers, join_registers, sum_histograms
from crdt_sync.documents.metrics.tracks import bytes_at, series_prefix
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import HISTOGRAMS, REGISTERS, Fault
from crdt_sync.errors import InvalidValue

_Sketch = TypeVar("_Sketch")
_HISTOGRAM_PARTS, _REGISTER_PARTS = 4, 3
_NO_HISTOGRAM_KEY = "is no key of the form {metric}/{entity}/{writer}/{generation}"
_NO_REGISTERS_KEY = "is no key of the form {metric}/{entity}/{writer}"


class Distribution:
    """How the values of one metric are distributed, from :meth:`MetricsDocument.histogram`."""

    def __init__(self, pen: Pen, metric: str, entity: str) -> None:
        self._pen = pen
        self._prefix = series_prefix((metric, entity))
        self._key = join(self._prefix, pen.part, to_base36(pen.generation))

    def record(self, value: float, times: int = 1) -> None:
        """Count one value, a finite number from 0. Raises :class:`InvalidValue`, and what every write raises."""
        self.record_all([value], times=times)

    def record_all(self, values: Iterable[float], *, times: int = 1) -> None:
        """Count all ``values``, or none of them when one is refused."""
        slot = _own(self._pen.roots, HISTOGRAMS, self._key, Histogram.decode, Histogram)
        for value in values:
            slot.record(value, times)
        self._pen.check_writable()
        self._pen.put(HISTOGRAMS, self._key, slot.encode())

    def read(self) -> Histogram:
        """What all writers have recorded together."""
        return sum_histograms(_slots(self._pen.roots, HISTOGRAMS, self._prefix, Histogram.decode))


class Distinct:
    """How many different texts there were, about, from :meth:`MetricsDocument.distinct`."""

    def __init__(self, pen: Pen, metric: str, entity: str) -> None:
        self._pen = pen
        self._prefix = series_prefix((metric, entity))
        self._key = join(self._prefix, pen.part)

    def record(self, text: str) -> None:
        """Note that ``text`` was seen. The text itself is not stored. Raises :class:`InvalidValue`."""
        self.record_all([text])

    def record_all(self, texts: Iterable[str]) -> None:
        """Note all ``texts``, or none of them when one is refused. Nothing is written when all are known."""
        slot = _own(self._pen.roots, REGISTERS, self._key, Registers.decode, Registers)
        changes = [slot.record(text) for text in texts]
        self._pen.check_writable()
        if any(changes):
            self._pen.put(REGISTERS, self._key, slot.encode())

    def read(self) -> Registers:
        """What all writers have seen together; :meth:`Registers.estimate` says how many that are."""
        return join_registers(_slots(self._pen.roots, REGISTERS, self._prefix, Registers.decode))


def read_histograms(view: RootsView) -> tuple[dict[Series, Histogram], list[Fault]]:
    """The ``h`` root: the sum over writers and generations, and what was skipped."""
    slots, faults = _read_root(view, HISTOGRAMS, _HISTOGRAM_PARTS, _NO_HISTOGRAM_KEY, Histogram.decode)
    return {series: sum_histograms(found) for series, found in slots.items()}, faults


def read_registers(view: RootsView) -> tuple[dict[Series, Registers], list[Fault]]:
    """The ``d`` root: all writers joined, and what was skipped."""
    slots, faults = _read_root(view, REGISTERS, _REGISTER_PARTS, _NO_REGISTERS_KEY, Registers.decode)
    return {series: join_registers(found) for series, found in slots.items()}, faults


def _read_root(
    view: RootsView, root: str, parts: int, no_key: str, decode: Callable[[bytes], _Sketch]
) -> tuple[dict[Series, list[_Sketch]], list[Fault]]:
    slots: dict[Series, list[_Sketch]] = {}
    faults = []
    for key in view.keys(root):
        names = _names(key, parts)
        if names is None:
            faults.append(Fault(root, key, no_key))
            continue
        try:
            slots.setdefault((names[0], names[1]), []).append(decode(bytes_at(view, root, key)))
        except InvalidValue as error:
            faults.append(Fault(root, key, str(error)))
    return {series: found for series, found in slots.items() if found}, faults


def _slots(view: RootsView, root: str, prefix: str, decode: Callable[[bytes], _Sketch]) -> Iterable[_Sketch]:
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


def _own(
    view: RootsView, root: str, key: str, decode: Callable[[bytes], _Sketch], fresh: Callable[[], _Sketch]
) -> _Sketch:
    if view.get(root, key) is None:
        return fresh()
    try:
        return decode(bytes_at(view, root, key))
    except InvalidValue as error:
        # Only this process writes its slot: going on over what somebody else left there would lose either's counts.
        raise InvalidValue(f"the slot {key} of this writer was overwritten: {error}") from error
