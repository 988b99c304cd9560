"""What lies before the application: sockets without a whole request, messages without an end."""

from __future__ import annotations

import resource
import time
from typing import Final, Protocol

from websockets.exceptions import PayloadTooBig

from crdt_sync.limits import Limits
from server.telemetry.meters import Meters
from server.web.buckets import Bucket

SPARE_FILES: Final = 1_024
"""Files beside the connections: stores, pipes, logs. Without them, a flood would stop the disk."""
SPARE_SOCKETS: Final = 1_024
"""HTTP connections that fit beside all WebSockets and those that are half open."""


class Droppable(Protocol):
    """A connection that can be made to go."""

    def drop(self) -> None:
        """Go, now."""


class Edge:
    """The counts that the server's own protocols share. What is full makes room by giving up its oldest: an honest
    client needs its place for milliseconds, and a flood must not keep it out."""

    def __init__(
        self, limits: Limits, meters: Meters, *, handshake_timeout_s: float, request_timeout_s: float, slow_s: float
    ) -> None:
        self.limits = limits
        self.handshake_timeout_s, self.request_timeout_s, self.slow_s = handshake_timeout_s, request_timeout_s, slow_s
        files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        bounded = files_max != resource.RLIM_INFINITY
        self._sockets_max = sockets_max(limits)
        if bounded:
            self._sockets_max = min(self._sockets_max, max(files_max // 2, files_max - SPARE_FILES))
        self._meters = meters
        self._half_open: dict[Droppable, None] = {}
        self._unfinished: dict[Droppable, int] = {}
        self._unfinished_bytes = 0

    def has_room(self, sockets: int) -> bool:
        """Whether the last of so many connections may stay."""
        if sockets <= self._sockets_max:
            return True
        self.note_reached("connections_max")
        return False

    def note_half_open(self, connection: Droppable, *, is_half_open: bool) -> None:
        """Note that ``connection`` is waiting for a whole request, or is not."""
        if is_half_open:
            self._half_open[connection] = None
            if len(self._half_open) > self.limits.half_open_max:
                oldest = next(iter(self._half_open))
                del self._half_open[oldest]
                self.note_reached("half_open_max")
                oldest.drop()
        else:
            self._half_open.pop(connection, None)
        self._meters.half_open.set(len(self._half_open))

    def note_unfinished(self, connection: Droppable, size_bytes: int) -> None:
        """Note what is held for ``connection`` of a message whose end has not come."""
        before = self._unfinished.get(connection, 0)
        if size_bytes == before:
            return
        if size_bytes:
            self._unfinished[connection] = size_bytes
        else:
            del self._unfinished[connection]
        self._unfinished_bytes += size_bytes - before
        if self._unfinished_bytes > self.limits.unfinished_bytes_max:
            oldest = next(iter(self._unfinished))
            self._unfinished_bytes -= self._unfinished.pop(oldest)
            oldest.drop()
        self._meters.unfinished_bytes.set(self._unfinished_bytes)

    def control_bucket(self) -> Bucket:
        """For the control frames of one connection."""
        rate = self.limits.control_frames_per_s
        return Bucket(rate, rate * self.limits.burst_s, time.monotonic())

    def note_reached(self, limit: str, wait_s: float = 0.0) -> None:
        """Count that a limit was reached, and the time that somebody has to wait for it."""
        self._meters.limits_reached.labels(limit=limit).inc()
        if wait_s:
            self._meters.limit_wait_seconds.labels(limit=limit).inc(wait_s)

    def note_parser_failure(self, error: Exception | None) -> None:
        """Count a frame that was refused for its size before it was read."""
        if isinstance(error, PayloadTooBig):
            self.note_reached("frame_bytes_max")


def sockets_max(limits: Limits) -> int:
    """All connections together, WebSockets and others."""
    return limits.connections_max + limits.half_open_max + SPARE_SOCKETS
