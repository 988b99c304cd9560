"""Bodies of requests, read no further than they may be long."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from crdt_sync.errors import LimitExceeded, MalformedMessage
from server.auth.strict_json import parse_object

JSON_BYTES_MAX = 4 << 10


async def read_body(request: Request, limit: str, bytes_max: int) -> bytes:
    """The whole body. Raises :class:`LimitExceeded`, which names ``limit``, above ``bytes_max``."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise LimitExceeded(limit, bytes_max, len(body))
    return bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises :class:`MalformedMessage` or :class:`LimitExceeded`."""
    body = await read_body(request, "body_bytes", JSON_BYTES_MAX)
    try:
        return parse_object(body)
    except ValueError as error:
        raise MalformedMessage(f"the body is no JSON object: {error}") from error
