"""Question: what does a verified compaction cost a scribe, and how much of it is the verification?

Prediction: time grows in proportion to the updates, about 60 us for each in all; the proof costs about half of it;
memory grows by about 1 kB for each update; 100,000 updates stay under ten seconds and half of the default memory.

Run: ``python -m benchmarks.compaction``. Writes of one client to N / 10 entries of one map.
"""

import asyncio
import resource
import subprocess
import sys
import time

from crdt_sync.replica import replay
from server.scribes.history import STORED_LIMITS, History
from server.scribes.pool import open_scribes
from server.scribes.verification import check_snapshot
from tests.integration.scribe_logs import map_log

SIZES = (1_000, 10_000, 100_000)


async def through_a_scribe(log: list[bytes]) -> tuple[float, int]:
    """Seconds of the second of two compactions, so that starting the process does not count, and snapshot bytes."""
    async with open_scribes(count=1, memory_bytes_max=2 << 30, timeout_s=300, on_death=print) as scribes:
        await scribes.compact(None, log[:1])
        began_s = time.perf_counter()
        compacted = await scribes.compact(None, log)
        return time.perf_counter() - began_s, len(compacted.state)


def measure(updates: int) -> None:
    """One row of the table; in a process of its own, so that its peak of memory is this size's."""
    log = map_log(updates // 10, updates)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.perf_counter()
    state = replay(log, STORED_LIMITS).snapshot()
    rebuilt_s = time.perf_counter()
    check_snapshot(History(log), state)
    checked_s = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole_s, snapshot_bytes = asyncio.run(through_a_scribe(log))
    print(
        f"{updates:>8} {sum(map(len, log)) / 1e6:>8.2f} {snapshot_bytes / 1e6:>12.2f} {whole_s * 1e3:>8.0f} "
        f"{(rebuilt_s - began_s) * 1e3:>11.0f} {(checked_s - rebuilt_s) * 1e3:>9.0f} {(peak - before) / 1024:>9.0f}"
    )


def main() -> None:
    print(
        f"{'updates':>8} {'log MB':>8} {'snapshot MB':>12} {'ms':>8} {'rebuild ms':>11} {'check ms':>9} {'grew MB':>9}"
    )
    for updates in SIZES:
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "benchmarks.compaction", str(updates)], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
