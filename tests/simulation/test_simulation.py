"""Many seeded worlds. The rules P1 to P12, which the witness names, stand in docs/reference/protocol.md."""

from __future__ import annotations

import pytest

from tests.simulation.batches import REACHED, batches, kept_seeds, run_batch
from tests.simulation.world import World

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("seeds", batches(), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_P1_to_P12_hold_through_crashes_cuts_and_repairs(seeds: range) -> None:
    broken, reach = run_batch(seeds)
    assert not broken, "\n".join(broken)
    quiet = [what for what in REACHED if not reach[what]]
    assert not quiet or len(seeds) < 100, f"these seeds never came by: {', '.join(quiet)}"


@pytest.mark.parametrize(("seed", "found"), kept_seeds())
def test_a_seed_that_once_found_a_bug_finds_none(seed: int, found: str) -> None:
    world = World(seed).run()
    assert not world.violations, f"once: {found}\nmake simulate SEED={seed}   # {world.violations[0]}"


@pytest.mark.parametrize("seed", range(0, 40, 3))
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first, second = World(seed).run(), World(seed).run()
    assert first.trace == second.trace
    assert first.reach == second.reach


def test_a_trace_tells_seeds_apart() -> None:
    assert World(1).run().trace != World(2).run().trace
