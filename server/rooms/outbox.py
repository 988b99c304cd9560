"""What waits for one connection's socket: bounded, so that a reader that has stopped costs a fixed amount."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from crdt_sync.errors import SyncError
from crdt_sync.limits import Limits


class Outbox:
    """Frames in order, filled by rooms, emptied by the connection's one sender. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._when_drained: list[Callable[[], None]] = []
        self.ended: SyncError | None = None
        """Why the connection is to be closed once what is queued has been sent."""

    @property
    def is_full(self) -> bool:
        return self._bytes >= self._limits.outbox_bytes_max or len(self._frames) >= self._limits.outbox_messages_max

    @property
    def is_waiting(self) -> bool:
        """Something is queued, or was taken and has not been handed to the socket yet."""
        return self._bytes > 0

    def put(self, frame: bytes) -> None:
        """Queue a frame, full or not: whoever fills the outbox asks first. Behind the end nothing is queued, or a room
        that is never quiet would keep it off."""
        if self.ended is not None:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._filled.set()
        if self.is_full:
            self._has_room.clear()

    def end(self, reason: SyncError) -> None:
        """Close the connection for ``reason`` after what is queued; the first reason counts."""
        if self.ended is None:
            self.ended = reason
        self._filled.set()

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call back once, as soon as everything that is queued has been handed to the socket."""
        self._when_drained.append(call)
        self._filled.set()

    async def room(self) -> None:
        """Wait until the outbox is not full. A connection that does not read is not read from, either."""
        await self._has_room.wait()

    async def take(self) -> Sequence[bytes]:
        """Wait for frames and take all; empty when the outbox has ended and nothing is left."""
        while not self._frames:
            if self._when_drained:
                calls, self._when_drained = self._when_drained, []
                for call in calls:
                    call()
            elif self.ended is not None:
                return ()
            else:
                self._filled.clear()
                await self._filled.wait()
        frames = tuple(self._frames)
        self._frames.clear()
        return frames

    def sent(self, frame: bytes) -> None:
        """A frame that was taken has been handed to the socket; until then it counts as queued."""
        self._bytes -= len(frame)
        if not self.is_full:
            self._has_room.set()
