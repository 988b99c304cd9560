"""What an attacker does to a relay, below every client library: bytes on sockets, as many as it is told.

Every attack takes its size, so that a test can make it small and a soak large. It runs in a block, and is at its
height in there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from crdt_sync.protocol import wire, y_websocket
from crdt_sync.protocol.messages import Presence, PresenceEntry
from tests.integration.raw_member import Author, RawMember, open_raw
from tests.integration.relay_process import DEADLINE_S, POLL_S, RelayProcess, eventually

MEMORY_DEADLINE_S = 30.0
MASKED = 0x80
NO_MASK = bytes(4)
"""A mask of zeros is a mask, too, and spares the attacker the work."""
BINARY, CONTINUATION, PING = 2, 0, 9
FIN, DEFLATED = 0x80, 0x40


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0, declared: int | None = None) -> bytes:
    """One frame as a client sends it; ``declared`` says another length than it has."""
    length = len(payload) if declared is None else declared
    head = bytes([opcode | bits | (FIN if fin else 0)])
    if length < 126:
        size = bytes([MASKED | length])
    elif length < 1 << 16:
        size = bytes([MASKED | 126]) + length.to_bytes(2, "big")
    else:
        size = bytes([MASKED | 127]) + length.to_bytes(8, "big")
    return head + size + NO_MASK + payload


@dataclass
class RawSocket:
    """A TCP connection to the relay."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytearray = field(default_factory=bytearray)

    async def send(self, data: bytes) -> bool:
        """False once the relay has ended the connection."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            return False
        return not self.writer.is_closing()

    async def head(self) -> bytes:
        """The head of the answer to a request."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def ended(self) -> bytes:
        """Wait until the relay ends the connection; what it said last."""
        with suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE_S):
                while data := await self.reader.read(1 << 16):
                    self.received += data
        return bytes(self.received)

    def drop(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def sockets(relay: RelayProcess, count: int) -> AsyncIterator[list[RawSocket]]:
    """So many connections that have said nothing yet."""
    opened: list[RawSocket] = []
    try:
        for _ in range(count):
            # On a machine with much to do, the first have been shown out before the last come.
            with suppress(ConnectionError):
                opened.append(RawSocket(*await asyncio.open_connection("127.0.0.1", relay.port)))
        yield opened
    finally:
        for each in opened:
            each.drop()


def upgrade(path: str, token: str | None, *headers: str) -> bytes:
    """The head of a WebSocket's request."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: relay",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *([] if token is None else [f"Authorization: Bearer {token}"]),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def websockets(
    relay: RelayProcess, path: str, count: int, *headers: str, has_token: bool = True
) -> AsyncIterator[list[RawSocket]]:
    """So many WebSockets, open."""
    token = relay.token(subject="villain") if has_token else None
    async with sockets(relay, count) as opened:
        admitted = []
        for each in opened:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await each.send(upgrade(path, token, *headers))
                assert b" 101 " in await each.head()
                admitted.append(each)
        assert admitted
        yield admitted


async def endlessly(opened: Sequence[RawSocket], data: bytes, bytes_max: int) -> int:
    """Send ``data`` again and again on all, until the relay has ended them, takes no more, or has got ``bytes_max``
    on each; the bytes that left."""

    async def pour(each: RawSocket) -> int:
        sent = 0
        with suppress(TimeoutError):
            while sent < bytes_max:
                async with asyncio.timeout(1.0):
                    if not await each.send(data):
                        break
                sent += len(data)
        return sent

    return sum(await asyncio.gather(*map(pour, opened)))


class Pulse:
    """An honest member that goes on with its work beside an attack: one edit after the other, each waited for."""

    def __init__(self) -> None:
        self.acks = 0
        self.waits_s: list[float] = []

    async def beat(self, relay: RelayProcess, document: str, *, tenant: str = "honest") -> None:
        author = Author()
        async with open_raw(relay, document, tenant=tenant, is_peer=True) as member:
            await member.join()
            while True:
                began_s = time.perf_counter()
                await member.save(author.put("k", self.acks))
                self.waits_s.append(time.perf_counter() - began_s)
                self.acks += 1
                _forget(member)
                if self.acks % 50 == 0:
                    # A document of one key that was written for hours is no test of anything.
                    author.root.clear()

    async def more(self, acks: int) -> None:
        """Wait until so many further edits are on disk."""
        goal = self.acks + acks

        async def count() -> int:
            return self.acks

        await eventually(count, lambda acks: acks >= goal, what="the honest member's work")


def _forget(member: RawMember) -> None:
    del member.heard[:-2], member.frames[:]


@asynccontextmanager
async def pulse(relay: RelayProcess, document: str = "honest/room", *, tenant: str = "honest") -> AsyncIterator[Pulse]:
    """An honest member at work while the block runs; it has begun when the block begins."""
    honest = Pulse()
    beating = asyncio.create_task(honest.beat(relay, document, tenant=tenant))
    try:
        await honest.more(5)
        yield honest
        if beating.done():
            # With what ended it: nothing should.
            beating.result()
    finally:
        beating.cancel()
        await asyncio.wait([beating])


async def memory_is_back(relay: RelayProcess, baseline_bytes: int, *, share: float = 0.10) -> int:
    """Wait until the relay holds no more than ``baseline_bytes`` and ``share``; the least that it held meanwhile."""
    deadline_s = time.monotonic() + MEMORY_DEADLINE_S
    least = relay.memory_bytes
    while least > baseline_bytes * (1 + share):
        assert time.monotonic() < deadline_s, f"{least >> 10} KiB are still held, {baseline_bytes >> 10} KiB were"
        await asyncio.sleep(POLL_S)
        least = min(least, relay.memory_bytes)
    return least


async def all_closed(relay: RelayProcess, *, but: int = 0) -> None:
    """Wait until the relay has no connection but so many."""

    async def count() -> float:
        return await relay.meter("connections")

    await eventually(count, lambda open_now: open_now <= but, what="the end of all connections")


# The attacks.

Attack = Callable[[RelayProcess, int], Coroutine[None, None, None]]


async def half_open_handshakes(relay: RelayProcess, size: int) -> None:
    """Connections that say nothing, half a head, or a head byte by byte; until the relay has ended all of them."""
    async with sockets(relay, size) as opened:
        for number, each in enumerate(opened):
            if number % 3:
                await each.send(upgrade("/ws/acme/page", None)[: number % 100 + 20])
        await asyncio.gather(*(each.ended() for each in opened))


async def endless_headers(relay: RelayProcess, size: int) -> None:
    """Heads that never end, ``size`` MiB on each of eight connections."""
    async with sockets(relay, 8) as opened:
        for each in opened:
            await each.send(b"GET /ws/acme/page HTTP/1.1\r\nHost: relay\r\n")
        await endlessly(opened, b"X-Filler: " + b"x" * 4_000 + b"\r\n", size << 20)


async def ping_flood(relay: RelayProcess, size: int) -> None:
    """Pings whose answers nobody reads, ``size`` MiB on each of four connections."""
    async with websockets(relay, "/ws/acme/pings", 4) as opened:
        for each in opened:
            each.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await endlessly(opened, frame(PING, b"p" * 125) * 100, size << 20)


async def tiny_fragments(relay: RelayProcess, size: int) -> None:
    """Messages in pieces of nothing, ``size`` MiB on each of four connections."""
    async with websockets(relay, "/ws/acme/pieces", 4) as opened:
        for each in opened:
            await each.send(frame(BINARY, fin=False))
        await endlessly(opened, frame(CONTINUATION, fin=False) * 10_000, size << 20)


async def unfinished_messages(relay: RelayProcess, size: int) -> None:
    """``size`` connections with four MiB each of a message that never ends."""
    async with websockets(relay, "/ws/acme/unfinished", size) as opened:
        start = frame(BINARY, declared=4 << 20)
        for each in opened:
            await each.send(start)
        await endlessly(opened, b"u" * (64 << 10), (4 << 20) - (64 << 10))


async def strangers(relay: RelayProcess, size: int) -> None:
    """``size`` WebSockets that show no token and begin a large message."""
    async with websockets(relay, "/hocuspocus/acme", size, has_token=False) as opened:
        for each in opened:
            await each.send(frame(BINARY, b"s" * (30 << 10), declared=4 << 20))
        await asyncio.gather(*(each.ended() for each in opened))


async def awareness_bombs(relay: RelayProcess, size: int) -> None:
    """Frames about presence of as many entries as one may hold, ``size`` on each of four connections; and those
    beyond."""
    many = Presence(tuple(PresenceEntry(n, 1, "[" + "[1]," * 220 + "1]") for n in range(280)))
    async with websockets(relay, "/ws/acme/presence", 4) as opened:
        await endlessly(opened, frame(BINARY, y_websocket.encode(many)), size * len(y_websocket.encode(many)))
        too_many = wire.uint(100_000) + b"".join(wire.uint(n) + b"\x01" + wire.text("{}") for n in range(100_000))
        for each in opened:
            await each.send(frame(BINARY, b"\x01" + wire.blob(too_many)))


async def deflate_bombs(relay: RelayProcess, size: int) -> None:
    """Compressed frames though compression was not agreed; ``size`` connections, one after the other."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    for _ in range(size):
        async with websockets(relay, "/ws/acme/deflate", 1, offer) as [each]:
            await each.send(frame(BINARY, b"\x00" * 8_000, bits=DEFLATED))
            await each.ended()


async def message_flood(relay: RelayProcess, size: int) -> None:
    """``size`` thousand questions on each of four connections, whose answers nobody reads."""
    question = frame(BINARY, b"\x00\x00\x01\x00")
    async with websockets(relay, "/ws/acme/questions", 4) as opened:
        await endlessly(opened, question * 1_000, size * 1_000 * len(question))


async def many_connections(relay: RelayProcess, size: int) -> None:
    """``size`` WebSockets with a good token from one address, all at once; those that are let in stay to the end."""
    token = relay.token(subject="villain")
    async with sockets(relay, size) as opened:
        for each in opened:
            await each.send(upgrade("/ws/acme/many", token))
        heads = await asyncio.gather(*(each.head() for each in opened))
        assert all(b" 101 " in head or (b" 429 " in head and b"retry-after" in head.lower()) for head in heads)


@asynccontextmanager
async def stalled_readers(relay: RelayProcess, count: int, document: str) -> AsyncIterator[list[RawMember]]:
    """So many members of a room that have joined and read nothing any more."""
    async with AsyncExitStack() as stack:
        stalled = []
        for _ in range(count):
            member = await stack.enter_async_context(open_raw(relay, document, receive_buffer_bytes=4096, max_queue=1))
            await member.join()
            member.reads.clear()
            stalled.append(member)
        yield stalled
