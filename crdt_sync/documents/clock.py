"""Hybrid logical clock: stamps that follow the wall clock and never contradict what was already seen."""

from __future__ import annotations

from crdt_sync.errors import InvalidValue

EPOCH_MS = 1_577_836_800_000
"""2020-01-01 UTC. From here, 41 bits of milliseconds and 12 of counter stay exact in JavaScript until 2089."""

STAMPS_PER_MS = 4096
STAMP_MAX = 2**53 - 1
AHEAD_MS_MAX = 60_000


def at_ms(stamp: int) -> int:
    """The wall clock, in Unix milliseconds, that ``stamp`` was made at (or pushed on to)."""
    return stamp // STAMPS_PER_MS + EPOCH_MS


class HybridClock:
    """One process's clock. Stamps are ints, ``(unix ms - 2020) * 4096 + counter``; time comes in as an argument."""

    def __init__(self, latest: int = 0) -> None:
        self._latest = latest

    @property
    def latest(self) -> int:
        """The greatest stamp that was made or adopted."""
        return self._latest

    def tick(self, now_ms: int) -> int:
        """A new stamp, greater than every stamp made or adopted before.

        Raises :class:`InvalidValue` when the wall clock is set beyond what a stamp can hold (2089)."""
        # A full counter runs over into the milliseconds, which is what the algorithm asks for.
        stamp = max(self._latest + 1, (now_ms - EPOCH_MS) * STAMPS_PER_MS)
        if stamp > STAMP_MAX:
            raise InvalidValue(f"the clock of this machine says {now_ms} ms, later than a stamp can hold")
        self._latest = stamp
        return stamp

    def receive(self, stamp: int, now_ms: int) -> bool:
        """Adopt another writer's stamp, so that what we write next counts as later.

        False, and not adopted, when it lies over 60 s ahead: one wrong clock must not drag everybody's along."""
        if is_ahead(stamp, now_ms):
            return False
        self._latest = max(self._latest, stamp)
        return True


def is_ahead(stamp: int, now_ms: int) -> bool:
    """Whether ``stamp`` comes from a clock that runs more than 60 s ahead of ours."""
    return at_ms(stamp) > now_ms + AHEAD_MS_MAX
