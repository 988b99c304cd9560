"""uvicorn's own protocols, where they would let a stranger hold a connection for nothing.

HTTP has a deadline for the head of a request: by itself, uvicorn waits for it for ever. And WebSockets have one more
door: the application can drop a connection that no longer reads.

A close waits until what was written has been flushed, so a peer that reads nothing is never rid of that way. The
abort is offered as a scope extension; under another server it is missing, and the server's own timeouts must do.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT_EXTENSION = "crdt_sync.abort"


class RelayHttpProtocol(H11Protocol):
    """To be passed to uvicorn as ``http=``; ``timeout_keep_alive`` is also the time that a request's head may take."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        # A connection that was upgraded is no longer among the server's HTTP connections.
        cycle: RequestResponseCycle | None = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        if is_answering or self not in self.connections:
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class RelayWebSocketProtocol(WebSocketsSansIOProtocol):
    """To be passed to uvicorn as ``ws=``."""

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[ABORT_EXTENSION] = {"abort": self._abort}
        await super().run_asgi()

    def _abort(self) -> None:
        # Without a reset the kernel would keep what a stuck reader was sent, megabytes of it, for minutes.
        link = self.transport.get_extra_info("socket")
        if link is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def abort_of(scope: dict[str, Any]) -> Callable[[], None] | None:
    """The call that drops the connection of ``scope`` at once, where the server offers it."""
    extension = scope.get("extensions", {}).get(ABORT_EXTENSION)
    return None if extension is None else extension["abort"]
