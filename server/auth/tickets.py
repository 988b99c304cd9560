"""Tickets: a grant exchanged for a word that works once, soon, and may stand in a URL."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from crdt_sync.errors import RateLimited
from server.auth.grants import CredentialRefused, Grant

TICKET_PREFIX = "ticket_"
"""Makes a ticket recognizable, so that logs can leave it out wherever it turns up."""


@dataclass(frozen=True, slots=True)
class _Issued:
    grant: Grant
    expires_at_s: float


def _mint() -> str:
    return TICKET_PREFIX + secrets.token_urlsafe(32)


class Tickets:
    """The tickets of one relay process, in memory: a restart forgets them all, and clients ask again."""

    def __init__(
        self,
        *,
        ttl_s: float = 30.0,
        tickets_max: int = 4_096,
        tickets_per_subject_max: int = 100,
        mint: Callable[[], str] = _mint,
    ) -> None:
        self._ttl_s, self._tickets_max, self._tickets_per_subject_max = ttl_s, tickets_max, tickets_per_subject_max
        self._mint = mint
        # Only hashes are kept: who can read this memory, or time a lookup, learns no ticket.
        self._issued: dict[bytes, _Issued] = {}

    def __len__(self) -> int:
        return len(self._issued)

    def issue(self, grant: Grant, now_s: float) -> str:
        """A ticket for ``grant``, good once and for ``ttl_s`` seconds, and not longer than the grant.

        Raises :class:`RateLimited` when too many are waiting to be redeemed, :class:`CredentialRefused` for a grant
        that has expired.
        """
        if grant.has_expired(now_s):
            raise CredentialRefused("expired", "the token has expired")
        self._forget_expired(now_s)
        owner = (grant.tenant, grant.subject)
        waiting = sum(1 for issued in self._issued.values() if (issued.grant.tenant, issued.grant.subject) == owner)
        # The bound per subject comes first: one client in a loop must not use up everybody's tickets.
        if waiting >= self._tickets_per_subject_max or len(self._issued) >= self._tickets_max:
            raise RateLimited("tickets waiting to be redeemed", self._ttl_s)
        ticket = self._mint()
        self._issued[_digest(ticket)] = _Issued(grant, min(now_s + self._ttl_s, grant.expires_at_s))
        return ticket

    def redeem(self, ticket: str, now_s: float) -> Grant:
        """The grant behind ``ticket``, which is used up. Raises :class:`CredentialRefused`."""
        issued = self._issued.pop(_digest(ticket), None)
        if issued is None:
            raise CredentialRefused("ticket", "the ticket is unknown or was used before")
        if now_s >= issued.expires_at_s:
            raise CredentialRefused("ticket", "the ticket has expired")
        return issued.grant

    def _forget_expired(self, now_s: float) -> None:
        for digest in [digest for digest, issued in self._issued.items() if now_s >= issued.expires_at_s]:
            del self._issued[digest]


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
