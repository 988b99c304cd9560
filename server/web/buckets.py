"""Token buckets: how much of something may come in a second, and how much at once. Pure; time comes in.

No library: a bucket is twenty lines, and stands on the path of every message.
"""

from __future__ import annotations


class Bucket:
    """Holds ``burst`` tokens at most and gains ``rate_per_s``. It is full when it is made."""

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._tokens, self._at_s = burst, now_s

    def take(self, amount: float, now_s: float) -> float:
        """Take ``amount``, on credit if need be; the seconds until the debt is paid, 0.0 if there is none.

        Whoever takes and then waits is served in the order of its coming."""
        self._gain(now_s)
        self._tokens -= amount
        return 0.0 if self._tokens >= 0 else -self._tokens / self._rate_per_s

    def try_take(self, amount: float, now_s: float) -> float:
        """Take ``amount`` and return 0.0, or take nothing and return the seconds until it would be there."""
        self._gain(now_s)
        missing = min(amount, self._burst) - self._tokens
        if missing > 0:
            return missing / self._rate_per_s
        self._tokens -= amount
        return 0.0

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used."""
        self._tokens = min(self._burst, self._tokens + amount)

    def is_full(self, now_s: float) -> bool:
        """Nothing of it is in use: a new one would be the same."""
        self._gain(now_s)
        return self._tokens >= self._burst

    def _gain(self, now_s: float) -> None:
        # A time that goes back gives nothing and takes nothing away.
        if now_s > self._at_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s)
            self._at_s = now_s
