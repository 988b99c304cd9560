"""uvicorn's own protocols, where they would let a stranger take time or memory for nothing. Subclasses, no fork.

HTTP: a request's head and its answer have a deadline, and only so many connections may be without a whole request.
WebSockets: what came is parsed in slices, so that a thousand tiny frames are not one step; the pieces of a message and
the pings are counted; a pong is not written to somebody who reads nothing; what is unfinished has a bound.
Both: a close waits until what was written has been flushed, so a peer that reads nothing would never be rid of that
way; it is, when it takes nothing for a while. Under another server all this is missing, and that server's own bounds
must do.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

from crdt_sync.errors import LimitExceeded, RateLimited, SyncError
from server.web.edge import Edge
from server.web.problems import close_reason, problem_of
from server.web.socket_extension import EXTENSION

SLICE_BYTES: Final = 4 << 10
"""Parsed in one go: the 700 frames that fit in take some 5 ms, and nobody else may wait longer."""
QUEUED_MESSAGES_MAX: Final = 32
QUEUED_BYTES_MAX: Final = 64 << 10
"""So much may wait for the application before nothing more is read."""
FAREWELL_PAUSE_S: Final = 0.01
"""Between two slices of what comes after our close frame: only the answer to it counts."""


class FlushWatch:
    """Aborts a closing connection once its peer takes nothing more of what is left."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, pause_s: float) -> None:
        self._loop, self._transport, self._pause_s = loop, transport, pause_s
        self._left_bytes = transport.get_write_buffer_size()
        self._timer = loop.call_later(pause_s, self._look)

    def cancel(self) -> None:
        """The connection is gone, or is used again."""
        self._timer.cancel()

    def _look(self) -> None:
        left_bytes = self._transport.get_write_buffer_size()
        if 0 < left_bytes < self._left_bytes:
            self._left_bytes = left_bytes
            self._timer = self._loop.call_later(self._pause_s, self._look)
        else:
            abort(self._transport)


