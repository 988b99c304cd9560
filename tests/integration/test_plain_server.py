"""Under a server that offers nothing beyond ASGI the relay does the same, a frame at a time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from websockets.asyncio.client import connect

from crdt_sync.protocol.messages import StateReply
from server.app import build_app
from server.auth.tokens import issue_token
from server.settings import Settings
from tests.integration.raw_member import Author, RawMember
from tests.integration.relay_process import DEADLINE_S


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[str]:
    """The relay under uvicorn as it comes; yields where."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(settings), ws="websockets-sansio", lifespan="on", log_config=None, timeout_graceful_shutdown=5
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait([running])
        running.result()


@asynccontextmanager
async def joined(url: str, token: str) -> AsyncIterator[RawMember]:
    async with connect(f"{url}/ws/acme/stock?token={token}", open_timeout=DEADLINE_S) as connection:
        member = RawMember(connection, None)
        try:
            await member.join()
            yield member
        finally:
            await member.leave()


async def test_members_hear_each_other_and_are_told_why_they_are_closed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, steward="off")
    token = issue_token(
        settings.secret_path, tenant="acme", role="operator", subject="ada", ttl_s=600, now_s=time.time()
    )
    author = Author()
    async with served(settings) as url, joined(url, token) as writer, joined(url, token) as reader:
        for number in range(200):
            await writer.save(author.put(f"key-{number}", number))
        await reader.hears(lambda: len(reader.content()) == 200)
        async with joined(url, token) as late:
            assert late.content() == reader.content()
            assert sum(isinstance(message, StateReply) for message in late.heard) == 1
        await reader.send(b"\xff\xff")
        code, reason = await reader.closed()
        assert code == 4400
        assert (reason or "").startswith("malformed-message")
        # The others go on.
        await writer.save(author.put("last", True))
