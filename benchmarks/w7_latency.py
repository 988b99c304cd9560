"""How long does an edit take to reach the others at a moderate load, and a cursor's move?

Back of the envelope, before the first run. 50 rooms of 10 clients at 20 updates/s are 1,000 updates and 9,000
deliveries a second, a few percent of what any server can do, so a delivery should take what its path takes: 150 us
through a plain relay (two wake-ups and nine writes), 50-100 us more through a Doc or a gate, and 0.2-0.5 ms more where
an fsync comes before telling. The 99th percentile is where collectors of garbage, background work and commits that
queue show. Three times the rate should change little but for servers that are near their end. A cursor's move is
stored nowhere, so that our figures should be those of a plain relay.

Latency runs from the time at which an update was due, so that a server that is late is not waited for.

Run: python -m benchmarks.w7_latency [--full] [--server NAME]
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load.generator import run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload
from benchmarks.peers.running import Running
from benchmarks.peers.servers import EVERY

ROOMS, CLIENTS = 50, 10
CURSORS, MOVES_PER_S = 50, 10


def measure(server: Running, form: Form) -> Iterator[Reading]:
    seconds = form.pick(1.5, 5.0)
    for rate in (20, 60):
        load = run(server, "paced", f"paced-{rate}-{{}}", rooms=ROOMS, writers=CLIENTS, rate=rate, seconds=seconds)
        case = f"{ROOMS} rooms x {CLIENTS} clients, {rate} updates/s a room"
        yield Reading(case, "p50 us", load.us("delivery", "p50"), "lower", leads=True)
        yield Reading(case, "p99 us", load.us("delivery", "p99"), "lower", leads=True)
        yield Reading(case, "server CPU %", 100 * load.cpu_s / load.seconds, "lower")
    cursors = {"writers": CURSORS, "presence": 1}
    load = run(server, "paced", "cursors", rate=CURSORS * MOVES_PER_S, seconds=seconds, **cursors)
    case = f"{CURSORS} cursors, {MOVES_PER_S} moves/s each"
    yield Reading(case, "p50 us", load.us("delivery", "p50"), "lower", leads=True)
    yield Reading(case, "p99 us", load.us("delivery", "p99"), "lower")
    load = run(server, "fan", "cursors-at-once", seconds=form.seconds, **cursors)
    yield Reading(f"{CURSORS} cursors, as fast as it goes", "moves delivered/s", load.per_s("delivered"), leads=True)


def main() -> None:
    run_workload(__doc__, __file__, measure, EVERY)


if __name__ == "__main__":
    main()
