"""How long does the first client wait for a document of 100,000 logged updates after a stop, and after a kill?

Back of the envelope, before the first run. 100,000 updates of 75 bytes are 7.5 MB of log. Reading them from SQLite
takes 50-100 ms, decoding each in pure Python 10 us, so one second for a log that nobody has compacted; with a snapshot
and a short tail it is one read and one write, 5-10 ms. LevelDB and SQLite stores of peers read all updates and apply
them to a Doc: 0.5-1 s. Hocuspocus writes a whole document seconds after an edit, so that a kill loses what it had not
written; y-websocket's LevelDB is written without fsync and may have lost the end of it, or all.

The clock starts when the server listens again, and the time it took to get there is a row of its own. A server that
does not give back 100,000 updates has lost some, and is a note instead of a figure.

Run: python -m benchmarks.w4_cold_open [--full] [--server NAME]
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load.generator import LoadFailed, run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload_from
from benchmarks.peers.running import Running, Server, start
from benchmarks.peers.servers import KEEPING, OURS

BYTES_AN_UPDATE_MIN = 8
"""A whole document holds at least this of each update, even where its value has been overwritten since."""
SETTLE_S = 3.0
"""What a server that writes some time after it has acked is given, before it is stopped or killed."""


def measure(server: Server, folder: Path, form: Form) -> Iterator[Reading]:
    updates = form.pick(20_000, 100_000)
    ends = {"clean stop": signal.SIGTERM, "kill": signal.SIGKILL}
    lost: list[str] = []
    for name, how in ends.items():
        case = f"{updates:,} updates, then a {name}"
        fill(server, folder / name, updates, how)
        began_s = time.perf_counter()
        again = start(server, folder / name)
        try:
            started_s = time.perf_counter() - began_s
            kept = updates * BYTES_AN_UPDATE_MIN
            load = run(again, "storm", "cold", clients=1, expected_bytes=kept, timeout_s=20)
        finally:
            again.end(signal.SIGKILL)
        if not load.counted["synced"]:
            lost.append(f"updates were missing after a {name}")
            continue
        yield Reading(case, "first sync, ms", load.us("sync", "max") / 1e3, "lower", leads=True)
        yield Reading(case, "start, ms", started_s * 1e3, "lower")
    if lost:
        raise LoadFailed("; ".join(lost))


def fill(server: Server, folder: Path, updates: int, how: signal.Signals) -> None:
    """Write the updates, wait for what is written late, and end the server."""
    it: Running = start(server, folder)
    try:
        run(it, "fan", "cold", count=updates, in_flight=256, until_ack=1, timeout_s=180)
        time.sleep(SETTLE_S)
    finally:
        it.end(how)


def main() -> None:
    run_workload_from(__doc__, __file__, measure, (OURS, *KEEPING))


if __name__ == "__main__":
    main()
