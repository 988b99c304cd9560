"""Showing a fresh token on a connection that lives longer than the one that opened it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from crdt_sync.protocol import multiplexed
from crdt_sync.protocol.messages import Authenticate

LEAD_S: Final = 60.0
"""A fresh token is shown so long before the old one expires, or in the last third of a shorter time."""


def ends_at_s(token: str) -> float | None:
    """When a token says that it expires, in Unix seconds; None for what is no JWT, such as an API key. Nothing is
    verified: that is the relay's to do."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return None
    ends = claims.get("exp") if isinstance(claims, dict) else None
    return float(ends) if isinstance(ends, int | float) else None


def wait_s(token: str, now_s: float) -> float | None:
    """How long from ``now_s`` until another token should be shown; None where that can't be known, or is too late."""
    ends_s = ends_at_s(token)
    if ends_s is None or ends_s <= now_s:
        return None
    left_s = ends_s - now_s
    return left_s - min(LEAD_S, left_s / 3)


@asynccontextmanager
async def renewing(socket: ClientConnection, token: str, fresh: Callable[[], str]) -> AsyncIterator[None]:
    """Show the relay a ``fresh`` token in time, as long as the block runs. What ``fresh`` raises ends the connection
    and is raised on leaving, as it would be at a connect."""
    keeping = asyncio.create_task(_keep(socket, token, fresh), name="renew the token")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            raise error


async def _keep(socket: ClientConnection, token: str, fresh: Callable[[], str]) -> None:
    while (pause_s := wait_s(token, time.time())) is not None:
        await asyncio.sleep(pause_s)
        try:
            token = fresh()
        except BaseException:
            await socket.close()
            raise
        try:
            await socket.send(multiplexed.encode(multiplexed.CONNECTION, Authenticate(token)))
        except ConnectionClosed:
            # Whoever reads from it hears why.
            return
