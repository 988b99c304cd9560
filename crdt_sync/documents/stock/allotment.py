"""Rights by demand: who asks for how much, who hands over how much of it, and whose rights lapse. Decides only.

Every replica works out the same plan from the same movements and carries out its own part of it, so that several who
hear of one request do not all answer the whole of it. Where they have heard different things, they may hand over too
much or too little: rights only change hands, so nothing can be oversold by that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.keys import nfc
from crdt_sync.documents.stock.movements import Cell, Row

POOL: Final = "relay"
"""The replica that keeps nothing back: rights that the relay holds are there to be handed out."""

DAY_MS: Final = 86_400_000

SILENT_MS: Final = DAY_MS
"""Nobody counts on the answer of a replica that has written nothing for so long."""


@dataclass(frozen=True, slots=True)
class Request:
    """A replica has asked for rights and was not handed all of them yet."""

    mid: str
    sku: str
    location: str
    rid: str
    quantity: int
    stamp: int
    answers: Mapping[str, int]
    """By replica what it has handed over for it."""

    @property
    def cell(self) -> Cell:
        return self.sku, self.location

    @property
    def missing(self) -> int:
        """How many units are still asked for."""
        return self.quantity - sum(self.answers.values())


@dataclass(frozen=True, slots=True)
class Lapse:
    """Rights of a replica that has been silent for longer than the tenant's rules allow."""

    sku: str
    location: str
    rid: str
    units: int
    seen_ms: int
    """When it wrote last, in Unix milliseconds."""


def open_requests(wants: Mapping[str, Row], answers: Mapping[str, Iterable[Row]]) -> list[Request]:
    """Of ``want`` movements those that are open, the oldest first; ``answers`` are the ``xfer`` that name each.

    Of one replica only the latest for a cell counts: it knows best what it still needs."""
    latest: dict[tuple[Cell, str], tuple[int, str]] = {}
    for mid, (_, sku, location, _, rid, written, *_) in wants.items():
        asked = (nfc(sku), nfc(location)), rid
        latest[asked] = max(latest.get(asked, (0, "")), (int(written), mid))
    found = []
    for (cell, rid), (written, mid) in latest.items():
        handed: Counter[str] = Counter()
        for answer in answers.get(mid, ()):
            if answer[7]["to"] == rid and (nfc(answer[1]), nfc(answer[2])) == cell:
                giver = answer[7].get("from")
                handed[giver if isinstance(giver, str) else answer[4]] += int(answer[3])
        request = Request(mid, *cell, rid, int(wants[mid][3]), written, dict(handed))
        if request.missing > 0:
            found.append(request)
    return sorted(found, key=lambda request: (request.stamp, request.mid))


def allot(
    requests: Sequence[Request], rights: Mapping[str, int], givers: Collection[str], keep_percent: int
) -> list[tuple[Request, Mapping[str, int]]]:
    """For each request of one cell, oldest first, what each of the ``givers`` hands over for it.

    First of all the pool gives; then each what it can spare, in proportion. Nobody goes below ``keep_percent`` of what
    it had before it began to answer these requests, and who asks for more itself gives nothing."""
    asking = {request.rid for request in requests}
    spare = {
        rid: _spare(rid, rights.get(rid, 0), sum(request.answers.get(rid, 0) for request in requests), keep_percent)
        for rid in sorted(givers)
        if rid not in asking
    }
    plan: list[tuple[Request, Mapping[str, int]]] = []
    for request in requests:
        given: Counter[str] = Counter()
        for some in ({POOL}, spare.keys() - {POOL}):
            parts = _divide(request.missing - given.total(), {rid: spare[rid] for rid in sorted(some & spare.keys())})
            given.update(parts)
            for rid, units in parts.items():
                spare[rid] -= units
        plan.append((request, {rid: units for rid, units in given.items() if units}))
    return plan


def counted_on(seen: Mapping[str, int], now_ms: int) -> set[str]:
    """The replicas that have written something lately, so that they are likely to answer."""
    return {rid for rid, stamp in seen.items() if at_ms(stamp) > now_ms - SILENT_MS}


def lapses(
    rights: Mapping[Cell, Mapping[str, int]], seen: Mapping[str, int], now_ms: int, lapse_days: int | None
) -> list[Lapse]:
    """The rights of replicas that have been silent for ``lapse_days``, by product, location and name; none where that
    is None. The relay's own never lapse, nor those of a replica of which nobody knows when it wrote last."""
    if lapse_days is None:
        return []
    latest_ms: defaultdict[str, int] = defaultdict(lambda: now_ms, {rid: at_ms(stamp) for rid, stamp in seen.items()})
    return [
        Lapse(*cell, rid, units, latest_ms[rid])
        for cell, of in sorted(rights.items())
        for rid, units in sorted(of.items())
        if units > 0 and rid != POOL and latest_ms[rid] < now_ms - lapse_days * DAY_MS
    ]


def _spare(rid: str, have: int, given: int, keep_percent: int) -> int:
    """What a replica may still give, ``given`` for these requests before. Asked again, it must not halve its rest."""
    if rid == POOL:
        return max(have, 0)
    keep = -(-(have + given) * keep_percent // 100)
    return max(have - keep, 0)


def _divide(wanted: int, spare: Mapping[str, int]) -> dict[str, int]:
    """``wanted`` units, or all that there are, in proportion to what each can spare, to the unit."""
    total = sum(spare.values())
    units = min(wanted, total)
    if units <= 0:
        return {}
    parts = {rid: units * of // total for rid, of in spare.items()}
    # The largest remainders are rounded up; nobody whose part came out even is among them.
    by_remainder = sorted(spare, key=lambda rid: (-(units * spare[rid] % total), rid))
    for rid in by_remainder[: units - sum(parts.values())]:
        parts[rid] += 1
    return parts