def abort(transport: asyncio.Transport) -> None:
    """Drop a connection at once."""
    # Without a reset the kernel would keep what a stuck reader was sent, megabytes of it, for minutes.
    link = transport.get_extra_info("socket")
    if link is not None:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class RelayHttpProtocol(H11Protocol):
    """To be passed to uvicorn as ``http=``."""

    _edge: Edge
    _watched: object = None
    """What the timer is for: the cycle of a request, or this connection while it waits for the next one."""
    _timer: asyncio.TimerHandle | FlushWatch | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._edge = self.app_state["edge"]
        if self._edge.has_room(len(self.connections)):
            self._watch()
        else:
            abort(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._watch()

    def drop(self) -> None:
        """Make room for somebody else."""
        abort(self.transport)

    def _watch(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        # A connection that was upgraded is no longer among the server's HTTP connections.
        is_here = self in self.connections
        wanted = None if not is_here else cycle if is_answering else self
        if wanted is self._watched:
            return
        self._watched = wanted
        self._edge.note_half_open(self, is_half_open=wanted is self)
        self._forget_timer()
        if wanted is self:
            self._timer = self.loop.call_later(self._edge.handshake_timeout_s, self._lapse, "handshake_timeout_s")
        elif wanted is not None:
            self._timer = self.loop.call_later(self._edge.request_timeout_s, self._lapse, "request_timeout_s")

    def _lapse(self, limit: str) -> None:
        if self.transport.get_write_buffer_size():
            # An answer is still being read.
            self._timer = FlushWatch(self.loop, self.transport, self._edge.slow_s)
            return
        self._edge.note_reached(limit)
        abort(self.transport)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


class RelayWebSocketProtocol(WebSocketsSansIOProtocol):
    """To be passed to uvicorn as ``ws=``."""

    _edge: Edge

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed = bytearray()
        self._is_stranger = True
        self._held: asyncio.TimerHandle | None = None
        """Runs while nothing is parsed, because of too many control frames."""
        self._was_heard = False
        """Something came since the last ping was sent."""
        self._flushing: FlushWatch | None = None
        self._is_stopped = False
        """The transport may have been told not to read."""
        self._on_writable: Callable[[], None] | None = None
        self._queued_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._edge = self.app_state["edge"]
        self._control = self._edge.control_bucket()
        link = transport.get_extra_info("socket")
        self._fd = None if transport.get_extra_info("sslcontext") else link.fileno()
        # Parting is a handshake, too.
        self.close_timeout = self._edge.handshake_timeout_s

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._edge.note_unfinished(self, 0)
        self._forget_unread()
        # Its frame holds the connection that holds it.
        self.conn.parser.close()
        if self._held is not None:
            self._held.cancel()
        if self._flushing is not None:
            self._flushing.cancel()

    def data_received(self, data: bytes) -> None:
        self._was_heard = True
        if self._unparsed or self._held is not None or len(data) > SLICE_BYTES:
            self._unparsed += data
            self._parse()
        else:
            super().data_received(data)
        self._settle()

    async def receive(self) -> Any:
        message = await self.queue.get()
        self._taken()
        return message

    async def receive_many(self) -> Sequence[Any]:
        """See :class:`server.web.socket_extension.Socket`."""
        messages = [await self.queue.get()]
        while not self.queue.empty():
            messages.append(self.queue.get_nowait())
        self._taken()
        return messages

    def _taken(self) -> None:
        if not self.queue.empty():
            return
        self._queued_bytes = 0
        if self.read_paused:
            self.read_paused, self._is_stopped = False, True
            self._parse()
            self._settle()

    def send_receive_event_to_app(self) -> None:
        self._queued_bytes += sum(map(len, self.frames))
        # Read on although the application has not taken this: it takes all that is there in one step. By itself,
        # uvicorn stops reading with each message, two system calls and a wake-up for every one of them.
        has_room = self.queue.qsize() < QUEUED_MESSAGES_MAX and self._queued_bytes < QUEUED_BYTES_MAX
        may_read_on = has_room and not self._is_stranger
        was_paused, self.read_paused = self.read_paused, self.read_paused or may_read_on
        super().send_receive_event_to_app()
        if may_read_on:
            self.read_paused = was_paused

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = {"socket": self}
        try:
            await super().run_asgi()
        finally:
            # Else the scope and this would hold each other until the collector comes, which can be long.
            extensions.clear()
            self._on_writable = None
            self._part()

    @property
    def is_writable(self) -> bool:
        """See :class:`server.web.socket_extension.Socket`."""
        return self.handshake_complete and self.writable.is_set()

    def when_writable(self, call: Callable[[], None]) -> None:
        """See :class:`server.web.socket_extension.Socket`."""
        self._on_writable = call

    def write(self, data: bytes) -> None:
        """See :class:`server.web.socket_extension.Socket`."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        if self._fd is None or self.transport.get_write_buffer_size():
            self.transport.write(data)
            return
        # Straight to the socket: the event loop's own way there costs as much again as the system call.
        try:
            sent = os.write(self._fd, data)
        except OSError:
            # It is full, or broken: either is for the transport to find out and to deal with.
            sent = 0
        if sent < len(data):
            self.transport.write(data[sent:])

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._on_writable is not None:
            self._on_writable()

    def abort(self) -> None:
        """See :class:`server.web.socket_extension.Socket`."""
        abort(self.transport)

    def vouch(self) -> None:
        """See :class:`server.web.socket_extension.Socket`."""
        self._is_stranger = False

    def drop(self) -> None:
        """Give up a message that was not finished, so that others can be."""
        self._refuse(RateLimited("bytes of unfinished messages", 1.0))

    # What comes in.

    def _parse(self) -> None:
        """Parse what has come, until there is a message for the application or too many control frames."""
        while self._unparsed and not self.read_paused and self._held is None:
            if self.transport.is_closing():
                self._unparsed.clear()
                return
            part = bytes(self._unparsed[:SLICE_BYTES])
            del self._unparsed[:SLICE_BYTES]
            super().data_received(part)
            if self.close_sent:
                self._hold(FAREWELL_PAUSE_S)

    def _settle(self) -> None:
        """Read on or not, and count what is held."""
        if self.disconnected or self.transport.is_closing():
            return
        unfinished_bytes = len(self.conn.reader.buffer) + (self.conn.current_size or 0)
        maximum = self._edge.limits.stranger_bytes_max
        if self._is_stranger and not self.read_paused and unfinished_bytes + len(self._unparsed) > maximum:
            # The application has heard all that it could, and it was no token.
            actual = unfinished_bytes + len(self._unparsed)
            self._refuse(LimitExceeded("stranger_bytes_max", maximum, actual), "stranger_bytes_max")
            return
        self._edge.note_unfinished(self, unfinished_bytes)
        if self.read_paused or self.transport.is_closing():
            return
        if self._unparsed or self._held is not None:
            self._is_stopped = True
            self.transport.pause_reading()
        elif self._is_stopped:
            self._is_stopped = False
            self.transport.resume_reading()

    def _hold(self, wait_s: float) -> None:
        if self._held is None:
            self._held = self.loop.call_later(wait_s, self._go_on)

    def _go_on(self) -> None:
        self._held = None
        self._parse()
        self._settle()

    def handle_cont(self, event: Frame) -> None:
        maximum = self._edge.limits.fragments_max
        if self.close_sent:
            return
        if len(self.frames) >= maximum:
            self._refuse(LimitExceeded("fragments_max", maximum, maximum + 1), "fragments_max")
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        self._charge_control()
        if self.writable.is_set():
            super().handle_ping()
        else:
            # Who reads nothing needs no answer; RFC 6455, 5.5.3: the latest ping is the one to answer.
            self.conn.data_to_send()

    def handle_pong(self, event: Frame) -> None:
        self._charge_control()
        super().handle_pong(event)

    def _charge_control(self) -> None:
        wait_s = self._control.take(1, self.loop.time())
        if wait_s and self._held is None:
            self._edge.note_reached("control_frames_per_s", wait_s)
            self._hold(wait_s)

    def keepalive_timeout(self) -> None:
        if self._was_heard or self._unparsed or self.read_paused or self._held is not None:
            # It is alive, or kept waiting by us: its pong may stand behind what has not been read yet.
            self.pong_timer, self.pending_ping_payload = None, None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        self._part()

    def send_keepalive_ping(self) -> None:
        self._was_heard = False
        super().send_keepalive_ping()

    # How it ends.

    def handle_parser_exception(self) -> None:
        self._edge.note_parser_failure(self.conn.parser_exc)
        super().handle_parser_exception()
        self._part()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        if self.transport.is_closing():
            self._part()

    def _refuse(self, error: SyncError, limit: str = "unfinished_bytes_max") -> None:
        self._edge.note_reached(limit)
        self._forget_unread()
        if self.conn.state is not State.OPEN:
            abort(self.transport)
            return
        self.conn.fail(problem_of(error).close_code, close_reason(error))
        super().handle_parser_exception()
        self._part()

    def _forget_unread(self) -> None:
        # By itself it would stay until the collector finds the circle that a connection is.
        self.frames, self._unparsed = [], bytearray()
        self.conn.reader.buffer.clear()

    def _part(self) -> None:
        if self._flushing is None and not self.disconnected:
            # With everything flushed, only the answer to our close frame is waited for.
            is_flushed = not self.transport.get_write_buffer_size()
            pause_s = self.close_timeout if is_flushed else self._edge.slow_s
            self._flushing = FlushWatch(self.loop, self.transport, pause_s)
