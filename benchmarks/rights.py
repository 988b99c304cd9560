"""What do rights by path cost: for each update, and for the room when the first bounded member comes in?

Prediction: to judge one small update of a map takes a trace, a path and a few comparisons, some 5 µs beside the gate's
8; to follow an update in a room that has such members about 2 µs; to find out where 100,000 entries lie takes decoding
them, about half a second, and some 200 bytes for each key.
"""

from __future__ import annotations

import gc
import time
import timeit
import tracemalloc
from collections.abc import Callable
from functools import partial

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from crdt_sync.updates.encode import write_entries, write_over
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.places import PlaceIndex
from server.auth.patterns import PathPattern, PathRights
from server.rooms.history import History
from server.rooms.rights import objection

ENTRIES = 100_000
PORTION = 1_000
UPDATES = 2_000
REPEATS = 5
RIGHTS = PathRights("inventory/catalog", tuple(map(PathPattern.parse, ("attr/*/price", "attr/*/quantity"))))


def document(entries: int) -> list[bytes]:
    """The log of a catalog with so many attributes."""
    return [
        write_entries(
            1, first, "attr", {f"product-{number}/quantity": number for number in range(first, first + PORTION)}
        )
        for first in range(0, entries, PORTION)
    ]


def small_updates() -> list[bytes]:
    return [write_entries(2, clock, "attr", {f"item-{clock}/quantity": clock}) for clock in range(UPDATES)]


def judged(updates: list[bytes]) -> list[tuple[DecodedUpdate, Verdict]]:
    ledger, found = Ledger(), []
    for raw in updates:
        update = decode_update(raw)
        verdict = judge(update, ledger, DEFAULT_LIMITS)
        assert verdict.fresh is not None
        ledger.admit(verdict.fresh)
        found.append((update, verdict))
    return found


def best_s(work: Callable[[], object]) -> float:
    """Seconds of one run: of the processor, since other processes are no part of the question."""
    return min(timeit.repeat(work, timer=time.process_time, number=1, repeat=REPEATS))


def held_bytes(log: list[bytes]) -> int:
    """What an index of this log keeps in memory."""
    gc.collect()
    tracemalloc.start()
    index = PlaceIndex.of_log(log)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert index.end(1)
    return held


def main() -> None:
    raws, log = small_updates(), document(ENTRIES)
    updates = judged(raws)
    index, history = PlaceIndex.of_log(log), History(b"", 0, Ledger())

    def rights() -> None:
        for update, verdict in updates:
            assert objection(update, verdict, RIGHTS, index, history, DEFAULT_LIMITS) is None

    def follow() -> None:
        fresh = PlaceIndex()
        for update, verdict in updates:
            fresh.feed(update, verdict.runs)

    print("processor time of a small map update                  µs")
    for name, work in (
        ("the gate", lambda: judged(raws)),
        ("rights by path, of a bounded member", rights),
        ("following it, in a room with such a member", follow),
    ):
        print(f"  {name:48}{best_s(work) / UPDATES * 1e6:8.2f}")
    rewrites = [write_entries(1, 0, "attr", {"tea/quantity": 0})]
    rewrites += [write_over(1, clock, [((1, clock - 1), clock)]) for clock in range(1, ENTRIES)]
    print("the first such member comes in                         s   bytes an entry")
    for name, made in ((f"{ENTRIES:,} keys", log), (f"one key, written {ENTRIES:,} times", rewrites)):
        building_s = best_s(partial(PlaceIndex.of_log, made))
        print(f"  {name:48}{building_s:8.2f}{held_bytes(made) / ENTRIES:12.1f}")


if __name__ == "__main__":
    main()
