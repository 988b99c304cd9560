"""What a metrics document is written with: a writer's name, its clock, and stamps later than all that it can see."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crdt_sync.documents.clock import AHEAD_MS_MAX, HybridClock
from crdt_sync.documents.keys import check_name, comp
from crdt_sync.documents.metrics.periods import note_measured
from crdt_sync.documents.names import day_of, period_of
from crdt_sync.documents.roots import Roots, Value
from crdt_sync.documents.schema import INT_MAX, check_writable
from crdt_sync.errors import InvalidValue


class Pen:
    """For one edit. ``part`` is the writer's name as keys hold it."""

    def __init__(
        self,
        roots: Roots,
        *,
        wid: str,
        clock: HybridClock,
        now_ms: Callable[[], int],
        generation: int,
        period: str | None,
        catalog: Roots | None = None,
    ) -> None:
        """``catalog`` is where the period is noted with the first write."""
        self.roots = roots
        self.wid = check_name("writer", wid)
        self.part = comp(self.wid)
        self.clock = clock
        self.now_ms = now_ms
        self.generation = generation
        self.period = period
        self.catalog = catalog
        self._stamp: int | None = None
        self._is_writable = False

    def into(self, roots: Roots, period: str) -> Pen:
        """The same pen over the document of another period."""
        return Pen(
            roots, wid=self.wid, clock=self.clock, now_ms=self.now_ms,
            generation=self.generation, period=period, catalog=self.catalog,
        )  # fmt: skip

    def check_writable(self) -> None:
        """Raise :class:`SchemaTooNew` or :class:`PeriodClosed` when nothing must be written here (any more)."""
        if not self._is_writable:
            check_writable(self.roots)
            self._is_writable = True

    def check_time(self, at_ms: object) -> int:
        """Return a time at which something can have been measured, in Unix milliseconds.

        Raises :class:`InvalidValue` when it is no int, before 1970, or over 60 s in the future."""
        if type(at_ms) is not int or not 0 <= at_ms <= INT_MAX:
            raise InvalidValue(f"{at_ms!r} is no time: whole Unix milliseconds are")
        now_ms = self.now_ms()
        if at_ms > now_ms + AHEAD_MS_MAX:
            raise InvalidValue(f"{at_ms} ms lies in the future: it is {now_ms} ms now")
        return at_ms

    def period_at(self, at_ms: object) -> str | None:
        """The period of a time, of the same kind as this document's; None where the document's is not known.

        Raises :class:`InvalidValue` as :meth:`check_time` does."""
        checked = self.check_time(at_ms)
        return None if self.period is None else _period_like(self.period, checked)

    def put(self, root: str, key: str, value: Value) -> None:
        """Write, and see to it that others learn of this document."""
        if self.catalog is not None and self.period is not None:
            note_measured(self.catalog, self.period)
        self.roots.put(root, key, value)

    def stamp_after(self, seen: Iterable[int]) -> int:
        """One stamp for all samples of this edit, later than those that they may have to replace."""
        now_ms = self.now_ms()
        adopted = [stamp for stamp in seen if self.clock.receive(stamp, now_ms)]
        if self._stamp is None or self._stamp <= max(adopted, default=-1):
            self._stamp = self.clock.tick(now_ms)
        return self._stamp


def _period_like(period: str, at_ms: int) -> str:
    return day_of(at_ms) if len(period) > len("2026-11") else period_of(at_ms)
