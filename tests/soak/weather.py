"""Is any stock client told that an edit is saved which is not, in any weather?"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.interop.storms import KINDS, run_storm
from tests.soak.report import Soak, soak

STORMS = 60


def run(it: Soak) -> None:
    """Storms of seeds that follow each other, in turn with each dialect in a room of its own and all in one."""
    for number in range(it.times(STORMS)):
        seed = it.seed + number
        rooms = [KINDS] if number % 2 else [(kind, kind) for kind in KINDS]
        with TemporaryDirectory() as folder:
            try:
                it.reached.update(asyncio.run(run_storm(Path(folder), seed, rooms, kills=3, messages=2_000)))
            except AssertionError as error:
                it.broken(f"storm {seed}, {'mixed' if number % 2 else 'alone'}: {error}")
        it.reached["storms"] += 1
        it.progress()


if __name__ == "__main__":
    sys.exit(soak(run))
