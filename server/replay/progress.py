"""How far a long piece of work is, on standard error."""

from __future__ import annotations

import sys
import time

SILENT_S = 2.0
REFRESH_S = 0.5


class Progress:
    """One line, rewritten in place on a terminal, once the work takes longer than two seconds."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._started_s = time.monotonic()
        self._next_s = self._started_s + SILENT_S
        self._is_shown = False

    def __call__(self, done: int) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._is_shown = True
            self._next_s = now_s + (REFRESH_S if sys.stderr.isatty() else 10 * REFRESH_S)
            text = f"{self._what}: {done:,} of {self._total:,}, {now_s - self._started_s:.0f} s"
            sys.stderr.write(f"\r{text}\033[K" if sys.stderr.isatty() else f"{text}\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line behind."""
        if self._is_shown and sys.stderr.isatty():
            sys.stderr.write("\n")
