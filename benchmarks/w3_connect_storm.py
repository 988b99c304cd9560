"""How long does it take until 1,000 clients that come at once all have a document of 1 MB, and how fast come more?

Back of the envelope, before the first run. 1,000 copies of 1 MB through loopback are 1 GB, 0.2-0.3 s of memcpy in the
kernel on each side. A server that keeps the bytes ready adds an upgrade and a join for each (100 us), so half a
second; one that encodes the document for each client adds that encoding (1-2 ms in a Doc of 1,000 long texts), so one
to three seconds. A connection that finds an empty document costs an upgrade, a token to verify (30 us of HMAC and
JSON), a few small frames and a close: 2,000/s with an ASGI server's request cycle, 20,000/s in C.

The document is written, and its writer stays, before the storm. At most 256 upgrades are under way at a time: Node's
servers listen with a backlog of 511, and beyond it the kernel's retries of a second would be measured.

Run: python -m benchmarks.w3_connect_storm [--full] [--server NAME]
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load.generator import LoadFailed, holding, run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload
from benchmarks.peers.running import Running
from benchmarks.peers.servers import EVERY, SYNCING

CLIENTS = 1_000
TEXTS, TEXT_BYTES = 1_000, 1_000
STORM_S = 60


def measure(server: Running, form: Form) -> Iterator[Reading]:
    if server.server in SYNCING:
        yield from storm(server)
    # Somebody is there already: what opening a document costs is W4's question.
    with holding(server, "door", count=1, until_ack=1):
        load = run(server, "connect", "door", clients=64, seconds=form.seconds)
    yield Reading("connections that come, sync and go", "connections/s", load.per_s("served"), leads=True)


def storm(server: Running) -> Iterator[Reading]:
    room, case = "storm", f"{CLIENTS:,} clients, {TEXTS * TEXT_BYTES / 1e6:g} MB"
    document = {"count": TEXTS, "text_bytes": TEXT_BYTES, "in_flight": 64, "until_ack": 1}
    with holding(server, room, **document):
        load = run(server, "storm", room, clients=CLIENTS, expected_bytes=TEXTS * TEXT_BYTES, timeout_s=STORM_S)
    if load.counted["synced"] < CLIENTS:
        raise LoadFailed(f"{load.counted['synced']} of {CLIENTS} clients had the document after {STORM_S} s")
    yield Reading(case, "all synced, s", load.us("sync", "max") / 1e6, "lower", leads=True)
    yield Reading(case, "p50 synced, s", load.us("sync", "p50") / 1e6, "lower")
    yield Reading(case, "server CPU s", load.cpu_s, "lower")
    yield Reading(case, "memory after it, MB", server.memory_bytes() / 1e6, "lower")


def main() -> None:
    run_workload(__doc__, __file__, measure, EVERY)


if __name__ == "__main__":
    main()
