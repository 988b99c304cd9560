"""Which seeds are run, and how a failure is told."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.simulation.world import Cast, World

SEEDS: Final = int(os.environ.get("CRDT_SYNC_SEEDS", "2000"))
BATCH: Final = max(100, SEEDS // 20)
KEPT: Final = Path(__file__).with_name("kept_seeds.txt")

REACHED: Final = (
    "catch-ups of shed members",
    "compactions",
    "cuts",
    "edits acked by Ack",
    "edits acked by echo",
    "gaps asked",
    "gaps seen by peers",
    "group commits",
    "hostile connections",
    "known updates",
    "members shed",
    "movements changed",
    "partial accepts",
    "partitions",
    "peer crashes",
    "peer crashes that lose unsynced rows",
    "peers' snapshots",
    "reconnects",
    "relay crashes between absorb and append",
    "relay crashes between append and deliver",
    "resyncs from the snapshot",
    "resyncs from the tail",
    "rooms closed idle",
    "store failures",
    "tabs closed",
)
"""What every batch of seeds must come by, or it has proven nothing."""


def batches() -> Sequence[range]:
    return [range(first, min(first + BATCH, SEEDS)) for first in range(0, SEEDS, BATCH)]


def kept_seeds() -> Sequence[tuple[int, str]]:
    """Seeds that once failed, each with what it found."""
    lines = [line.partition(" ") for line in KEPT.read_text().splitlines() if not line.startswith("#")]
    return [(int(seed), found.strip()) for seed, _, found in lines]


def run_batch(seeds: Iterable[int]) -> tuple[Sequence[str], Counter[str]]:
    """Run every seed; return what is broken, in sentences that say how to see it again, and what was reached."""
    broken: list[str] = []
    reach: Counter[str] = Counter()
    for seed in seeds:
        try:
            world = World(seed).run()
        except Exception as error:
            error.add_note(f"make simulate SEED={seed}")
            raise
        reach.update(world.reach)
        if world.violations:
            broken.append(f"make simulate SEED={seed}   # {world.violations[0]}")
    return broken, reach


def first_catch(cast: Cast, *, seeds: int) -> tuple[int, str] | None:
    """The first seed whose world notices what ``cast`` has planted, and the rules that it names."""
    for seed in range(seeds):
        world = World(seed, cast).run()
        if world.violations:
            return seed, world.violations[0].rule
    return None
