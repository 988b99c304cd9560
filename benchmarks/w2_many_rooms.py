"""How many updates a second reach their readers, when five people write in each of 200 documents at once?

Back of the envelope, before the first run. Nobody has many readers here: an update costs its server one frame in, one
gate or one document to apply it to, and four or five small writes out. Plain C makes 200,000 deliveries/s of that; a
server that joins the frames of a room's turn may double or triple it, when several of the five have written meanwhile.
Each update is decoded and judged once (10 us with us, 20 us where a Doc takes it in), so 25,000 updates/s and 100,000
deliveries/s are what is in reach of one core in Python; 200 rooms share each commit, so that an fsync weighs little.

Each of the 1,000 writers has one update in flight: it writes again when the four others have its last.

Run: python -m benchmarks.w2_many_rooms [--full] [--server NAME]
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load.generator import run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload
from benchmarks.peers.running import Running
from benchmarks.peers.servers import EVERY


def measure(server: Running, form: Form) -> Iterator[Reading]:
    for in_flight in form.pick((1,), (1, 4)):
        load = run(
            server, "fan", f"rooms-{in_flight}-{{}}", rooms=200, writers=5, in_flight=in_flight, seconds=form.seconds
        )
        case = f"200 rooms x 5 writers, {in_flight} in flight each"
        yield Reading(case, "delivered/s", load.per_s("delivered"), leads=in_flight == 1)
        yield Reading(case, "updates/s", load.per_s("completed"))
        yield Reading(case, "p50 ms", load.us("delivery", "p50") / 1e3, "lower")
        yield Reading(case, "p99 ms", load.us("delivery", "p99") / 1e3, "lower")
        yield Reading(case, "server CPU us/delivery", load.cpu_us_per_delivery, "lower")


def main() -> None:
    run_workload(__doc__, __file__, measure, EVERY)


if __name__ == "__main__":
    main()
