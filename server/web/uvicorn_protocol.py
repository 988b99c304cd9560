"""uvicorn's own WebSocket protocol with one more door: the application can drop a connection that no longer reads.

A close waits until what was written has been flushed, so a peer that reads nothing is never rid of that way. The
abort is offered as a scope extension; under another server it is missing, and the server's own timeouts must do.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT_EXTENSION = "crdt_sync.abort"


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
