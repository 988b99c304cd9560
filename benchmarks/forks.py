"""What does it cost to know of every concurrent write of a key, on top of the gate?

Prediction: under 5 µs for an overwrite and under 1 µs for a movement, whose root is not watched; a whole catalog of
60,000 attributes is indexed in about 0.15 s once it is decoded; 8 bytes for each element, about 400 for each key, and
once it is rewritten 170 more, because what the last writer overwrote is kept as the base of a merge.

Seen (2 cores, CPython 3.11): the base costs no time that can be told from noise (2.0 to 2.2 µs for an overwrite, 3.6 to
4.6 µs for one of 100 keys, before and after) and 8 bytes for each key that was written once.
"""

from __future__ import annotations

import gc
import timeit
import tracemalloc
from collections.abc import Callable

from pycrdt import Doc, Map

from benchmarks.gate import overwrites, small_map_updates, updates_of
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from crdt_sync.updates.forks import ForkIndex
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger

PRODUCTS, FIELDS, REWRITES = 10_000, 6, 100_000
REPEATS = 5
WATCHED = ("attr",)
STORED = DEFAULT_LIMITS.for_stored()


def judged(made: list[bytes]) -> list[tuple[DecodedUpdate, Verdict]]:
    ledger, found = Ledger(), []
    for raw in made:
        update = decode_update(raw, STORED)
        verdict = judge(update, ledger, STORED)
        assert verdict.fresh is not None
        ledger.admit(verdict.fresh)
        found.append((update, verdict))
    return found


def feed_all(updates: list[tuple[DecodedUpdate, Verdict]]) -> ForkIndex:
    index = ForkIndex(WATCHED)
    for update, verdict in updates:
        index.feed(update, verdict)
    return index


def concurrent_overwrites(doc: Doc) -> None:
    """Every second one is written by somebody who saw none of the others."""
    for number in range(1_000):
        other: Doc = Doc()
        other.get("attr", type=Map)[f"85123A/{number % 10}"] = number
        doc.apply_update(other.get_update())
        doc.get("attr", type=Map)[f"85123A/{number % 10}"] = -number


def catalog(doc: Doc) -> None:
    attributes = doc.get("attr", type=Map)
    for number in range(PRODUCTS):
        with doc.transaction():
            for field in range(FIELDS):
                attributes[f"{number}A/field-{field}"] = f"value {number}"


def catalog_twice(doc: Doc) -> None:
    catalog(doc)
    catalog(doc)


def rewrites(doc: Doc) -> None:
    attributes = doc.get("attr", type=Map)
    for number in range(REWRITES):
        attributes[f"{number % 100}A/price"] = number


def row(name: str, made: list[bytes]) -> None:
    updates = judged(made)
    best = min(timeit.repeat(lambda: feed_all(updates), number=1, repeat=REPEATS))
    print(f"{name:48}{len(updates):>10,}{best / len(updates) * 1e6:>12.2f}")


def memory(name: str, make: Callable[[Doc], None], *, per: int) -> None:
    updates = judged(updates_of(make))
    gc.collect()
    tracemalloc.start()
    index = feed_all(updates)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del index
    print(f"{name:48}{per:>10,}{grown / per:>12.0f}")


def main() -> None:
    print(f"{'feeding':48}{'updates':>10}{'µs/update':>12}")
    row("movement (root not watched)", updates_of(small_map_updates))
    row("overwrite of one key", updates_of(overwrites))
    row("overwrites of 100 keys in turn", updates_of(rewrites))
    row("overwrite, half of them concurrent", updates_of(concurrent_overwrites))
    doc: Doc = Doc()
    catalog(doc)
    state = doc.get_update()
    decoding = min(timeit.repeat(lambda: judged([state]), number=1, repeat=2))
    whole = min(timeit.repeat(lambda: ForkIndex.of_state(WATCHED, state), number=1, repeat=2))
    print(f"\n{PRODUCTS * FIELDS:,} attributes of a snapshot: {whole - decoding:.2f} s, and {decoding:.2f} s to decode")
    print(f"\n{'memory':48}{'of':>10}{'bytes each':>12}")
    memory("a key that was written once", catalog, per=PRODUCTS * FIELDS)
    memory("a key that was written twice", catalog_twice, per=PRODUCTS * FIELDS)
    memory("an element of a key that is rewritten", rewrites, per=REWRITES)


if __name__ == "__main__":
    main()
