"""A bad network: a proxy before the relay that delays, swallows and repeats WebSocket messages, and cuts connections.

It forwards bytes as they are, so pings, close frames and plain HTTP go through, too. A WebSocket runs over TCP, where
nothing is lost while a connection lives: what is lost is everything from some moment on, in one direction or in both,
and then the connection. All dialects must bear that. Single lost or repeated messages are worse than any network; only
dialects that do not count messages can bear them, see :class:`Climate`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

from tests.integration.relay_process import RelayProcess

Direction = Literal["up", "down"]
HEAD_BYTES_MAX: Final = 64 << 10
CONTROL: Final = 8
"""Opcodes from here on are close, ping and pong."""


@dataclass(frozen=True, slots=True)
class Climate:
    """What may happen to one dialect's connections; each is a chance for a message or a connection."""

    refused: float = 0.1
    """The connection ends before its first byte has arrived."""
    life_messages: int = 60
    """How many messages a connection lives, at most."""
    delayed: float = 0.2
    delay_s_max: float = 0.03
    repeated: frozenset[Direction] = frozenset()
    """Where single messages come twice."""
    missing: frozenset[Direction] = frozenset()
    """Where single messages never come, and the connection goes on."""
    accident: float = 0.05


COUNTED: Final = Climate()
"""For dialects that say "the first N" or "one more": they rely on TCP to bring each message once."""
MARKED: Final = Climate(repeated=frozenset({"up", "down"}), missing=frozenset({"down"}))
"""For y-sweet: a mark is about everything that was sent before it, so nothing may be missing on the way up."""
ECHOED: Final = Climate(repeated=frozenset({"up", "down"}), missing=frozenset({"up", "down"}))
"""For y-websocket: an update is saved when that very update has come back."""


@dataclass
class Weather:
    """Made by :func:`open_weather`. Bad until :meth:`clear`."""

    relay: RelayProcess
    climate: Climate
    random: Random
    reached: Counter[str] = field(default_factory=Counter)
    port: int = 0
    is_bad: bool = True
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def token(self, tenant: str = "acme", role: str = "operator", **claims: object) -> str:
        return self.relay.token(tenant, role, **claims)

    def clear(self) -> None:
        """The storm is over. It ends every connection: what it swallowed from one that goes on would never come."""
        self.is_bad = False
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self._writers.add(writer)
        try:
            if self.is_bad and self.random.random() < self.climate.refused:
                self.reached["connections refused"] += 1
                return
            await self._forward(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.reached["connections lost"] += 1
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay_reader, relay_writer = await asyncio.open_connection("127.0.0.1", self.relay.port, limit=HEAD_BYTES_MAX)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            relay_writer.write(head)
            if b"\r\nupgrade: websocket\r\n" not in head.lower():
                await both(pour(reader, relay_writer), pour(relay_reader, writer))
                return
            answer = await relay_reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if not answer.startswith(b"HTTP/1.1 101"):
                await pour(relay_reader, writer)
                return
            self.reached["WebSockets"] += 1
            fate = Fate(self)
            await both(fate.carry(reader, relay_writer, "up"), fate.carry(relay_reader, writer, "down"))
        finally:
            relay_writer.transport.abort()


class Fate:
    """What the weather has in mind for one WebSocket."""

    def __init__(self, weather: Weather) -> None:
        random = weather.random
        self._weather = weather
        self._messages_left = random.randint(1, weather.climate.life_messages)
        self._ends = random.choice(("cut", "up", "down", "both ways"))

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        """Forward messages until the weather ends the connection, or one side does."""
        weather, climate = self._weather, self._weather.climate
        chance = weather.random.random
        while True:
            opcode, frame = await read_frame(reader)
            if not weather.is_bad:
                writer.write(frame)
                await writer.drain()
                continue
            self._messages_left -= 1
            if self._messages_left < 0:
                await self._end(reader, direction)
                return
            weather.reached["messages"] += 1
            if chance() < climate.delayed:
                weather.reached["delayed"] += 1
                await asyncio.sleep(chance() * climate.delay_s_max)
            times = 1
            if opcode < CONTROL and chance() < climate.accident:
                times = self._accident(direction)
            for _ in range(times):
                writer.write(frame)
            await writer.drain()

    def _accident(self, direction: Direction) -> int:
        """How often a message is delivered to which something happens."""
        weather = self._weather
        kinds = [
            (times, f"{kind} {direction}")
            for times, kind, where in (
                (2, "repeated", weather.climate.repeated),
                (0, "missing", weather.climate.missing),
            )
            if direction in where
        ]
        if not kinds:
            return 1
        times, what = weather.random.choice(kinds)
        weather.reached[what] += 1
        return times

    async def _end(self, reader: asyncio.StreamReader, direction: Direction) -> None:
        """Cut at once, or swallow for a while what goes this way first."""
        self._weather.reached[f"ended: {self._ends}"] += 1
        if self._ends in (direction, "both ways"):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05 + 0.3 * self._weather.random.random()):
                    while True:
                        await read_frame(reader)
                        self._weather.reached["swallowed"] += 1


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The opcode and all bytes of one frame, masked or not (RFC 6455, 5.2)."""
    head = await reader.readexactly(2)
    length, masked = head[1] & 0x7F, head[1] & 0x80
    if length == 126:
        head += await reader.readexactly(2)
        length = int.from_bytes(head[2:])
    elif length == 127:
        head += await reader.readexactly(8)
        length = int.from_bytes(head[2:])
    return head[0] & 0x0F, head + await reader.readexactly(length + (4 if masked else 0))


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(HEAD_BYTES_MAX):
        writer.write(data)
        await writer.drain()


async def both(*ways: Coroutine[Any, Any, None]) -> None:
    """Both directions of a connection, until one of them ends."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def open_weather(relay: RelayProcess, climate: Climate, random: Random) -> AsyncIterator[Weather]:
    """A proxy of its own port before ``relay``."""
    weather = Weather(relay, climate, random)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(weather.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    weather.port = server.sockets[0].getsockname()[1]
    try:
        yield weather
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
