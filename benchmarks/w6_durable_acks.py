"""How many updates a second are acknowledged, and how long does a writer wait, by the number of writers?

Back of the envelope, before the first run. Our ack comes after an fsync of 0.2-0.6 ms; a writer that waits for each is
acked 1,500 times a second. With many writers a commit is shared by all that came while the last one ran, so that the
disk is not what bounds it: an update costs 10 us to decode and judge, and the frame in, the turn, the echo and the
row of the log some 30 us in a straightforward relay (20,000/s), and could come down to 20 us in all (50,000/s). An ack
of a peer says that an update is in memory, not that it would survive: it costs them applying it to a Doc, 20-50 us.

Every writer has a document of its own; an ack is the echo of its update (y-websocket) or a SyncStatus (Hocuspocus).
The peers persist as far as they can: an ack of theirs is not durable all the same.

Run: python -m benchmarks.w6_durable_acks [--full] [--server NAME]
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load.generator import run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload
from benchmarks.peers.running import Running
from benchmarks.peers.servers import C_RELAY, IN_MEMORY, KEEPING, OURS


def measure(server: Running, form: Form) -> Iterator[Reading]:
    for writers, in_flight in form.pick(((1, 1), (100, 1), (100, 8)), ((1, 1), (10, 1), (100, 1), (100, 8), (500, 4))):
        room = f"acks-{writers}-{in_flight}-{{}}"
        load = run(
            server, "fan", room, rooms=writers, until_ack=1, in_flight=in_flight, seconds=form.seconds, timeout_s=90
        )
        case = f"{writers} writers, {in_flight} in flight each"
        yield Reading(case, "acked/s", load.per_s("acked"), leads=True)
        yield Reading(case, "p50 ms", load.us("ack", "p50") / 1e3, "lower", leads=in_flight == 1)
        yield Reading(case, "p99 ms", load.us("ack", "p99") / 1e3, "lower")
        acked = max(1, int(load.counted["acked"]))
        yield Reading(case, "server CPU us/ack", 1e6 * load.cpu_s / acked, "lower")


def main() -> None:
    run_workload(__doc__, __file__, measure, (OURS, *KEEPING, *IN_MEMORY, C_RELAY))


if __name__ == "__main__":
    main()
