"""Histograms and distinct counts in a metrics document: a slot for each writer, read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from crdt_sync.documents.keys import join, to_base36
from crdt_sync.documents.metrics.history import History
from crdt_sync.documents.metrics.pen import Pen
from crdt_sync.documents.metrics.sketch_slots import slots_of
from crdt_sync.documents.metrics.sketches import Histogram, Registers, join_registers, sum_histograms
from crdt_sync.documents.metrics.tracks import bytes_at, series_prefix
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import HISTOGRAMS, REGISTERS
from crdt_sync.errors import InvalidValue

_Sketch = TypeVar("_Sketch")


class Distribution:
    """How the values of one metric are distributed, from :meth:`MetricsDocument.histogram`."""

    def __init__(self, pen: Pen, history: History, metric: str, entity: str) -> None:
        self._pen = pen
        self._history = history
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
        return sum_histograms(
            slot for view in self._history.views for slot in slots_of(view, HISTOGRAMS, self._prefix, Histogram.decode)
        )


class Distinct:
    """How many different texts there were, about, from :meth:`MetricsDocument.distinct`."""

    def __init__(self, pen: Pen, history: History, metric: str, entity: str) -> None:
        self._pen = pen
        self._history = history
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
        return join_registers(
            slot for view in self._history.views for slot in slots_of(view, REGISTERS, self._prefix, Registers.decode)
        )


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
