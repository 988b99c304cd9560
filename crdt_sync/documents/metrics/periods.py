"""Which periods have metrics, as the catalog notes them: root ``metrics``.

``{period}`` -> ``1``: there is, or soon will be, a document ``metrics/{period}``; also for the years that hold folds.
``{period}/folded`` -> stamp: what that document came to is in its year's. Two keys, because a peer that was away may
note the period again when it is long folded, and of two writes of one key only one would be left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crdt_sync.documents.names import check_period, is_year, period_span_ms
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import Fault, stamp
from crdt_sync.errors import InvalidName

MEASURED: Final = "metrics"
"""The root of the catalog."""

_FOLDED: Final = "folded"
_DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class MeasuredPeriods:
    """What the catalog says of metrics documents."""

    periods: set[str] = field(default_factory=set)
    """Months and days that have metrics, folded or not."""
    years: set[str] = field(default_factory=set)
    folded: dict[str, int] = field(default_factory=dict)
    """Periods that are folded into their year's document, and the stamp of their closing."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def unfolded(self) -> list[str]:
        """The periods that only their own documents tell of, sorted."""
        return sorted(self.periods - self.folded.keys())

    @property
    def to_follow(self) -> list[str]:
        """The periods whose documents together hold all metrics, sorted."""
        return sorted({*self.unfolded, *self.years})


def year_of(period: str) -> str:
    """The year whose document takes the fold of a month or day. Raises :class:`InvalidName`."""
    return check_period(period)[:4]


def read_measured(entries: Mapping[str, Value]) -> MeasuredPeriods:
    """The ``metrics`` root of the catalog."""
    found = MeasuredPeriods()
    for key in sorted(entries):
        period, slash, what = key.partition("/")
        closed = stamp(entries[key])
        if slash and (what != _FOLDED or is_year(period) or closed is None):
            found.faults.append(Fault(MEASURED, key, "is no note of the form {period}/folded with a stamp"))
        elif is_year(period):
            found.years.add(period)
        elif not _is_period(period):
            found.faults.append(Fault(MEASURED, key, "is no UTC year, month or day"))
        else:
            found.periods.add(period)
            if slash and closed is not None:
                found.folded[period] = closed
    return found


def note_measured(catalog: Roots, period: str) -> bool:
    """Note that there is a document ``metrics/{period}``; False when it is noted. Raises :class:`InvalidName`."""
    if not is_year(period):
        check_period(period)
    if catalog.get(MEASURED, period) is not None:
        return False
    catalog.put(MEASURED, period, 1)
    return True


def note_folded(catalog: Roots, period: str, closed: int) -> bool:
    """Note that a period is folded, so that nobody need open it any more; False when it is noted.

    ``closed`` is the stamp of its closing. Raises :class:`InvalidName`."""
    year, key = year_of(period), f"{period}/{_FOLDED}"
    is_news = note_measured(catalog, year)
    if stamp(catalog.get(MEASURED, key)) is None:
        catalog.put(MEASURED, key, closed)
        is_news = True
    return is_news


def due_to_close(catalog: RootsView, now_ms: int, grace_days: int | None) -> list[str]:
    """The periods with metrics that ended over ``grace_days`` whole days ago and are not folded yet, oldest first.

    None for ``grace_days`` means that no period is ever closed."""
    if grace_days is None:
        return []
    ended = {period: period_span_ms(period)[1] for period in read_measured(catalog.entries(MEASURED)).unfolded}
    due = [period for period, end_ms in ended.items() if end_ms + grace_days * _DAY_MS <= now_ms]
    return sorted(due, key=lambda period: (ended[period], period))


def _is_period(period: str) -> bool:
    try:
        check_period(period)
    except InvalidName:
        return False
    return True
