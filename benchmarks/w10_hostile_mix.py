"""How much later do the edits of an honest room arrive while strangers and members of other rooms misbehave?

Back of the envelope, before the first run. The honest room has ten clients and 20 updates/s. Beside it, from another
process: 200 half-open handshakes that are opened anew as they are dropped, requests with wrong tokens, members who
send garbage and are closed for it, members who ping without end, and 20 readers of a busy room who read nothing. Each
attempt costs a server 0.1-1 ms on its one event loop; a few hundred attempts a second are a tenth to a third of a core.
An honest delivery then waits for what is before it in the loop, a few milliseconds at the 99th percentile, and not for
anything that a stranger holds open. The issue allows 50 ms.

The rates of the relay are lifted here as in every workload: what the limits would refuse at once is taken in.

Run: python -m benchmarks.w10_hostile_mix [--full] [--server NAME]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.load.generator import run
from benchmarks.measuring.results import Reading
from benchmarks.measuring.rounds import Form, run_workload
from benchmarks.peers.running import LOAD_CORE, Running, pinned
from benchmarks.peers.servers import SYNCING

CLIENTS, RATE = 10, 20


def measure(server: Running, form: Form) -> Iterator[Reading]:
    seconds = form.pick(2.0, 8.0)
    honest = {"rooms": 1, "writers": CLIENTS, "rate": RATE, "seconds": seconds}
    alone = run(server, "paced", "honest-alone", **honest)
    with attack(server) as attackers:
        beside = run(server, "paced", "honest-attacked", **honest)
        attackers.terminate()
        done = attackers.communicate(timeout=30)[0].strip()
    case = f"1 room x {CLIENTS} clients, {RATE} updates/s"
    alone_ms, beside_ms = alone.us("delivery", "p99") / 1e3, beside.us("delivery", "p99") / 1e3
    yield Reading(case, "p99 ms alone", alone_ms, "lower")
    yield Reading(case, "p99 ms under attack", beside_ms, "lower", leads=True)
    yield Reading(case, "p99 ms added", max(0.0, beside_ms - alone_ms), "lower")
    yield Reading(case, "attempts/s", int(done or 0) / (seconds + 1))
    yield Reading("the server", "MB under attack", server.memory_bytes() / 1e6, "lower")


@contextmanager
def attack(server: Running) -> Iterator[subprocess.Popen[str]]:
    """The attackers, in a process of their own beside the generator; their output is how many attempts they made."""
    link = server.link("attacked")
    words = [sys.executable, "-m", "benchmarks.load.attackers", str(server.port), link["path"]]
    with subprocess.Popen(pinned(LOAD_CORE, words), stdout=subprocess.PIPE, text=True) as attackers:
        try:
            yield attackers
        finally:
            attackers.kill()


def main() -> None:
    run_workload(__doc__, __file__, measure, SYNCING)


if __name__ == "__main__":
    main()
