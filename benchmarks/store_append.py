"""How many durable appends per second does one store take, and how long does one of them wait?

Back of the envelope, before the first run. One commit of a WAL with synchronous=FULL costs an fsync (0.4 ms here) and
two thread hops (0.1 ms); a writer in its loop so gets 2,000 appends/s at p50 0.5 ms. Writers share commits: 10 of them
should get close to 10 times that. Each append also costs about 40 us of Python in the end (a future, a task switch,
two checksums, two rows, one page of the WAL per document), so beyond 100 writers the curve flattens at some
20,000/s, and the wait is the number of writers divided by that: 5 ms for 100, 50 ms for 1,000.

Run: python benchmarks/store_append.py [--seconds-per-row S] [--folder DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Record

WRITERS = (1, 10, 100, 1_000)
UPDATE_BYTES = 200


@dataclass(frozen=True, slots=True)
class Row:
    writers: int
    documents: int
    appends_per_s: float
    appends_per_commit: float
    p50_ms: float
    p99_ms: float


async def write(store: SqliteStore, document: str, until_s: float, waits_s: list[float]) -> None:
    log = store.log(document)
    record = Record(bytes(UPDATE_BYTES), "benchmark", 0)
    while (start_s := time.perf_counter()) < until_s:
        await log.append([record])
        waits_s.append(time.perf_counter() - start_s)


async def measure(path: Path, writers: int, documents: int, duration_s: float) -> Row:
    waits_s: list[float] = []
    async with open_sqlite_store(path, create=True, kind="benchmark") as store:
        start_s = time.perf_counter()
        await asyncio.gather(
            *(write(store, f"d{number % documents}", start_s + duration_s, waits_s) for number in range(writers))
        )
        took_s = time.perf_counter() - start_s
        commits = store.commits
    waits_s.sort()
    return Row(
        writers,
        documents,
        len(waits_s) / took_s,
        len(waits_s) / commits,
        waits_s[len(waits_s) // 2] * 1e3,
        waits_s[len(waits_s) * 99 // 100] * 1e3,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds-per-row", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the system's temporary folder")
    arguments = parser.parse_args()
    print(f"durable appends of {UPDATE_BYTES} B to one SQLite store (WAL, synchronous=FULL)")
    print(f"{'writers':>8} {'documents':>9} {'appends/s':>10} {'per commit':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for writers in WRITERS:
        # Each writer its own document, as rooms of a relay; and all on one, as a burst in one room.
        for documents in sorted({1, writers}):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                row = asyncio.run(measure(Path(folder) / "store.db", writers, documents, arguments.seconds_per_row))
            print(
                f"{row.writers:>8} {row.documents:>9} {row.appends_per_s:>10,.0f} {row.appends_per_commit:>10.1f}"
                f" {row.p50_ms:>8.2f} {row.p99_ms:>8.2f}"
            )


if __name__ == "__main__":
    main()
