"""Oversell: which movement took the balance of a cell below zero, in the one order that all peers agree on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Step(NamedTuple):
    """What one movement does to the balance of its cell. Steps sort by stamp, then id."""

    stamp: int
    mid: str
    delta: int


@dataclass(frozen=True, slots=True, order=True)
class Oversell:
    """A movement that took more than there was. Derived from the log: late movements may move or dissolve it."""

    sku: str
    location: str
    stamp: int
    mid: str
    balance: int
    """The balance right after it: below zero."""


def crossings(cell: tuple[str, str], steps: Iterable[Step], opening: int = 0) -> list[Oversell]:
    """The movements that took the balance from zero or more to below, each once, in order. ``opening`` is the balance
    before the first of them."""
    found, balance = [], opening
    for step in sorted(steps):
        before, balance = balance, balance + step.delta
        if balance < 0 <= before:
            found.append(Oversell(*cell, step.stamp, step.mid, balance))
    return found
