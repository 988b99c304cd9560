"""Is a byte ever served that is not the one that was written, when bits of a store's files flip?"""

from __future__ import annotations

import asyncio
import sys

from tests.faults.rot import rot
from tests.faults.scratch import scratch_folder
from tests.soak.report import Soak, soak

FLIPS = 12_000
MISPLACED = 1_000
BATCH = 1_000


def run(it: Soak) -> None:
    """Bits, zeroed sectors, misplaced pages: each on a fresh copy that is then opened, read and verified."""
    flips, misplaced = it.times(FLIPS), it.times(MISPLACED)
    while flips > 0 or misplaced > 0:
        with scratch_folder() as folder:
            some = max(0, min(flips, BATCH)), max(0, min(misplaced, BATCH // 10))
            noticed, wrong = asyncio.run(rot(folder, *some, it.random))
        it.reached.update(noticed)
        for what in wrong:
            it.broken(what)
        flips, misplaced = flips - BATCH, misplaced - BATCH // 10
        it.progress()


if __name__ == "__main__":
    sys.exit(soak(run))
