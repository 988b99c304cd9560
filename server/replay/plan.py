"""Who records what, when it syncs and when it is killed: drawn from one seed, decided before anything runs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.replay.retail_data import Invoice, RetailData

STRETCHES_MAX = 14
INVOICES_PER_STRETCH = 40
KILLED_SHARE = 0.2
SYNCED_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time that a peer spends offline, recording. At its end it may come back and sync."""

    peer: str
    number: int
    invoices: Sequence[Invoice]
    syncs: bool
    killed_at: int | None
    """SIGKILL follows the report of this many invoices; one more than there are stands for the midst of its sync."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All stretches in the order in which they begin, peers mixed; a peer's own are in order."""

    peers: Sequence[str]
    stretches: Sequence[Stretch]
    killed_at_the_end: frozenset[str]
    """Peers that are killed once more, in the midst of their last sync."""


def make_plan(data: RetailData, *, peers: int, seed: int) -> Plan:
    """Spread the countries over ``peers`` peers (at most one a country) and cut each one's time into stretches."""
    draw = random.Random(seed)  # noqa: S311  a plan to be repeated, not a secret
    names = assign(data.countries, peers)
    own: dict[str, list[Invoice]] = {name: [] for name in names.values()}
    for invoice in sorted(data.invoices, key=lambda invoice: invoice.at):
        own[names[invoice.country]].append(invoice)
    stretches = [stretch for name, invoices in own.items() for stretch in _cut(name, invoices, draw)]
    # By the time at which they begin: peers that don't see each other write the same documents side by side.
    stretches.sort(key=lambda stretch: stretch.invoices[0].at)
    last = frozenset(name for name in own if draw.random() < KILLED_SHARE / 2)
    return Plan(list(own), stretches, last)


def assign(lines: Mapping[str, int], peers: int) -> dict[str, str]:
    """The peer of each country: the greatest countries first, each to the peer with the fewest lines so far."""
    load = {f"till-{number:02}": 0 for number in range(1, min(peers, len(lines)) + 1)}
    names: dict[str, str] = {}
    for country in sorted(lines, key=lambda name: (-lines[name], name)):
        names[country] = min(load, key=lambda name: (load[name], name))
        load[names[country]] += lines[country]
    return names


def _cut(peer: str, invoices: Sequence[Invoice], draw: random.Random) -> list[Stretch]:
    count = min(STRETCHES_MAX, 1 + len(invoices) // INVOICES_PER_STRETCH)
    bounds = sorted({0, len(invoices), *(draw.randrange(len(invoices)) for _ in range(count - 1))})
    stretches = []
    for number, (first, end) in enumerate(itertools.pairwise(bounds)):
        # The last one always syncs, so that everything is at the relay before anybody is asked for all of it.
        syncs = end == len(invoices) or draw.random() < SYNCED_SHARE
        killed_at = draw.randint(1, end - first + syncs) if draw.random() < KILLED_SHARE else None
        stretches.append(Stretch(peer, number, invoices[first:end], syncs, killed_at))
    return stretches
