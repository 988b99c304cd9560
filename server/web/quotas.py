"""Who has what open, and who has sent how much: shares per process, tenant, user, address and connection.

A count that is used up is refused, with a reason and a time to come back. A rate that is used up is waited for: the
connection is not read from meanwhile, so that a burst loses nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

from crdt_sync.errors import LimitExceeded, RateLimited
from crdt_sync.limits import Limits
from server.auth.grants import RELAY_SUBJECT, Grant
from server.telemetry.meters import Meters
from server.web.buckets import Bucket

K = TypeVar("K", bound=Hashable)

ROOM_MAKES_S: Final = 5.0
"""When to come back after a count was used up: nobody knows when somebody else leaves."""
LEASE_MESSAGES: Final = 32
PRESENCE_UNIT_BYTES: Final = 4 << 10
LEASE_BYTES: Final = 64 << 10
"""So much is paid for in advance, at all levels; until it is used, a message costs two subtractions."""
SHARES_KEPT_MIN: Final = 1_024
"""Fewer shares than this are not looked through for those that can be forgotten."""


class Share:
    """What one user, tenant or address has open, and the buckets of what it may still send."""

    __slots__ = ("buckets", "open")

    def __init__(self, *buckets: Bucket) -> None:
        self.open = 0
        self.buckets = buckets

    def is_idle(self, now_s: float) -> bool:
        """Forgetting it would change nothing."""
        return not self.open and all(bucket.is_full(now_s) for bucket in self.buckets)


class Shares(Generic[K]):
    """Shares by whose they are. Those of whoever has nothing open are kept until their buckets are full again, or a
    new connection would be a new burst."""

    def __init__(self, make: Callable[[], Share]) -> None:
        self._make = make
        self._shares: dict[K, Share] = {}
        self._look_at = SHARES_KEPT_MIN

    def __len__(self) -> int:
        return len(self._shares)

    def of(self, key: K) -> Share:
        """The share of ``key``."""
        share = self._shares.get(key)
        if share is None:
            if len(self._shares) >= self._look_at:
                self._forget_idle()
            share = self._shares[key] = self._make()
        return share

    def _forget_idle(self) -> None:
        now_s = time.monotonic()
        for key in [key for key, share in self._shares.items() if share.is_idle(now_s)]:
            del self._shares[key]
        # Looked through once for every doubling, so that a newcomer costs the same however many there are.
        self._look_at = max(SHARES_KEPT_MIN, 2 * len(self._shares))


class Quotas:
    """All shares of one relay."""

    def __init__(self, limits: Limits, meters: Meters) -> None:
        self.limits = limits
        self.meters = meters
        self._open = 0
        self._strangers = 0
        self._tenants: Shares[str] = Shares(
            lambda: Share(self.bucket(limits.tenant_messages_per_s), self.bucket(limits.tenant_bytes_per_s))
        )
        self._users: Shares[tuple[str, str]] = Shares(
            lambda: Share(self.bucket(limits.user_messages_per_s), self.bucket(limits.user_bytes_per_s))
        )
        self._requests: Shares[tuple[str, str]] = Shares(lambda: Share(self.bucket(limits.user_requests_per_s)))
        self._addresses: Shares[str] = Shares(lambda: Share(self.bucket(limits.wrong_tokens_per_s)))

    @contextmanager
    def staying(self, address: str, grant: Grant | None) -> Iterator[Stay]:
        """Count a connection while the block runs; without ``grant``, as a stranger's until :meth:`Stay.vouch`.

        Raises :class:`RateLimited`."""
        stay = Stay(self, address)
        try:
            stay.enter(grant)
            yield stay
        finally:
            stay.leave()

    def check_request(self, grant: Grant) -> None:
        """Count a request over HTTP. Raises :class:`RateLimited`."""
        if grant.subject == RELAY_SUBJECT:
            return
        [requests] = self._requests.of((grant.tenant, grant.subject)).buckets
        wait_s = requests.try_take(1, time.monotonic())
        if wait_s:
            raise self.refusal("user_requests_per_s", "requests", wait_s)

    def note_wrong_token(self, address: str) -> None:
        """Count a token that did not hold. Raises :class:`RateLimited` where there were too many."""
        [wrong_tokens] = self.address(address).buckets
        wait_s = wrong_tokens.try_take(1, time.monotonic())
        if wait_s:
            raise self.refusal("wrong_tokens_per_s", "wrong tokens from this address", wait_s)

    def refusal(self, limit: str, what: str, retry_after_s: float) -> RateLimited:
        """The error for who has reached ``limit``, which is counted."""
        self.meters.limits_reached.labels(limit=limit).inc()
        return RateLimited(what, retry_after_s)

    def tenant(self, grant: Grant) -> Share:
        return self._tenants.of(grant.tenant)

    def user(self, grant: Grant) -> Share:
        return self._users.of((grant.tenant, grant.subject))

    def address(self, address: str) -> Share:
        return self._addresses.of(address)

    def count_open(self, strangers: int, connections: int) -> None:
        """Note that connections came, were vouched for, or went."""
        self._strangers += strangers
        self._open += connections

    def check_open(self, address: str, *, is_stranger: bool) -> None:
        """Raise :class:`RateLimited` where the relay, or an address, has no place for one more connection."""
        limits = self.limits
        if self._open >= limits.connections_max:
            raise self.refusal("connections_max", "connections", ROOM_MAKES_S)
        if is_stranger and self._strangers >= limits.strangers_max:
            raise self.refusal("strangers_max", "connections without a token", ROOM_MAKES_S)
        if self.address(address).open >= limits.address_connections_max:
            raise self.refusal("address_connections_max", "connections from this address", ROOM_MAKES_S)

    def check_shares(self, grant: Grant) -> None:
        """Raise :class:`RateLimited` where a user or tenant may have no further connection."""
        if self.user(grant).open >= self.limits.user_connections_max:
            raise self.refusal("user_connections_max", "connections of this user", ROOM_MAKES_S)
        if self.tenant(grant).open >= self.limits.tenant_connections_max:
            raise self.refusal("tenant_connections_max", "connections of this tenant", ROOM_MAKES_S)

    def bucket(self, rate_per_s: float) -> Bucket:
        """A full bucket for a rate of the settings."""
        return Bucket(rate_per_s, rate_per_s * self.limits.burst_s, time.monotonic())


class Stay:
    """One connection in the counts. Made by :meth:`Quotas.staying`."""

    def __init__(self, quotas: Quotas, address: str) -> None:
        self.address = address
        self._quotas = quotas
        self._counted: list[Share] = []
        self._connections = self._strangers = 0
        self._wrong_tokens = 0
        self.pace = Pace(quotas)

    def enter(self, grant: Grant | None) -> None:
        """Be counted. Raises :class:`RateLimited`."""
        if grant is not None and grant.subject == RELAY_SUBJECT:
            # The relay's own steward; what it may do is no stranger's share.
            self.pace.exempt()
            return
        self._quotas.check_open(self.address, is_stranger=grant is None)
        if grant is not None:
            self._quotas.check_shares(grant)
        self._count(self._quotas.address(self.address))
        self._connections, self._strangers = 1, int(grant is None)
        self._quotas.count_open(self._strangers, 1)
        if grant is not None:
            self._count_shares(grant)

    def vouch(self, grant: Grant) -> None:
        """Somebody known is at the other end of a stranger's connection. Raises :class:`RateLimited`."""
        if self._strangers:
            self._quotas.check_shares(grant)
            self._quotas.count_open(-1, 0)
            self._strangers = 0
            self._count_shares(grant)

    def note_wrong_token(self) -> None:
        """A token that was shown within the connection did not hold. Raises an error when there are too many."""
        self._wrong_tokens += 1
        maximum = self._quotas.limits.connection_wrong_tokens_max
        if self._wrong_tokens > maximum:
            raise LimitExceeded("connection_wrong_tokens_max", maximum, self._wrong_tokens)
        self._quotas.note_wrong_token(self.address)

    def leave(self) -> None:
        """Be counted no more."""
        for share in self._counted:
            share.open -= 1
        self._counted.clear()
        self._quotas.count_open(-self._strangers, -self._connections)
        self._connections = self._strangers = 0
        self.pace.close()

    def _count(self, share: Share) -> None:
        share.open += 1
        self._counted.append(share)

    def _count_shares(self, grant: Grant) -> None:
        user, tenant = self._quotas.user(grant), self._quotas.tenant(grant)
        self._count(user)
        self._count(tenant)
        self.pace.join(user, tenant)


