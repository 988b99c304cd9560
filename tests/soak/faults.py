"""Is anything lost that was acked or seen, when stores and relays die, lose power, or their disk fails?"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.faults.failures import fail
from tests.faults.kills import Nursery, Toll, kill, lose_power
from tests.faults.relays import kill_relays
from tests.faults.scratch import scratch_folder
from tests.faults.shim import Shim, build, why_missing
from tests.soak.report import Soak, soak

STORE_KILLS = 2_000
RELAY_KILLS = 100
IMAGES = 15_000
"""Half of them right after an ack, a quarter while names of files are changing."""
FAILURES = 600
BATCH = 500
"""So many on one workload, then on another."""


def run(it: Soak) -> None:
    """Kills at every call, images of disks without power, calls that fail; what tests/faults does, many times."""
    if (why := why_missing()) is not None:
        it.broken(why)
        return
    with scratch_folder() as folder:
        asyncio.run(all_of_it(it, folder, build(folder)))


async def all_of_it(it: Soak, folder: Path, library: Path) -> None:
    harms = (
        ("kills of a store", STORE_KILLS, kill),
        ("power cuts", IMAGES, lose_power),
        ("failing calls", FAILURES, fail),
    )
    for name, usual, harm in harms:
        shim = Shim(library, folder / name, folder / f"words of {name}", traced=True)
        with Nursery.opened(shim) as nursery:
            count = it.times(usual)
            while count > 0:
                take(it, name, await harm(shim, nursery, min(count, BATCH), it.random))
                count -= BATCH
    shim = Shim(library, folder / "data", folder / "words of relays")
    take(it, "kills of a relay", await kill_relays(shim, folder / "relay", it.times(RELAY_KILLS), it.random))


def take(it: Soak, name: str, toll: Toll) -> None:
    it.reached[name] += toll.tried
    it.reached[f"acks looked for after {name}"] += toll.acks
    if toll.seen:
        it.reached["edits seen by another client"] += toll.seen
    for loss in toll.lost:
        it.broken(f"{name}: {loss}")
    print(f"   {name}: {toll}", flush=True)


if __name__ == "__main__":
    sys.exit(soak(run))
