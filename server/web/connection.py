"""One WebSocket connection: a reader that feeds rooms, a sender that empties the outbox, and how they end."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from crdt_sync.errors import HandshakeTimeout, LimitExceeded, MalformedMessage, SyncError
from crdt_sync.limits import Limits
from crdt_sync.protocol.messages import Message, NewUpdate, Presence, StateReply
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from server.auth.grants import Grant
from server.telemetry.meters import Meters
from server.web.problems import close_reason, problem_of
from server.web.quotas import Pace
from server.web.refusals import Refusals
from server.web.socket_extension import socket_of
from server.web.sockets import AsgiSink, SocketSink

log = structlog.get_logger(__name__)

DECODE_IN_THREAD_BYTES = 64 << 10
"""A larger update is decoded beside the event loop, or the other rooms would wait for it."""

FAREWELL_S = 3.0
"""So long an expelled connection may take to read why."""

Listener: TypeAlias = Callable[[bytes], Awaitable[None]]


class Connection:
    """Lives in :meth:`run`, in the request's own task."""

    def __init__(
        self,
        websocket: WebSocket,
        grant: Grant | None,
        limits: Limits,
        meters: Meters,
        pace: Pace,
        refusals: Refusals,
    ) -> None:
        """Without ``grant`` nobody is known to be at the other end yet. Its end is the endpoint's to see to."""
        self._grant = grant
        socket = socket_of(websocket.scope)
        self._socket = socket
        self._sink = AsgiSink(websocket, limits) if socket is None else SocketSink(socket, limits)
        self.outbox = self._sink.outbox
        self._counted_bytes = 0
        self._received_bytes = 0
        self._arrived: deque[Mapping[str, Any]] = deque()
        self._heard_at_s = 0.0
        self._is_listening = False
        self._websocket = websocket
        self._limits = limits
        self._meters = meters
        self._pace = pace
        self._refusals = refusals
        self._cutting: asyncio.TimerHandle | None = None
        self._close_code = 1006

    @property
    def progress_at_s(self) -> float:
        """When the socket last took a frame."""
        return self._sink.progress_at_s

    @property
    def owes_a_word(self) -> bool:
        """Its client has said something since it was last sent anything."""
        return self._is_listening or self._heard_at_s > self.progress_at_s

    def count(self) -> bool:
        """Tell the meters what came and went since this was last called; whether anything was sent."""
        news = self._sink.sent_bytes - self._counted_bytes
        self._counted_bytes += news
        self._meters.sent_bytes.inc(news)
        self._meters.received_bytes.inc(self._received_bytes)
        self._received_bytes = 0
        return news > 0

    async def run(self, listen: Listener, *, handshake_timeout_s: float) -> None:
        """Feed every binary message to ``listen`` until one side ends the connection."""
        sending = asyncio.create_task(self._send(), name="send")
        reading = asyncio.create_task(self._read(listen, handshake_timeout_s), name="read")
        if self._grant is not None:
            self.vouch()
        try:
            # The sender ends once the outbox does, with the close frame sent; the reader once the client is gone.
            await asyncio.wait([sending, reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._cutting is not None:
                self._cutting.cancel()
            for task in (sending, reading):
                task.cancel()
            outcomes = await asyncio.gather(sending, reading, return_exceptions=True)
            self.count()
            self._meters.connections_closed.labels(code=str(self._close_code)).inc()
            # An error holds the frames that it went through, and they hold this.
            self.outbox.ended = None
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def expel(self, reason: SyncError) -> None:
        """End a connection that has lost its right to be here: nothing of it is heard from now on, and nothing told."""
        self.outbox.end(reason)
        if self._socket is not None and self._cutting is None:
            # Who does not read its farewell goes without it.
            self._cutting = asyncio.get_running_loop().call_later(FAREWELL_S, self._socket.abort)

    def drop(self, reason: SyncError) -> None:
        """End a connection that takes nothing any more, without waiting for it."""
        self.outbox.end(reason)
        if self._socket is not None:
            self._socket.abort()

    def vouch(self) -> None:
        """Somebody known is at the other end: the socket need not be kept as short as a stranger's."""
        if self._socket is not None:
            self._socket.vouch()

    async def decoded(self, message: Message) -> DecodedUpdate | None:
        """The update that ``message`` holds, if it holds one. Raises :class:`MalformedUpdate`."""
        if not isinstance(message, NewUpdate | StateReply):
            if isinstance(message, Presence):
                await self._pace.pay_for_presence(sum(len(entry.state or "") for entry in message.entries))
            return None
        self._meters.updates_received.inc()
        if len(message.update) < DECODE_IN_THREAD_BYTES:
            return decode_update(message.update, self._limits)
        return await asyncio.to_thread(decode_update, message.update, self._limits)

    async def _read(self, listen: Listener, handshake_timeout_s: float) -> None:
        try:
            await self._listen(listen, await self._first_frame(handshake_timeout_s))
            while True:
                # Who does not read is not read from, so that its answers can't pile up here.
                await self.outbox.room()
                await self._listen(listen, await self._receive())
        except SyncError as error:
            self._meters.updates_refused.labels(reason=error.code).inc()
            if isinstance(error, LimitExceeded):
                self._meters.limits_reached.labels(limit=error.limit).inc()
            who = {} if self._grant is None else {"subject": self._grant.subject, "tenant": self._grant.tenant}
            log.info("connection refused", **who, error=str(error))
            self._refusals.note(self._websocket, error)
            self.outbox.end(error)
            # Only the sender ends the connection from here on; a task that returned would end it before its reason.
            await asyncio.get_running_loop().create_future()
        except WebSocketDisconnect as disconnect:
            self._close_code = disconnect.code

    async def _listen(self, listen: Listener, frame: bytes) -> None:
        if self.outbox.ended is not None:
            # What it says on its way out meets nobody.
            return
        self._heard_at_s, self._is_listening = time.monotonic(), True
        if not self._pace.covers(len(frame)):
            # Nothing further is read meanwhile: whoever sends too much is slowed, and loses nothing.
            await self._pace.pay()
        await listen(frame)
        self._is_listening = False

    async def _first_frame(self, handshake_timeout_s: float) -> bytes:
        frame = await self._receive_within(handshake_timeout_s)
        if frame is None:
            # Raised here, or the errors, the timer and the task would hold each other until the collector comes.
            raise HandshakeTimeout(f"nothing was said within {handshake_timeout_s:g} s")
        return frame

    async def _receive_within(self, time_s: float) -> bytes | None:
        try:
            async with asyncio.timeout(time_s):
                return await self._receive()
        except TimeoutError:
            return None

    async def _receive(self) -> bytes:
        while not self._arrived:
            self._arrived.extend(await self._events())
        event = self._arrived.popleft()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code") or 1005)
        frame = event.get("bytes")
        if frame is None:
            raise MalformedMessage("text frames have no meaning here; every message is binary")
        if len(frame) > self._limits.frame_bytes_max:
            raise LimitExceeded("frame_bytes_max", self._limits.frame_bytes_max, len(frame))
        self._received_bytes += len(frame)
        return bytes(frame)

    async def _events(self) -> Sequence[Mapping[str, Any]]:
        return [await self._websocket.receive()] if self._socket is None else await self._socket.receive_many()

    async def _send(self) -> None:
        try:
            # What was put in before the socket was open waits in the outbox.
            self.outbox.flush()
            ended = await self._sink.run()
            self._close_code = problem_of(ended).close_code
            await self._websocket.close(self._close_code, close_reason(ended))
        except (WebSocketDisconnect, RuntimeError) as error:
            # Starlette says RuntimeError when the other task has seen the disconnect first.
            if isinstance(error, RuntimeError) and "close message has been sent" not in str(error):
                raise
