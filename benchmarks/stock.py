"""What does the stock of one cell cost, with 100,000 movements in the document?

Prediction: a fold of everything takes 0.7 s, most of it to read and check each entry; from an index that is kept, a
cell costs microseconds, a sale within rights under 1 ms, and what others wrote is found in a tenth of the fold.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from random import Random

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.replica import Replica, Write

MOVEMENTS, CELLS, PLACES, SESSIONS = 100_000, 1_000, 5, 200
PERIOD, NOW_MS, STAMP = "2026-11", 1_795_000_000_000, 889_500_467_200_000
REPEATS = 5


def catalog() -> Replica:
    replica = Replica()
    writes = [Write("attr", f"sku-{number}/$life", "active") for number in range(CELLS // PLACES)]
    writes += [Write("attr", f"@shop-{number}/$life", "active") for number in range(PLACES)]
    replica.write([*writes, Write("attr", "@shop-0/escrow", "refuse")])
    return replica


def movements() -> Replica:
    """All by one writer into the document, under the ids of many: what a fold reads is the same."""
    random, replica = Random(1), Replica()
    for start in range(0, MOVEMENTS, 1_000):
        replica.write(
            [
                Write("mv", f"s{number % SESSIONS}.{number}", row(random, number))
                for number in range(start, start + 1_000)
            ]
        )
    return replica


def row(random: Random, number: int) -> list[str | int]:
    cell, kind = random.randrange(CELLS), random.choice(["rcv", "rcv", "sale", "adj"])
    place = [f"sku-{cell // PLACES}", f"shop-{cell % PLACES}"]
    return [kind, *place, random.randint(1, 9), "till-1", STAMP + number * 4096]


def best_ms(act: Callable[[], object], *, number: int = 1) -> float:
    return min(timeit.repeat(act, number=number, repeat=REPEATS)) / number * 1e3


def main() -> None:
    products, log, warm = catalog(), movements(), WarmStock()
    state = len(log.snapshot())

    def inventory(index: WarmStock | None) -> InventoryDocument:
        drafts = Draft(products), Draft(log)
        clock = HybridClock()
        return InventoryDocument(
            drafts[0], PERIOD, drafts[1], rid="till-1", clock=clock, now_ms=lambda: NOW_MS, warm=index
        )

    def heard() -> int:
        log.write([Write("mv", f"new.{log.version[1]}", ["sale", "sku-1", "shop-1", 1, "till-2", STAMP])])
        return inventory(warm).stock("sku-0", "shop-0")

    print(f"{MOVEMENTS:,} movements in {CELLS:,} cells, {state / 1e6:.2f} MB\n{'':56}{'ms':>10}")
    anew = best_ms(lambda: inventory(None).stock("sku-0", "shop-0"))
    print(f"{'stock of a cell, everything read anew':56}{anew:>10.3f}")
    inventory(warm).stock("sku-0", "shop-0")
    kept = best_ms(lambda: inventory(warm).stock("sku-0", "shop-0"), number=100)
    print(f"{'stock of a cell, index kept':56}{kept:>10.3f}")
    print(f"{'stock of every cell, index kept':56}{best_ms(inventory(warm).stock_table):>10.3f}")
    print(f"{'a movement of somebody else came, then stock of a cell':56}{best_ms(heard):>10.3f}")
    edit = inventory(warm)
    edit.receive("sku-0", 10_000, at="shop-0")
    edit.stock("sku-0", "shop-0")
    selling = best_ms(lambda: edit.sell("sku-0", 1, at="shop-0"), number=100)
    print(f"{'a sale within rights, within one edit':56}{selling:>10.3f}")


if __name__ == "__main__":
    main()
