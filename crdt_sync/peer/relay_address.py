"""Where a peer's relay is, and how to get a connection to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from crdt_sync.errors import Forbidden, InvalidName, NotSynced, SyncError, Unauthenticated
from crdt_sync.limits import Limits
from crdt_sync.peer.renewal import renewing

FRAME_OVERHEAD_BYTES = 1 << 10
_SCHEMES: Mapping[str, str] = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """A relay, the tenant there, and the token to show. A callable is asked for a fresh one at every connect, and
    before the one that it gave expires."""

    url: str
    tenant: str
    token: str | Callable[[], str] = field(repr=False)

    @property
    def endpoint(self) -> str:
        """The WebSocket URL for peers. Raises :class:`InvalidName` for what is no relay's URL."""
        parts = urlsplit(self.url)
        if parts.scheme not in _SCHEMES or not parts.netloc:
            raise InvalidName("relay", self.url, "a URL like ws://127.0.0.1:1234 or https://relay.example")
        return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}/sync/{self.tenant}"

    def current_token(self) -> str:
        return self.token if isinstance(self.token, str) else self.token()


@asynccontextmanager
async def connected(address: RelayAddress, limits: Limits, *, timeout_s: float) -> AsyncIterator[ClientConnection]:
    """A WebSocket to the relay, closed on leaving; it is kept supplied with fresh tokens, where there are any.

    Raises :class:`Unauthenticated` or :class:`Forbidden` as the relay says, :class:`NotSynced` when it can't be
    reached or the connection ends in the block.
    """
    token = address.current_token()
    try:
        async with connect(
            address.endpoint,
            additional_headers={"Authorization": f"Bearer {token}"},
            # The relay's answer may hold a whole document in one message.
            max_size=limits.document_bytes_max + FRAME_OVERHEAD_BYTES,
            compression=None,
            open_timeout=timeout_s,
        ) as socket:
            if isinstance(address.token, str):
                yield socket
            else:
                async with renewing(socket, token, address.token):
                    yield socket
    except InvalidStatus as error:
        raise _refusal(error) from error
    except ConnectionClosed as error:
        raise NotSynced(f"the relay ended the connection: {_words(error)}") from error
    except (OSError, InvalidHandshake) as error:
        raise NotSynced(f"the relay at {address.url} can't be reached: {error}") from error


def _refusal(error: InvalidStatus) -> SyncError:
    status, body = error.response.status_code, error.response.body
    try:
        detail = str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"the relay answered {status}"
    match status:
        case 401:
            return Unauthenticated(detail)
        case 403 | 404:
            return Forbidden(detail)
        case _:
            return NotSynced(f"the relay refused the connection: {detail}")


def _words(error: ConnectionClosed) -> str:
    close = error.rcvd
    return "it was cut" if close is None else f"{close.code} {close.reason}".strip()
