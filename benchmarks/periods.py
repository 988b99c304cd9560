"""What does a month of 100,000 movements cost once it is closed: to fold it, and to open a peer's stock afterwards?

Prediction: folding takes two to three times as long as adding everything up once, because each row is looked at twice;
from the folds the stock of 1,000 cells is there in a hundredth of the time that the movements take, and the catalog
grows by some 50 bytes for each cell and replica that holds rights there.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Mapping

from benchmarks.stock import CELLS, MOVEMENTS, NOW_MS, PERIOD, catalog, movements
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.stock.books import FoldStep
from crdt_sync.replica import Replica, Write

NEXT = "2026-12"
REPEATS = 3


def best_ms(act: Callable[[], object]) -> float:
    return min(timeit.repeat(act, timer=time.process_time, number=1, repeat=REPEATS)) * 1e3


def inventory(period: str, documents: Mapping[str, Draft], products: Draft) -> InventoryDocument:
    others = {name: draft for name, draft in documents.items() if name != period}
    clock = HybridClock()
    return InventoryDocument(
        products, period, documents[period], others, rid="relay", clock=clock, now_ms=lambda: NOW_MS
    )


def keep(replica: Replica, draft: Draft) -> None:
    replica.write([Write(*write) for write in draft.end()])


def fold(products: Replica, closed: Replica) -> FoldStep:
    draft = Draft(products)
    step = inventory(NEXT, {PERIOD: Draft(closed), NEXT: Draft(Replica())}, draft).books.fold(PERIOD)
    keep(products, draft)
    return step


def timed_ms(act: Callable[[], object]) -> float:
    return timeit.timeit(act, timer=time.process_time, number=1) * 1e3


def main() -> None:
    products, log = catalog(), movements()
    products.write([Write("periods", PERIOD, 1)])
    before = len(products.snapshot())

    written = log.snapshot()

    def from_movements() -> int:
        # As a peer does at its start, from a snapshot in its own file.
        loaded = Replica.restored(written, log.ledger)
        return inventory(PERIOD, {PERIOD: Draft(loaded)}, Draft(products)).stock("sku-0", "shop-0")

    print(f"{MOVEMENTS:,} movements in {CELLS:,} cells\n{'':56}{'ms of CPU':>10}")
    unfolded, expected = best_ms(from_movements), from_movements()
    print(f"{'stock from the movements, document loaded from bytes':56}{unfolded:>10.1f}")

    draft = Draft(log)
    closing = timed_ms(inventory(PERIOD, {PERIOD: draft}, Draft(products)).books.close)
    keep(log, draft)
    print(f"{'closing: which movements the fold counts':56}{closing:>10.1f}")
    print(f"{'folding, first step: what they come to':56}{timed_ms(lambda: fold(products, log)):>10.1f}")
    print(f"{'folding, second step: that it counts':56}{timed_ms(lambda: fold(products, log)):>10.1f}")

    state = products.snapshot()

    def from_folds() -> int:
        loaded = Replica.restored(state, products.ledger)
        return inventory(NEXT, {NEXT: Draft(Replica())}, Draft(loaded)).stock("sku-0", "shop-0")

    folded = best_ms(from_folds)
    assert from_folds() == expected
    print(f"{'stock from the folds, catalog loaded from bytes':56}{folded:>10.1f}")
    print(f"\nfrom movements / from folds: {unfolded / folded:.0f}")
    print(f"movements {len(log.snapshot()) / 1e6:.2f} MB; the catalog grew by {(len(state) - before) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
