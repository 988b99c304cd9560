"""How many updates a second reach the readers of one document, and how soon, when one writes and many read?

Back of the envelope, before the first run. One write(2) to a loopback socket costs 4 us here, and a server that makes
one for each update and reader delivers at most 250,000/s, whatever its language: that is the plain C relay. With 64
updates in flight a server that joins what has gathered makes one write for dozens of them, and is bounded by copying
100 bytes for each: millions a second, and the generator's own reading of them, which is why the coalescing C relay's
row is the ceiling of this table. One at a time nothing can be joined: all are between 100,000 and 200,000/s, and
an fsync of 0.3 ms before the first of them is told weighs a third with 100 readers and a twentieth with 1,000.

An update is complete, and makes room for the writer's next, when the last reader has it.

Run: python -m benchmarks.w1_fan_out [--full] [--server NAME]
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load.generator import run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload
from benchmarks.peers.running import Running
from benchmarks.peers.servers import EVERY


def measure(server: Running, form: Form) -> Iterator[Reading]:
    for readers in form.pick((100, 1_000), (10, 100, 300, 500, 1_000)):
        for in_flight in (64, 1):
            room = f"fan-{readers}-{in_flight}"
            load = run(server, "fan", room, readers=readers, in_flight=in_flight, seconds=form.seconds)
            case = f"{readers:,} readers, {in_flight} in flight"
            yield Reading(case, "delivered/s", load.per_s("delivered"), leads=True)
            yield Reading(case, "p50 ms", load.us("delivery", "p50") / 1e3, "lower")
            yield Reading(case, "p99 ms", load.us("delivery", "p99") / 1e3, "lower")
            yield Reading(case, "server CPU us/delivery", load.cpu_us_per_delivery, "lower")


def main() -> None:
    run_workload(__doc__, __file__, measure, EVERY)


if __name__ == "__main__":
    main()
