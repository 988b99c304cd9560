"""A connection's socket as the sink of its outbox: whole WebSocket frames, written without a task in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from starlette.websockets import WebSocket
from websockets.frames import Frame, Opcode

from crdt_sync.errors import SyncError
from crdt_sync.limits import Limits
from server.rooms.outbox import Basket, Outbox
from server.rooms.parcels import Parcel
from server.web.socket_extension import Socket


def framed(payload: bytes) -> bytes:
    """One binary message as a WebSocket frame. A server's frames are not masked, so all clients get the same bytes."""
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


class SocketSink:
    """The sink of one connection."""

    def __init__(self, socket: Socket, limits: Limits) -> None:
        self._socket = socket
        self.outbox = Outbox(limits, self)
        socket.when_writable(self.outbox.flush)
        self._ended: asyncio.Future[SyncError] = asyncio.get_running_loop().create_future()
        self.progress_at_s = time.monotonic()
        """When the socket last took something."""
        self.sent_bytes = 0
        """Payloads that were handed to the socket, in all."""

    @property
    def is_ready(self) -> bool:
        return self._socket.is_writable

    def write(self, parcels: Sequence[Parcel]) -> None:
        if len(parcels) == 1:
            self._socket.write(parcels[0].wire(framed))
        else:
            self._socket.write(b"".join([parcel.wire(framed) for parcel in parcels]))
        self.sent_bytes += sum([parcel.size for parcel in parcels])
        self.progress_at_s = time.monotonic()

    def end(self, reason: SyncError) -> None:
        self._ended.set_result(reason)

    async def run(self) -> SyncError:
        """Wait until everything is sent that ever will be. Returns why."""
        return await self._ended


class AsgiSink:
    """The same under a server that offers nothing beyond ASGI: a frame at a time, each waited for."""

    def __init__(self, websocket: WebSocket, limits: Limits) -> None:
        self._websocket = websocket
        self._basket = Basket(limits)
        self.outbox = self._basket.outbox
        self.progress_at_s = time.monotonic()
        self.sent_bytes = 0

    async def run(self) -> SyncError:
        while frames := await self._basket.take():
            self.progress_at_s = time.monotonic()
            for frame in frames:
                await self._websocket.send_bytes(frame)
                self.sent_bytes += len(frame)
                self.progress_at_s = time.monotonic()
        assert self.outbox.ended is not None
        return self.outbox.ended
