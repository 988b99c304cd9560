"""A client below every provider: it sends what bytes it likes and keeps what it hears, in either dialect."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pycrdt import Doc, Map, TransactionEvent
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.protocol import multiplexed, y_websocket
from crdt_sync.protocol.messages import Ack, Message, NewUpdate, StateReply, StateRequest
from tests.integration.relay_process import DEADLINE_S, RelayProcess

READ_LIMITS = Limits(frame_bytes_max=1 << 30)


class Author:
    """A Doc whose edits are updates to send; ``root`` is the map ``m``."""

    def __init__(self, client_id: int | None = None) -> None:
        self.doc: Doc = Doc() if client_id is None else Doc(client_id=client_id)
        self.root: Map = self.doc.get("m", type=Map)
        self._update = b""
        self._subscription = self.doc.observe(self._keep)

    def _keep(self, event: TransactionEvent) -> None:
        self._update = event.update

    def put(self, key: str, value: object) -> bytes:
        """The update of one edit."""
        self.root[key] = value
        return self._update

    def learn(self, updates: Sequence[bytes]) -> dict[str, Any]:
        """What the map holds after ``updates``."""
        for update in updates:
            self.doc.apply_update(update)
        content: dict[str, Any] = self.root.to_py() or {}
        return content


class RawMember:
    """Made by :func:`open_raw`. Frames are read as they come, unless :attr:`reads` is cleared."""

    def __init__(self, connection: ClientConnection, document: str | None) -> None:
        self.socket = connection
        self.heard: list[Message] = []
        self.frames: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._document = document
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def say(self, message: Message) -> None:
        await self.send(self._encode(message))

    async def send(self, frame: bytes | str) -> None:
        await self.socket.send(frame)

    async def join(self) -> None:
        """Ask for everything, and wait for it and for the relay's own question."""
        await self.say(StateRequest({}))
        await self.hears(lambda: {StateReply, StateRequest} <= set(map(type, self.heard)))

    async def save(self, update: bytes) -> None:
        """Send an edit, and wait until the relay says that it is on disk."""
        acks = self.acked
        await self.say(NewUpdate(update))
        if self._document is None:
            await self.hears(lambda: NewUpdate(update) in self.heard)
        else:
            await self.hears(lambda: self.acked > acks)

    @property
    def has_ended(self) -> bool:
        """The relay has ended the connection, and everything that came before has been heard."""
        return self._reading.done()

    @property
    def acked(self) -> int:
        return max((message.through for message in self.heard if isinstance(message, Ack)), default=0)

    @property
    def updates(self) -> list[bytes]:
        return [message.update for message in self.heard if isinstance(message, NewUpdate | StateReply)]

    def content(self) -> dict[str, Any]:
        """What the document's map holds by what was heard."""
        return Author().learn(self.updates)

    async def hears(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds``; it is looked at again with every frame."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                assert not self.has_ended, f"the connection ended with {self.ending}"
                self._changed.clear()
                await self._changed.wait()

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the relay to end the connection; its code and reason."""
        async with asyncio.timeout(DEADLINE_S):
            await self.socket.wait_closed()
        return self.ending

    @property
    def ending(self) -> tuple[int | None, str | None]:
        return self.socket.close_code, self.socket.close_reason

    async def leave(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self.socket.transport.abort()
        await self.socket.wait_closed()

    def _encode(self, message: Message) -> bytes:
        if self._document is None:
            return y_websocket.encode(message)
        return multiplexed.encode(self._document, message)

    def _decode(self, frame: bytes) -> Message:
        if self._document is None:
            return y_websocket.decode(frame, READ_LIMITS)
        return multiplexed.decode(frame, READ_LIMITS)[1]

    async def _read(self) -> None:
        try:
            while True:
                await self.reads.wait()
                frame = await self.socket.recv(decode=False)
                self.frames.append(frame)
                self.heard.append(self._decode(frame))
                self._changed.set()
        except ConnectionClosed:
            return
        finally:
            asyncio.get_running_loop().call_soon(self._changed.set)


@asynccontextmanager
async def open_raw(
    relay: RelayProcess,
    document: str,
    *,
    tenant: str = "acme",
    token: str | None = None,
    is_peer: bool = False,
    receive_buffer_bytes: int | None = None,
    **options: Any,
) -> AsyncIterator[RawMember]:
    """A connection to one document, by the y-websocket dialect or, for a peer, the multiplexed one.

    With a small ``receive_buffer_bytes``, what it does not read soon waits at the relay."""
    path = f"/sync/{tenant}" if is_peer else f"/ws/{tenant}/{document}"
    stream = None
    if receive_buffer_bytes is not None:
        # Before the connection is made, or the window has been agreed without it.
        stream = socket.socket()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        stream.setblocking(False)
        await asyncio.get_running_loop().sock_connect(stream, ("127.0.0.1", relay.port))
    connection = await connect(
        relay.ws + path,
        sock=stream,
        additional_headers={"Authorization": f"Bearer {token or relay.token(tenant)}"},
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=DEADLINE_S,
        close_timeout=DEADLINE_S,
        **options,
    )
    member = RawMember(connection, document if is_peer else None)
    try:
        yield member
    finally:
        await member.leave()


async def content_of(relay: RelayProcess, document: str, *, tenant: str = "acme") -> dict[str, Any]:
    """What a fresh client finds in the document."""
    async with open_raw(relay, document, tenant=tenant) as fresh:
        await fresh.join()
        return fresh.content()


assert DEFAULT_LIMITS.frame_bytes_max < READ_LIMITS.frame_bytes_max
