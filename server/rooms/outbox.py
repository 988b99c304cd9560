"""What waits for one connection's socket: bounded, so that a reader that has stopped costs a fixed amount."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from crdt_sync.errors import SyncError
from crdt_sync.limits import Limits
from server.rooms.parcels import Parcel, Sink

WRITE_BYTES: Final = 64 << 10
"""About so much is handed to a socket at once: behind it, what a stuck reader keeps is not counted here any more."""


class Outbox:
    """Frames in order, filled by rooms and handed to ``sink`` as it takes them. For one event loop."""

    def __init__(self, limits: Limits, sink: Sink) -> None:
        self._limits = limits
        self._sink = sink
        self._parcels: deque[Parcel] = deque()
        self._bytes = 0
        self._frames = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._when_drained: list[Callable[[], None]] = []
        self._is_over = False
        self.ended: SyncError | None = None
        """Why the connection is to be closed once what is queued has been sent."""

    @property
    def is_full(self) -> bool:
        return self._bytes >= self._limits.outbox_bytes_max or self._frames >= self._limits.outbox_messages_max

    @property
    def is_waiting(self) -> bool:
        """Something is queued, or the socket has not got rid of what it took."""
        return bool(self._parcels) or not self._sink.is_ready

    def queue(self, parcel: Parcel) -> None:
        """Take in frames, full or not: whoever fills the outbox asks first. They wait for :meth:`flush`. Behind the end
        nothing is queued, or a room that is never quiet would keep it off."""
        if self.ended is not None:
            return
        self._parcels.append(parcel)
        self._bytes += parcel.size
        self._frames += len(parcel.frames)

    def put(self, frame: bytes) -> None:
        """Queue one frame, and send it if the socket takes it."""
        self.queue(Parcel((frame,)))
        self.flush()

    def end(self, reason: SyncError) -> None:
        """Close the connection for ``reason`` after what is queued; the first reason counts."""
        if self.ended is None:
            self.ended = reason
        self.flush()

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call back once, as soon as everything that is queued has been handed to the socket."""
        self._when_drained.append(call)
        self.flush()

    async def room(self) -> None:
        """Wait until the outbox is not full. A connection that does not read is not read from, either."""
        await self._has_room.wait()

    def flush(self) -> None:
        """Hand over what is queued, as much as the socket takes."""
        while self._parcels and self._sink.is_ready:
            self._sink.write(self._next())
        if self.is_full:
            self._has_room.clear()
        else:
            self._has_room.set()
        if not self._parcels and self._sink.is_ready:
            self._drained()

    def _next(self) -> Sequence[Parcel]:
        taken = []
        size = 0
        while self._parcels and size < WRITE_BYTES:
            parcel = self._parcels.popleft()
            taken.append(parcel)
            size += parcel.size
            self._frames -= len(parcel.frames)
        self._bytes -= size
        return taken

    def _drained(self) -> None:
        calls, self._when_drained = self._when_drained, []
        for call in calls:
            call()
        if self.ended is not None and not self._is_over:
            self._is_over = True
            self._sink.end(self.ended)


class Basket:
    """A sink for whoever fetches frames by itself, and the outbox before it."""

    def __init__(self, limits: Limits) -> None:
        self.outbox = Outbox(limits, self)
        self._frames: list[bytes] = []
        self._is_fetched = False
        self._filled = asyncio.Event()
        self._is_over = False

    @property
    def is_ready(self) -> bool:
        return not self._frames

    def write(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            self._frames += parcel.frames
        self._filled.set()

    def end(self, reason: SyncError) -> None:
        self._is_over = True
        self._filled.set()

    async def take(self) -> Sequence[bytes]:
        """Wait for frames and take all that are here; empty when the outbox has ended. What was taken before has been
        sent by now."""
        if self._is_fetched:
            self._frames, self._is_fetched = [], False
        self.outbox.flush()
        while not self._frames and not self._is_over:
            self._filled.clear()
            await self._filled.wait()
        self._is_fetched = True
        return tuple(self._frames)
