"""How much the movement document of one period takes, and where movements go when it is full."""

from __future__ import annotations

from collections.abc import Callable, Collection

from crdt_sync.documents.names import day_of, period_of, period_span_ms
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import MOVEMENTS, Fault
from crdt_sync.limits import Limits


def current_period(now_ms: int, takes_no_more: Callable[[str], bool], closed: Collection[str] = ()) -> str:
    """Where a movement belongs that is written now: the UTC month, or, where its document is full or closed, the UTC
    day. A day that is ``closed``, too, is so because this clock lags: then it is the first month behind that and behind
    all that are closed. Raises :class:`InvalidName` outside the years 1 to 9999."""
    month, day = period_of(now_ms), day_of(now_ms)
    if not takes_no_more(month):
        return month
    return day if day not in closed else _month_after(max(closed))


def _month_after(period: str) -> str:
    return period_of(period_span_ms(period[: len("2026-11")])[1])


def cap_faults(period: str, document: RootsView, limits: Limits) -> list[Fault]:
    """That a document holds more than it should, if it does. A day has no smaller period to go on in, so what is
    written beyond the caps counts all the same."""
    mids = list(document.keys(MOVEMENTS))
    faults = []
    if len(mids) > limits.movements_max:
        faults.append(Fault(MOVEMENTS, period, f"holds {len(mids)} movements, more than {limits.movements_max}"))
    # A client id writes its movements under its own name.
    clients = len({mid.partition(".")[0] for mid in mids})
    if clients > limits.movement_clients_max:
        faults.append(
            Fault(MOVEMENTS, period, f"was written by {clients} sessions, more than {limits.movement_clients_max}")
        )
    return faults
