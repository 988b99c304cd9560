"""One WebSocket connection: a reader that feeds rooms, a sender that empties the outbox, and how they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from crdt_sync.errors import HandshakeTimeout, LimitExceeded, MalformedMessage, SyncError, Unauthenticated
from crdt_sync.limits import Limits
from crdt_sync.protocol.messages import Message, NewUpdate, StateReply
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from server.auth.grants import Grant
from server.rooms.outbox import Outbox
from server.telemetry.meters import Meters
from server.web.problems import close_reason, problem_of
from server.web.uvicorn_protocol import abort_of

log = structlog.get_logger(__name__)

DECODE_IN_THREAD_BYTES = 64 << 10
"""A larger update is decoded beside the event loop, or the other rooms would wait for it."""

Listener: TypeAlias = Callable[[bytes], Awaitable[None]]


class Connection:
    """Lives in :meth:`run`, in the request's own task."""

    def __init__(self, websocket: WebSocket, grant: Grant | None, limits: Limits, meters: Meters) -> None:
        """Without ``grant`` it has no end of its own: the endpoint must see to that."""
        self._grant = grant
        self.outbox = Outbox(limits)
        self.is_alive = False
        """Something was sent since somebody last looked; see the keeper in connections.py."""
        self.progress_at_s = time.monotonic()
        """When the socket last took a frame, or had nothing to take."""
        self._heard_at_s = 0.0
        self._is_listening = False
        self._websocket = websocket
        self._limits = limits
        self._meters = meters
        self._abort = abort_of(dict(websocket.scope))
        self._close_code = 1006

    @property
    def owes_a_word(self) -> bool:
        """Its client has said something since it was last sent anything."""
        return self._is_listening or self._heard_at_s > self.progress_at_s

    async def run(self, listen: Listener, *, handshake_timeout_s: float) -> None:
        """Feed every binary message to ``listen`` until one side ends the connection."""
        sending = asyncio.create_task(self._send(), name="send")
        reading = asyncio.create_task(self._read(listen, handshake_timeout_s), name="read")
        expiry = None
        if self._grant is not None:
            expiry_s = max(0.0, self._grant.expires_at_s - time.time())
            expiry = asyncio.get_running_loop().call_later(expiry_s, self._expire)
        try:
            # The sender ends once the outbox does, with the close frame sent; the reader once the client is gone.
            await asyncio.wait([sending, reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if expiry is not None:
                expiry.cancel()
            for task in (sending, reading):
                task.cancel()
            outcomes = await asyncio.gather(sending, reading, return_exceptions=True)
            self._meters.connections_closed.labels(code=str(self._close_code)).inc()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def drop(self, reason: SyncError) -> None:
        """End a connection that takes nothing any more, without waiting for it."""
        self.outbox.end(reason)
        if self._abort is not None:
            self._abort()

    async def decoded(self, message: Message) -> DecodedUpdate | None:
        """The update that ``message`` holds, if it holds one. Raises :class:`MalformedUpdate`."""
        if not isinstance(message, NewUpdate | StateReply):
            return None
        self._meters.updates_received.inc()
        if len(message.update) < DECODE_IN_THREAD_BYTES:
            return decode_update(message.update, self._limits)
        return await asyncio.to_thread(decode_update, message.update, self._limits)

    def _expire(self) -> None:
        self.outbox.end(Unauthenticated("the token has expired"))

    async def _read(self, listen: Listener, handshake_timeout_s: float) -> None:
        try:
            await self._listen(listen, await self._first_frame(handshake_timeout_s))
            while True:
                # Who does not read is not read from, so that its answers can't pile up here.
                await self.outbox.room()
                await self._listen(listen, await self._receive())
        except SyncError as error:
            self._meters.updates_refused.labels(reason=error.code).inc()
            who = {} if self._grant is None else {"subject": self._grant.subject, "tenant": self._grant.tenant}
            log.info("connection refused", **who, error=str(error))
            self.outbox.end(error)
            # Only the sender ends the connection from here on; a task that returned would end it before its reason.
            await asyncio.get_running_loop().create_future()
        except WebSocketDisconnect as disconnect:
            self._close_code = disconnect.code

    async def _listen(self, listen: Listener, frame: bytes) -> None:
        self._heard_at_s, self._is_listening = time.monotonic(), True
        await listen(frame)
        self._is_listening = False

    async def _first_frame(self, handshake_timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(handshake_timeout_s):
                return await self._receive()
        except TimeoutError:
            raise HandshakeTimeout(f"nothing was said within {handshake_timeout_s:g} s") from None

    async def _receive(self) -> bytes:
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code") or 1005)
        frame = event.get("bytes")
        if frame is None:
            raise MalformedMessage("text frames have no meaning here; every message is binary")
        if len(frame) > self._limits.frame_bytes_max:
            raise LimitExceeded("frame_bytes_max", self._limits.frame_bytes_max, len(frame))
        self._meters.received_bytes.inc(len(frame))
        return bytes(frame)

    async def _send(self) -> None:
        try:
            while frames := await self.outbox.take():
                self.progress_at_s = time.monotonic()
                for frame in frames:
                    await self._websocket.send_bytes(frame)
                    self.outbox.sent(frame)
                    self.progress_at_s = time.monotonic()
                self.is_alive = True
                self._meters.sent_bytes.inc(sum(map(len, frames)))
            ended = self.outbox.ended
            assert ended is not None
            self._close_code = problem_of(ended).close_code
            await self._websocket.close(self._close_code, close_reason(ended))
        except (WebSocketDisconnect, RuntimeError) as error:
            # Starlette says RuntimeError when the other task has seen the disconnect first.
            if isinstance(error, RuntimeError) and "close message has been sent" not in str(error):
                raise
