"""Does any input end, stop or poison the serving path?"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from tests.laws.serving_path import attack
from tests.laws.test_hostile_serving_path import LOADED, PER_ROOM, loaded_by_scribes, sample
from tests.soak.report import Soak, soak

INPUTS = 5_000_000
BATCH_INPUTS = 20_000
INPUT_CPU_S_MAX = 0.1
LENIENCE = 3
"""A machine that others use, too, may take that many times as long; measured is CPU time of the thread."""


def run(it: Soak) -> None:
    """Batches of seeds that follow each other."""
    slowest = (0.0, 0, "")
    for number in range(-(-it.times(INPUTS) // BATCH_INPUTS)):
        seed, reached = it.seed + number, Counter[str]()
        rooms = attack(seed, BATCH_INPUTS, PER_ROOM, reached)
        it.reached.update(reached)
        it.reached["rooms"] += len(rooms)
        it.reached.update(asyncio.run(loaded_by_scribes(sample(rooms, seed, LOADED // 3))))
        slowest = max(slowest, *(room.slowest for room in rooms))
        if slowest[0] > INPUT_CPU_S_MAX * LENIENCE:
            it.broken(f"seed {seed}: an input took {slowest[0]:.3f} s")
        it.progress()
    print(f"   slowest input: {slowest[0] * 1_000:.1f} ms for {slowest[1]:,} bytes of {slowest[2]}")


if __name__ == "__main__":
    sys.exit(soak(run))
