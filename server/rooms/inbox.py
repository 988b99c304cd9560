"""Messages waiting for a room. Bounded for members, so that a busy room stops reading its sockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from server.rooms.turn import Envelope


class Inbox:
    """Envelopes in order. For one event loop."""

    def __init__(self, messages_max: int) -> None:
        self._messages_max = messages_max
        self._envelopes: deque[Envelope] = deque()
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def is_empty(self) -> bool:
        return not self._envelopes

    def post(self, envelope: Envelope) -> None:
        """Put in the house's own word, full or not: arrivals, departures and the like are bounded by the members."""
        self._envelopes.append(envelope)
        self._filled.set()
        if len(self._envelopes) >= self._messages_max:
            self._has_room.clear()

    async def submit(self, envelope: Envelope) -> None:
        """Put in a member's message; waits while the inbox is full, and that is the backpressure."""
        while not self._has_room.is_set():
            await self._has_room.wait()
        self.post(envelope)

    def wake(self) -> None:
        """Let :meth:`wait` return even though nothing came."""
        self._filled.set()

    async def wait(self) -> None:
        """Wait until something is in, or :meth:`wake`."""
        if not self._envelopes:
            self._filled.clear()
            await self._filled.wait()

    def take(self, most: int) -> Sequence[Envelope]:
        """The oldest envelopes, at most ``most``."""
        batch = [self._envelopes.popleft() for _ in range(min(most, len(self._envelopes)))]
        if len(self._envelopes) < self._messages_max:
            self._has_room.set()
        return batch

    def clear(self) -> None:
        """Let go of everything: the room has failed, and nobody was told that it was heard."""
        self._envelopes.clear()
        self._has_room.set()
