"""Reservations: a hold takes goods out of the stock, and one end confirms it, or gives them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from crdt_sync.documents.schema import whole
from crdt_sync.documents.stock.movements import CONFIRM, EXPIRE, RELEASE, Movement, Row


class HoldState(StrEnum):
    """What has become of a hold."""

    OPEN = "open"
    EXPIRED = "expired"
    RELEASED = "released"
    CONFIRMED = "confirmed"


STATE_OF: Mapping[str, HoldState] = {
    EXPIRE: HoldState.EXPIRED,
    RELEASE: HoldState.RELEASED,
    CONFIRM: HoldState.CONFIRMED,
}
_RANK: Mapping[str, int] = {EXPIRE: 1, RELEASE: 2, CONFIRM: 3}


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold and what has become of it."""

    movement: Movement
    state: HoldState
    ended_by: str | None
    """The id of the movement that ended it."""

    @property
    def until_ms(self) -> int | None:
        """When its holder may let it expire, in Unix milliseconds; None when it never does."""
        return whole(self.movement.ext.get("until"))


def is_end_of(end: Row, hold: Row) -> bool:
    """Whether ``end`` may end ``hold``: written by the holder, of the same product, place and quantity.

    An end by anybody else could free goods that the holder is confirming at that moment, so it never counts."""
    return bool(end[1:5] == hold[1:5])


def strongest(ends: Iterable[tuple[str, Row]]) -> tuple[str, Row] | None:
    """The one end of a hold that counts: confirmed before released before expired, and then the smallest id.

    A maximum over a total order, so every peer finds the same one, in whatever order the ends arrived."""
    ranked = [(-_RANK[row[0]], mid, row) for mid, row in ends]
    if not ranked:
        return None
    _, mid, row = min(ranked, key=lambda end: end[:2])
    return mid, row
