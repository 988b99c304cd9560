"""How much memory does an idle room with a document of 10 KB cost, and how much an idle connection?

Back of the envelope, before the first run. A server in Node or with pycrdt holds the Doc: 10 KB of content in 100
items of an object each, 100-200 KB. We hold no document: a ledger of clocks, an index of map keys and the room's
objects, 10-20 KB. A connection under uvicorn and Starlette is a transport, a parser, a request's scope, two tasks and
an outbox: 20-30 KB, of which a protocol class of our own would leave 5-10.

Read as PSS from /proc, of the server process alone: what it holds after the load minus what it held before, divided by
how many there are. A room's figure is that of rooms with one connection each, minus that of a connection.

Run: python -m benchmarks.w5_memory [--full] [--server NAME]
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load.generator import holding, run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload_from
from benchmarks.peers.running import Running, Server, running
from benchmarks.peers.servers import SYNCING

SETTLE_S = 1.0
WRITES, TEXT_BYTES = 10, 1_000


def measure(server: Server, folder: Path, form: Form) -> Iterator[Reading]:
    many = form.pick(500, 2_000)
    with running(server, folder / "connections") as it:
        warm_up(it)
        before = it.memory_bytes()
        with holding(it, "one", readers=many - 1, count=1, until_ack=1):
            per_connection = (settled(it) - before) / many
    with running(server, folder / "rooms") as it:
        warm_up(it)
        before = it.memory_bytes()
        plan = {"rooms": many, "count": WRITES, "text_bytes": TEXT_BYTES, "until_ack": 1}
        with holding(it, "idle-{}", **plan):
            both = (settled(it) - before) / many
        beside = it.all_memory_bytes() - it.memory_bytes()
    case = f"{many:,} of them"
    yield Reading(case, "KB per idle connection", per_connection / 1e3, "lower", leads=True)
    yield Reading(case, "KB per idle room of 10 KB", (both - per_connection) / 1e3, "lower", leads=True)
    yield Reading("at rest", "MB of the server", before / 1e6, "lower")
    yield Reading("at rest", "MB of processes beside it", beside / 1e6, "lower")


def warm_up(server: Running) -> None:
    """What a server allocates once, at its first visitors, is not the price of a connection."""
    run(server, "fan", "warm-{}", rooms=20, count=20, until_ack=1)
    settled(server)


def settled(server: Running) -> int:
    time.sleep(SETTLE_S)
    return server.memory_bytes()


def main() -> None:
    run_workload_from(__doc__, __file__, measure, SYNCING)


if __name__ == "__main__":
    main()
