"""Replay one simulated world: ``python -m tests.simulation --seed 7 [--steps 200] [--trace]``."""

from __future__ import annotations

import argparse
import sys
from zlib import crc32

from tests.simulation.world import STEPS, World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--trace", action="store_true", help="print every event")
    options = parser.parse_args()
    world = World(options.seed).run(options.steps)
    if options.trace:
        print(*world.trace, sep="\n")
    print(f"seed {options.seed}, {options.steps} steps, {len(world.trace)} events", end=", ")
    print(f"trace {crc32(chr(10).join(world.trace).encode()):08x}")
    for what, times in sorted(world.reach.items()):
        print(f"{times:7}  {what}")
    for violation in world.violations:
        print(f"BROKEN {violation}")
    print(f"{len(world.violations)} rules broken" if world.violations else "all rules hold")
    return 1 if world.violations else 0


if __name__ == "__main__":
    sys.exit(main())
