"""What does it cost to know that no movement is ever changed after the fact, on top of the gate?

Prediction: under 4 µs for a movement; under 1 byte for each where one session writes many, some 600 bytes for a
session, and some 200 bytes for a movement under another session's id. The fork index would find the same for 400 bytes
a movement.

Seen (2 cores, CPython 3.11): 3.2 µs and 0.02 bytes for a movement of one session, 610 bytes for a session, 180 bytes
for a movement under another's id. The fork index takes 400 bytes for each movement, and as long.
"""

from __future__ import annotations

import gc
import timeit
import tracemalloc
from collections.abc import Callable

from pycrdt import Doc, Map

from benchmarks.forks import judged
from benchmarks.gate import updates_of
from crdt_sync.documents.keys import movement_id
from crdt_sync.updates.forks import ForkIndex
from crdt_sync.updates.rewrites import RewriteIndex

MOVEMENTS, SESSIONS = 100_000, 2_000
ROW = ["sale", "85123A", "till-3", 2, "till-3", 889_500_467_200_000]
REPEATS = 3


def one_session(doc: Doc) -> None:
    for number in range(MOVEMENTS):
        doc.get("mv", type=Map)[movement_id(doc.client_id, number)] = ROW


def many_sessions(doc: Doc) -> None:
    for _ in range(SESSIONS):
        other: Doc = Doc()
        with other.transaction():
            for number in range(MOVEMENTS // SESSIONS):
                other.get("mv", type=Map)[movement_id(other.client_id, number)] = ROW
        doc.apply_update(other.get_update())


def under_other_ids(doc: Doc) -> None:
    for number in range(MOVEMENTS // 10):
        doc.get("mv", type=Map)[movement_id(doc.client_id + 1 + number % 7, number)] = ROW


def row(name: str, make: Callable[[Doc], None], *, per: int) -> None:
    updates = judged(updates_of(make))

    def feed_all() -> RewriteIndex:
        index = RewriteIndex("mv")
        for update, verdict in updates:
            assert not index.feed(update, verdict)
        return index

    def follow_forks() -> ForkIndex:
        forks = ForkIndex(("mv",))
        for update, verdict in updates:
            forks.feed(update, verdict)
        return forks

    figures = []
    for build in (feed_all, follow_forks):
        best = min(timeit.repeat(build, number=1, repeat=REPEATS))
        gc.collect()
        tracemalloc.start()
        index = build()
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del index
        figures += [best / per * 1e6, grown / per]
    print(f"{name:36}{per:>10,}{figures[0]:>8.2f}{figures[1]:>10.2f}{figures[2]:>12.2f}{figures[3]:>10.2f}")


def main() -> None:
    print(f"{'':46}{'ranges':>18}{'heads of all keys':>22}")
    print(f"{'movements':36}{'of':>10}{'µs':>8}{'bytes':>10}{'µs':>12}{'bytes':>10}")
    row("of one session, one an update", one_session, per=MOVEMENTS)
    row("of 2,000 sessions, 50 an update", many_sessions, per=MOVEMENTS)
    row("under ids of other sessions", under_other_ids, per=MOVEMENTS // 10)


if __name__ == "__main__":
    main()
