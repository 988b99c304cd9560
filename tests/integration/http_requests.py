"""Requests over HTTP with a body, beside the event loop."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from tests.integration.relay_process import DEADLINE_S, RelayProcess


async def ask(
    relay: RelayProcess, method: str, path: str, token: str, body: object = None
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a request with a token; ``body`` is sent as JSON, or as it is where it is bytes."""
    return await asyncio.to_thread(_ask, relay, method, path, token, body)


def _ask(relay: RelayProcess, method: str, path: str, token: str, body: object) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{relay.port}{path}", data, {"Authorization": f"Bearer {token}"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
