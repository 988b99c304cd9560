"""How long to wait before the next try."""

from __future__ import annotations

FIRST_S = 0.25
LONGEST_S = 30.0


def backoff_s(attempt: int, *, jitter: float) -> float:
    """Seconds to wait before reconnect ``attempt`` (1 is the first); at most 30.

    ``jitter`` in [0, 1) comes from the caller, so that a simulation can replay it.
    """
    # Full jitter: after a relay's restart a thousand peers must not return together.
    return min(LONGEST_S, FIRST_S * 2.0 ** min(attempt, 16)) * jitter
