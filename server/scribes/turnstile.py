"""Whose task is next: tenants take turns, however much one of them asks for, and one that breaks things waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

REST_S: Final = 0.25
REST_MAX_S: Final = 30.0


class Turnstile:
    """Lets a number of tasks in at a time. A tenant's own come in the order of asking. For one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._inside = 0
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        """Who waits, by tenant; the tenant that was served least recently stands first."""
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for the turn of ``tenant``, and keep it for the block."""
        await self._enter(tenant)
        try:
            yield
        finally:
            self._leave()

    async def emptied(self) -> None:
        """Wait until nobody is inside and nobody waits."""
        await self._is_empty.wait()

    async def _enter(self, tenant: str) -> None:
        self._is_empty.clear()
        self._inside += 1
        if self._free and not self._queues:
            self._free -= 1
            return
        ticket = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.cancelled():
                self._forget(tenant, ticket)
                self._count_out()
            else:
                # Its turn had come already, and goes to the next one.
                self._leave()
            raise

    def _forget(self, tenant: str, ticket: asyncio.Future[None]) -> None:
        queue = self._queues[tenant]
        queue.remove(ticket)
        if not queue:
            del self._queues[tenant]

    def _leave(self) -> None:
        self._count_out()
        if not self._queues:
            self._free += 1
            return
        tenant = next(iter(self._queues))
        queue = self._queues.pop(tenant)
        queue.popleft().set_result(None)
        if queue:
            # Behind all others who wait.
            self._queues[tenant] = queue

    def _count_out(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._is_empty.set()


class Rests:
    """How long each tenant whose tasks end workers has to wait before its next one."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._deaths: dict[str, tuple[int, float]] = {}

    def died(self, tenant: str) -> None:
        deaths, _ = self._deaths.get(tenant, (0, 0.0))
        self._deaths[tenant] = deaths + 1, self._now_s()

    def went_well(self, tenant: str) -> None:
        self._deaths.pop(tenant, None)

    def left_s(self, tenant: str) -> float:
        """Seconds that are left of its rest. One death is an accident, and costs none."""
        deaths, at_s = self._deaths.get(tenant, (0, 0.0))
        if deaths < 2:
            return 0.0
        return max(0.0, at_s + min(REST_MAX_S, REST_S * 2.0 ** min(deaths - 2, 16)) - self._now_s())
