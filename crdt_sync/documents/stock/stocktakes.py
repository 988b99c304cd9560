"""Stock-takes: a count is recorded as its difference to the books, and names the count that it saw before."""

from __future__ import annotations

from collections.abc import Mapping

from crdt_sync.documents.stock.movements import Row


def effective(counts: Mapping[str, Row]) -> list[str]:
    """Of all stock-takes of one cell, the ids of those that count, the latest first.

    They are the path from the latest, by (stamp, id), through ``prev``. Of two people who count one shelf without
    seeing each other only one lies on it, so the loss that both found is booked once. A ``prev`` that is missing, or
    not earlier than what names it, ends the path."""
    if not counts:
        return []
    tip = max(counts, key=lambda mid: (counts[mid][5], mid))
    path = [tip]
    while True:
        prev = counts[tip][7].get("prev")
        if prev not in counts or (counts[prev][5], prev) >= (counts[tip][5], tip):
            return path
        path.append(prev)
        tip = prev
