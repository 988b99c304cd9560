"""``/live``, ``/ready``, ``/metrics``: for whoever runs the relay; and ``/``, for whoever wonders what this is."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdt_sync.errors import StoreUnavailable
from server.steward.supervision import Steward
from server.web.relay import Relay, relay_of


async def live(_request: Request) -> Response:
    """200 as long as the process answers."""
    return JSONResponse({"status": "live"})


async def ready(request: Request) -> Response:
    """200 when the relay can keep its word for every tenant and room that it was asked for, else 503 and why not."""
    relay = relay_of(request)
    reasons = {f"tenant {tenant}": why for tenant, why in relay.tenants.failures().items()}
    reasons |= {f"room {room}": why for room, why in relay.rooms.failures().items()}
    reasons |= relay.scrubber.lost()
    try:
        relay.meters.free_space_bytes.set(relay.tenants.check_free_space())
    except StoreUnavailable as error:
        reasons["disk"] = str(error)
    if reasons:
        return JSONResponse({"status": "not ready", "reasons": reasons}, 503)
    return JSONResponse(
        {
            "status": "ready",
            "rooms": len(relay.rooms.open_rooms()),
            "steward": _describe(relay.steward),
            **_risks(relay),
        }
    )


def _risks(relay: Relay) -> dict[str, Any]:
    """What was set aside, and damage that costs nothing yet. Whoever reads this should look at it."""
    found = {"quarantined": relay.rooms.quarantined(), "at_risk": relay.scrubber.at_risk()}
    return {name: what for name, what in found.items() if what}


def _describe(steward: Steward | None) -> str:
    """What waits while it is down is written in no promise of ours, so the relay is ready without it."""
    if steward is None:
        return "off"
    return "at work" if steward.down is None else f"down: {steward.down}"


async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    content, content_type = relay_of(request).meters.render()
    return Response(content, media_type=content_type)


async def index(_request: Request) -> Response:
    """A signpost."""
    return JSONResponse(
        {
            "name": "crdt-sync relay",
            "y-websocket": "/ws/{tenant}/{document}?token=...",
            "peers": "/sync/{tenant}",
            "tickets": "POST /api/v1/tickets",
            "health": ["/live", "/ready", "/metrics"],
        }
    )
