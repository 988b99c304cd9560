"""Which document a steward has died of, and how long its tenant is left alone for that. No I/O, no clock."""

from __future__ import annotations

from typing import Final

DEATHS_MIN: Final = 2
"""One death may have any cause: the machine, an operator."""
REST_S: Final = 10.0
REST_MAX_S: Final = 600.0


class Blame:
    """Deaths on one document, one after the other. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._at: tuple[str, str] | None = None
        self._deaths: dict[tuple[str, str], int] = {}
        self._until_s: dict[str, float] = {}

    def handles(self, tenant: str, document: str) -> None:
        """The steward is about to handle this."""
        self._at = tenant, document

    def went_well(self, tenant: str) -> None:
        """It has gone through all of the tenant's documents."""
        self._deaths = {key: count for key, count in self._deaths.items() if key[0] != tenant}

    def died(self, now_s: float) -> tuple[str, str] | None:
        """The steward is dead. The tenant and document on which it died not for the first time; the tenant rests."""
        at, self._at = self._at, None
        if at is None:
            return None
        count = self._deaths[at] = self._deaths.get(at, 0) + 1
        if count < DEATHS_MIN:
            return None
        self._until_s[at[0]] = now_s + min(REST_MAX_S, REST_S * 2.0 ** min(count - DEATHS_MIN, 16))
        return at

    def rests(self, tenant: str, now_s: float) -> bool:
        """The tenant is to be left alone."""
        return self._until_s.get(tenant, now_s) > now_s

    def rested(self, now_s: float) -> list[str]:
        """Tenants whose rest has ended since this was last asked."""
        over = [tenant for tenant, until_s in self._until_s.items() if until_s <= now_s]
        for tenant in over:
            del self._until_s[tenant]
        return over
