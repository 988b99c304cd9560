"""How long until 1,000 clients that were away for 100 updates all have what they missed?

Back of the envelope, before the first run. Each client says what it holds and is owed 100 updates of 75 bytes, 8 KB:
8 MB in all, which is nothing. What it costs is finding them: with a Doc, a difference of the state for each client
(1-5 ms where the document has 10,000 items, because the whole store is looked through), with a log, the bytes of its
end, cut once and sent a thousand times. So 1,000 upgrades and joins at 150 us are the floor, 0.15-0.3 s, and a server
that computes each difference anew needs one to five seconds.

The writer of the document stays while the others come; what they hold was decided by what they say, not by a first
visit, which makes no difference to any server here.

Run: python -m benchmarks.w8_reconnect_storm [--full] [--server NAME]
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load.generator import LoadFailed, client_base, holding, run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload
from benchmarks.peers.running import Running
from benchmarks.peers.servers import SYNCING

CLIENTS, MISSED = 1_000, 100
BYTES_AN_UPDATE_MIN = 8
"""At least this of each update that was missed, even where a later one of them has overwritten it."""
STORM_S = 60


def measure(server: Running, form: Form) -> Iterator[Reading]:
    for updates in form.pick((1_000,), (1_000, 10_000)):
        base, room = client_base(), f"back-{updates}"
        with holding(server, room, count=updates + MISSED, in_flight=64, until_ack=1, base=base):
            owed = MISSED * BYTES_AN_UPDATE_MIN
            knows = f"{base}:{updates}"
            load = run(server, "storm", room, clients=CLIENTS, knows=knows, expected_bytes=owed, timeout_s=STORM_S)
        if load.counted["synced"] < CLIENTS:
            raise LoadFailed(f"{load.counted['synced']} of {CLIENTS} clients had all after {STORM_S} s")
        case = f"{CLIENTS:,} clients, {MISSED} of {updates + MISSED:,} updates missed"
        yield Reading(case, "all synced, s", load.us("sync", "max") / 1e6, "lower", leads=True)
        yield Reading(case, "p50 synced, s", load.us("sync", "p50") / 1e6, "lower")
        yield Reading(case, "server CPU s", load.cpu_s, "lower")


def main() -> None:
    run_workload(__doc__, __file__, measure, SYNCING)


if __name__ == "__main__":
    main()
