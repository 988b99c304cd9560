"""``POST /api/v1/tickets``: a token, in the Authorization header, for a short-lived ticket that may stand in a URL."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdt_sync.errors import SyncError
from server.web.relay import relay_of


async def issue_ticket(request: Request) -> Response:
    """201 with ``ticket``: good for one connection, within half a minute."""
    relay = relay_of(request)
    try:
        grant = relay.door.identify(request).grant
        ticket = relay.door.tickets.issue(grant, time.time())
    except SyncError as error:
        return relay.refusals.answer(request, error)
    return JSONResponse({"ticket": ticket}, 201, {"Cache-Control": "no-store"})
