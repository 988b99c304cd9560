"""A sample of the hostile inputs over real sockets, to a relay in its own process: it serves on, and starts again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.raw_member import Author, open_raw
from tests.integration.relay_process import DEADLINE_S, RelayProcess
from tests.laws.hostile_inputs import Inputs
from tests.laws.serving_path import corpus

FRAMES = 1_000
FRAMES_AT_ONCE = 20
DOCUMENT = "storm/one"
LOOSE: dict[str, Any] = {
    f"limits.{name}": 1_000_000 for name in ("user_requests_per_s", "user_messages_per_s", "connection_messages_per_s")
}


async def send_all(url: str, frames: list[bytes]) -> None:
    """Send them on one connection, without waiting for answers."""
    async with connect(url, compression=None, max_size=None) as socket:
        try:
            for frame in frames:
                await socket.send(frame)
            async with asyncio.timeout(DEADLINE_S):
                await (await socket.ping())
        except ConnectionClosed:
            return


async def ended_by_relay(relay: RelayProcess) -> float:
    """How many connections it has closed for what was said on them."""
    _, text = await relay.get("/metrics")
    closed = re.findall(r'^crdt_sync_connections_closed_total{code="(1009|44..)"} (\S+)$', text, re.MULTILINE)
    return sum(float(count) for _, count in closed)


async def test_P15_a_relay_that_took_hostile_frames_serves_on_and_starts_again(tmp_path: Path) -> None:
    random = Random(20261120)
    inputs = Inputs(random, corpus(random), bomb_chance=1 / 500)
    async with RelayProcess(tmp_path, free_space_bytes_min=0, **LOOSE) as relay:
        token = quote(relay.token(subject="mallory"))
        urls: dict[str, Callable[[], str]] = {
            "y-websocket": lambda: f"{relay.ws}/ws/acme/{DOCUMENT}?token={token}",
            "multiplexed": lambda: f"{relay.ws}/sync/acme?token={token}",
            "hocuspocus": lambda: f"{relay.ws}/hocuspocus/acme?token={token}",
        }
        pid, author = relay.pid, Author(999)
        async with open_raw(relay, DOCUMENT) as witness:
            await witness.join()
            for number in range(FRAMES // FRAMES_AT_ONCE):
                dialect = random.choice(tuple(urls))
                frames = [inputs.frame(dialect) for _ in range(FRAMES_AT_ONCE)]
                await send_all(urls[dialect](), frames)
                if number % 10 == 0:
                    await witness.save(author.put("alive", number))
            assert await ended_by_relay(relay) > FRAMES / FRAMES_AT_ONCE / 2
            assert relay.pid == pid
            assert relay.is_running
        await relay.kill()
        await relay.start()
        async with open_raw(relay, DOCUMENT) as newcomer:
            await newcomer.join()
            await newcomer.save(author.put("alive", "again"))
        assert "Traceback" not in relay.log


async def test_a_sample_of_names_and_tokens_is_refused_over_sockets_too(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0, **LOOSE) as relay:
        author = Author(7)
        async with open_raw(relay, "merger", tenant="bravo") as victim:
            await victim.join()
            await victim.save(author.put("secret", "of bravo"))
        token = quote(relay.token("acme"))
        names = ("bravo/merger", "../bravo/merger", "..%2fbravo%2fmerger", "%2e%2e/bravo/merger", "merger%00",
                 "merger%ff", "%6derger", "m%65rger", "MERGER", "//merger", "merger/",
                 "%ef%bd%8derger", "merger%20")  # fmt: skip
        for tenant in ("acme", "bravo", "%62ravo", "Bravo", "acme/../bravo", "acme%2f..%2fbravo", "bravo%00"):
            for name in (*names, "merger"):
                try:
                    async with connect(f"{relay.ws}/ws/{tenant}/{name}?token={token}", compression=None) as socket:
                        await socket.send(b"\x00\x00\x01\x00")
                        heard = await socket.recv(decode=False)
                except (InvalidStatus, ConnectionClosed) as refused:
                    heard = str(refused).encode()
                assert b"of bravo" not in heard
