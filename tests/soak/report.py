"""What a soak run has at hand: its amount, its seed, and how to say what it tried and what broke."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from random import Random

PROGRESS_S = 10.0


class Soak:
    """One run. What it tried and reached is counted in ``reached``; what broke is said with :meth:`broken`."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.reached: Counter[str] = Counter()
        self.broke: list[str] = []
        self._scale = scale
        self._begun_s = self._told_s = time.monotonic()

    def times(self, usual: int) -> int:
        """How often to do what is done ``usual`` times at scale 1; once at least."""
        return max(1, round(usual * self._scale))

    def progress(self) -> None:
        """Say how far it is, if the last word was ten seconds ago; call it as often as you like."""
        now_s = time.monotonic()
        if now_s - self._told_s >= PROGRESS_S:
            self._told_s = now_s
            print(f"   {self.figures()}", flush=True)

    def broken(self, what: str) -> None:
        """Note a broken promise; the run goes on, and ends with exit code 1."""
        self.broke.append(what)
        print(f"BROKEN {what}", flush=True)

    def figures(self) -> str:
        counted = ", ".join(f"{times:,} {what}" for what, times in self.reached.items()) or "nothing yet"
        return f"{counted}; {time.monotonic() - self._begun_s:,.0f} s"


def soak(run: Callable[[Soak], None]) -> int:
    """Run it with the command line's amount and seed; the exit code. An exception counts as broken and is raised."""
    parser = argparse.ArgumentParser(description=run.__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    it = Soak(options.seed, options.scale)
    print(f"   seed {options.seed}, scale {options.scale:g}", flush=True)
    try:
        run(it)
    finally:
        print(f"   {it.figures()}; {len(it.broke)} broken", flush=True)
    return 1 if it.broke else 0
