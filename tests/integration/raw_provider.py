"""A client below HocuspocusProvider: it sends what frames it likes and keeps what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crdt_sync.protocol import hocuspocus
from crdt_sync.protocol.messages import Admitted, Authenticate, Message, Settled, StateReply, StateRequest
from crdt_sync.updates.pieces import EMPTY_UPDATE
from tests.integration.raw_member import READ_LIMITS
from tests.integration.relay_process import DEADLINE_S, RelayProcess


class RawProvider:
    """Made by :func:`open_provider`. Frames are read as they come, unless :attr:`reads` is cleared."""

    def __init__(self, connection: ClientConnection) -> None:
        self.socket = connection
        self.heard: list[tuple[str, Message]] = []
        self.signs: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def say(self, address: str, *messages: Message) -> None:
        for message in messages:
            await self.socket.send(hocuspocus.encode(address, message))

    async def send(self, frame: bytes | str) -> None:
        await self.socket.send(frame)

    async def enter(self, address: str, token: str) -> None:
        """Everything up to the point at which all is settled."""
        await self.say(address, Authenticate(token), StateRequest({}))
        await self.hears(lambda: {Admitted, StateReply, StateRequest} <= set(map(type, self.about(address))))
        await self.say(address, StateReply(EMPTY_UPDATE))
        await self.hears(lambda: self.settled(address) == 1)

    def about(self, address: str) -> list[Message]:
        return [message for told, message in self.heard if told == address]

    def settled(self, address: str) -> int:
        return self.about(address).count(Settled(True))

    async def hears(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds``; it is looked at again with every frame."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                assert not self._reading.done(), f"the connection ended with {self.ending}"
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

    async def _read(self) -> None:
        try:
            while True:
                await self.reads.wait()
                frame = await self.socket.recv(decode=False)
                if len(frame) == 1:
                    self.signs.append(frame)
                else:
                    envelope = hocuspocus.open_frame(frame)
                    self.heard.append((envelope.address, hocuspocus.decode(envelope, READ_LIMITS)))
                self._changed.set()
        except ConnectionClosed:
            return
        finally:
            asyncio.get_running_loop().call_soon(self._changed.set)


@asynccontextmanager
async def open_provider(relay: RelayProcess, *, tenant: str = "acme", **options: Any) -> AsyncIterator[RawProvider]:
    """A connection in the Hocuspocus dialect; nothing has been said on it."""
    connection = await connect(
        f"{relay.ws}/hocuspocus/{tenant}",
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=DEADLINE_S,
        close_timeout=DEADLINE_S,
        **options,
    )
    provider = RawProvider(connection)
    try:
        yield provider
    finally:
        await provider.leave()
