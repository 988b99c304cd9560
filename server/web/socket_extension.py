"""What the relay's own server offers an endpoint beyond ASGI: a word with the socket itself.

Offered as a scope extension. Under another server it is missing, and that server's own bounds must do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

EXTENSION: Final = "crdt_sync.socket"


class Socket(Protocol):
    """The socket of one WebSocket."""

    @property
    def is_writable(self) -> bool:
        """It has got rid of what was written before."""

    def write(self, data: bytes) -> None:
        """Write whole frames, now. A socket that is gone, or closing, drops them."""

    def when_writable(self, call: Callable[[], None]) -> None:
        """Call back each time that it has become writable again."""

    async def receive_many(self) -> Sequence[Mapping[str, Any]]:
        """ASGI's events, as ``receive`` gives them: all that are here, and at least one."""

    def abort(self) -> None:
        """Drop the connection at once, whatever is still to be sent."""

    def vouch(self) -> None:
        """It has shown a token that holds: from here on whole frames may come."""


def socket_of(scope: Mapping[str, Any]) -> Socket | None:
    """The socket behind ``scope``, where the server offers it."""
    socket: Socket | None = scope.get("extensions", {}).get(EXTENSION, {}).get("socket")
    return socket
