"""P35: damage is found, never served, wherever in a store's files it is."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.faults.rot import rot

SEED = 20261120
FLIPS = 1_500
MISPLACED = 100


async def test_P35_no_flipped_bit_is_served(scratch: Path) -> None:
    noticed, wrong = await rot(scratch, FLIPS, MISPLACED, Random(SEED))
    print(dict(noticed))
    assert wrong == []
    assert noticed.total() == FLIPS + MISPLACED
    for how in ("found on opening", "found on loading", "healed", "found by the scrubber", "harmless"):
        assert noticed[f"flips {how}"] > 2, how
