"""How many sales are refused when tills hand rights over by demand, and how many when they do not?

Five tills sell one product under escrow for a day; the delivery is booked in by one of them, and its rights stay there,
or are given out in even parts, or half of them to the relay's pool. Customers come to the tills unevenly, and every
till hears of the others through a relay once in so many minutes. Prediction: rights that stay where the goods came in
lose more than half of the sales, even parts lose those of the busiest tills; with handing over by demand next to none
are lost while tills meet the relay every few minutes, and the more the longer they don't. Nothing is oversold at all,
since that is no matter of luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.stock.allotment import POOL
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.errors import InsufficientRights
from crdt_sync.replica import Replica, Write, replay

TILLS = tuple(f"till-{number}" for number in range(1, 6))
SHARES = (40, 25, 20, 10, 5)
"""Of a hundred customers so many come to each till."""
STOCK, SALES = 300, 240
PERIOD, START_MS, MINUTE_MS = "2026-11", 1_795_046_400_000, 60_000
SEEDS = (1, 2, 3)
AHEAD_MINUTES = 45
"""A till asks for more when it has less left than it sold in so long, and for twice as much as that."""
LEAST = 3


@dataclass
class Counter:
    """One till, or the steward of the relay, with its own documents."""

    rid: str
    catalog: Replica
    now: list[int]
    movements: Replica = field(default_factory=Replica)
    clock: HybridClock = field(default_factory=HybridClock)
    warm: WarmStock = field(default_factory=WarmStock)
    came: list[int] = field(default_factory=list)
    """When its customers came."""

    def edit(self) -> tuple[InventoryDocument, Draft]:
        draft = Draft(self.movements)
        face = InventoryDocument(
            Draft(self.catalog),
            PERIOD,
            draft,
            rid=self.rid,
            clock=self.clock,
            now_ms=lambda: self.now[0],
            warm=self.warm,
        )
        return face, draft

    def keep(self, draft: Draft) -> None:
        if writes := [Write(*write) for write in draft.end()]:
            self.movements.write(writes)

    def sync(self, relay: Replica) -> None:
        """What the relay has and what this till has, both ways."""
        relay.merge(self.movements.since(relay.state))
        self.movements.merge(relay.since(self.movements.state))


@dataclass(frozen=True)
class Day:
    """What came of one day's customers."""

    refused: int
    oversold: int
    handed_over: int


def catalog() -> Replica:
    replica = Replica()
    entries = [("shirt/$life", "active"), ("@A/$life", "active"), ("@A/escrow", "refuse")]
    replica.write([*(Write("attr", key, value) for key, value in entries), Write("periods", PERIOD, 1)])
    return replica


def open_shop(placed: str) -> tuple[list[Counter], Counter, list[int]]:
    """Tills that know of the delivery, with its rights at one till, in even parts, or half of them in the pool."""
    shared, now = replay([catalog().snapshot()]), [START_MS]
    tills = [Counter(rid, shared, now) for rid in TILLS]
    steward = Counter(POOL, shared, now)
    first = tills[0]
    inventory, draft = first.edit()
    inventory.receive("shirt", STOCK, at="A")
    part = STOCK // len(TILLS) if placed == "even parts" else STOCK // 2 // len(TILLS)
    if placed != "one till":
        for till in tills[1:]:
            inventory.give("shirt", part, at="A", to=till.rid)
    if placed == "half in a pool":
        inventory.give("shirt", STOCK // 2, at="A", to=POOL)
    first.keep(draft)
    for counter in [*tills, steward]:
        counter.sync(first.movements)
    return tills, steward, now


def sell(till: Counter, *, asks: bool) -> bool:
    """Serve one customer; a till that asks does so before it runs out, if it can tell."""
    inventory, draft = till.edit()
    till.came.append(till.now[0])
    is_served = True
    try:
        inventory.sell("shirt", 1, at="A")
    except InsufficientRights:
        is_served = False
    lately = sum(at > till.now[0] - AHEAD_MINUTES * MINUTE_MS for at in till.came)
    has = inventory.rights("shirt", "A").of.get(till.rid, 0)
    if asks and has < max(LEAST, lately) and till.rid not in {request.rid for request in inventory.requests()}:
        inventory.request("shirt", 2 * max(LEAST, lately), at="A")
    till.keep(draft)
    return is_served


def answer(counter: Counter) -> int:
    inventory, draft = counter.edit()
    answered = len(inventory.answer_requests())
    counter.keep(draft)
    return answered


def day(seed: int, placed: str, *, by_demand: bool, sync_every: int) -> Day:
    """A customer a minute; every till meets the relay once in so many of them."""
    random = Random(seed)
    tills, steward, now = open_shop(placed)
    relay, refused, handed_over = Replica(), 0, 0
    relay.merge(steward.movements.snapshot())
    for _ in range(SALES):
        now[0] += MINUTE_MS
        refused += not sell(random.choices(tills, SHARES)[0], asks=by_demand)
        for counter in [*tills, steward]:
            if random.randrange(sync_every) == 0 or counter is steward:
                counter.sync(relay)
                if by_demand and (answered := answer(counter)):
                    handed_over += answered
                    counter.sync(relay)
    for till in tills:
        till.sync(relay)
    inventory, _ = steward.edit()
    return Day(refused, len(inventory.oversold()), handed_over)


def row(name: str, days: Sequence[Day]) -> str:
    refused = sum(one.refused for one in days) / (SALES * len(days))
    handed_over = sum(one.handed_over for one in days) / len(days)
    return f"{name:<46} {refused:>9.1%} {handed_over:>12.0f} {sum(one.oversold for one in days):>9}"


def main() -> None:
    print(f"{SALES} customers a day at {len(TILLS)} tills ({SHARES} % of them), {STOCK} units, {len(SEEDS)} days")
    print(f"{'':<46} {'refused':>9} {'hand-overs':>12} {'oversold':>9}")
    for placed in ("one till", "even parts", "half in a pool"):
        print(row(f"rights: {placed}; none handed over", days(placed, by_demand=False, sync_every=5)))
        for sync_every in (1, 5, 30):
            name = f"rights: {placed}; by demand, sync every {sync_every} min"
            print(row(name, days(placed, by_demand=True, sync_every=sync_every)))


def days(placed: str, *, by_demand: bool, sync_every: int) -> list[Day]:
    return [day(seed, placed, by_demand=by_demand, sync_every=sync_every) for seed in SEEDS]


if __name__ == "__main__":
    main()
