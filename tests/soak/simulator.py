"""Does any simulated world break a rule of the protocol?"""

from __future__ import annotations

import sys

from tests.simulation.world import STEPS, World
from tests.soak.report import Soak, soak

WORLDS = 2_000


def run(it: Soak) -> None:
    """Worlds of seeds that follow each other; `make simulate SEED=N` tells what happened in one of them."""
    for seed in range(it.seed, it.seed + it.times(WORLDS)):
        world = World(seed).run(STEPS)
        it.reached["worlds"] += 1
        it.reached["steps"] += STEPS
        it.reached.update(world.reach)
        for violation in world.violations:
            it.broken(f"seed {seed}: {violation}")
        it.progress()


if __name__ == "__main__":
    sys.exit(soak(run))