class Pace:
    """How fast one connection is read from."""

    def __init__(self, quotas: Quotas) -> None:
        limits = quotas.limits
        self._meters = quotas.meters
        self._presence = quotas.bucket(limits.presence_per_s)
        own = quotas.bucket(limits.connection_messages_per_s), quotas.bucket(limits.connection_bytes_per_s)
        self._levels: list[tuple[str, Bucket, Bucket]] = [("connection", *own)]
        slowest = min(limits.connection_messages_per_s, limits.user_messages_per_s, limits.tenant_messages_per_s)
        self._lease_messages = max(1, min(LEASE_MESSAGES, slowest // 4))
        self._messages = self._bytes = 0

    def exempt(self) -> None:
        """Wait for nothing from here on."""
        self._levels.clear()

    def join(self, user: Share, tenant: Share) -> None:
        """Take part in these shares from here on."""
        for whose, share in (("user", user), ("tenant", tenant)):
            messages, size_bytes = share.buckets
            self._levels.append((whose, messages, size_bytes))

    def covers(self, size_bytes: int) -> bool:
        """Whether one more message has been paid for; if not, :meth:`pay` before it is looked at."""
        self._messages -= 1
        self._bytes -= size_bytes
        return self._messages >= 0 and self._bytes >= 0

    async def pay(self) -> None:
        """Pay for what :meth:`covers` did not find, and some in advance; wait where a share is used up."""
        messages = max(0, self._lease_messages - self._messages)
        size_bytes = max(0, LEASE_BYTES - self._bytes)
        # One after the other: who waits for its own share has not taken anything of its tenant's yet.
        for whose, message_bucket, byte_bucket in list(self._levels):
            await self._wait(f"{whose}_messages_per_s", message_bucket.take(messages, time.monotonic()))
            await self._wait(f"{whose}_bytes_per_s", byte_bucket.take(size_bytes, time.monotonic()))
        self._messages += messages
        self._bytes += size_bytes
        # Of a connection that always has something to say, nothing would ever be waited for, and nobody else heard.
        await asyncio.sleep(0)

    async def pay_for_presence(self, size_bytes: int) -> None:
        """Pay for a message about presence."""
        if self._levels:
            amount = 1 + size_bytes // PRESENCE_UNIT_BYTES
            await self._wait("presence_per_s", self._presence.take(amount, time.monotonic()))

    def close(self) -> None:
        """Give back what was paid for in advance."""
        for _, messages, size_bytes in self._levels:
            messages.give_back(max(0, self._messages))
            size_bytes.give_back(max(0, self._bytes))
        self._messages = self._bytes = 0

    async def _wait(self, limit: str, wait_s: float) -> None:
        if wait_s > 0:
            self._meters.limits_reached.labels(limit=limit).inc()
            self._meters.limit_wait_seconds.labels(limit=limit).inc(wait_s)
            await asyncio.sleep(wait_s)


def address_of(scope: Mapping[str, Any]) -> str:
    """The client of a request, as the limits know it: an IPv4 address, or the /64 network of an IPv6 one."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    # Whoever has one address of such a network has all of them.
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
