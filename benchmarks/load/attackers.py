"""Clients that mean harm, until SIGTERM: ``python -m benchmarks.load.attackers PORT PATH``; says how often they tried.

PATH is one that is let in: some of them are members of a room.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

HALF_OPEN, GARBLERS, PINGERS, STUCK, INTRUDERS = 200, 10, 10, 20, 10
REST_S = 0.05
STEP_BYTES = 512


def frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame of a client, with a mask of zeros."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def request(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: bG9hZCBnZW5lcmF0b3IgMQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Attackers:
    """All of them against one server; each begins again when it is thrown out."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self.attempts: Counter[str] = Counter()

    async def run(self) -> None:
        kinds: list[tuple[int, Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]]] = [
            (HALF_OPEN, self.half_open),
            (GARBLERS, self.garble),
            (PINGERS, self.ping),
            (STUCK, self.stick),
            (INTRUDERS, self.intrude),
        ]
        async with asyncio.TaskGroup() as group:
            for count, kind in kinds:
                for _ in range(count):
                    group.create_task(self._again_and_again(kind))

    async def _again_and_again(
        self, attack: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    self.attempts[attack.__name__] += 1
                    await attack(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(REST_S)

    async def half_open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        await reader.read()

    async def intrude(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request(f"/ws/bench/secret?token={random.randbytes(24).hex()}"))
        await reader.read(STEP_BYTES)

    async def garble(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._enter(reader, writer)
        kind = random.choice((b"\x00\x02", b"\x00\x00", b"\x01", b"\x63"))
        writer.write(frame(2, kind + random.randbytes(200)))
        await reader.read(STEP_BYTES)

    async def ping(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._enter(reader, writer)
        for _ in itertools.count():
            self.attempts["ping"] += 1
            writer.write(frame(9, os.urandom(100)))
            await writer.drain()
            await asyncio.sleep(REST_S)

    async def stick(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Asks for the state over and over, and reads nothing of it."""
        await self._enter(reader, writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while True:
            self.attempts["stick"] += 1
            writer.write(frame(2, b"\x00\x00\x01\x00"))
            await writer.drain()
            await asyncio.sleep(REST_S)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request(self._path))
        await reader.readuntil(b"\r\n\r\n")


async def main(port: int, path: str) -> None:
    attackers = Attackers(port, path)
    task = asyncio.create_task(attackers.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    print(sum(attackers.attempts.values()))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
