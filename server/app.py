"""The composition root: settings in, a running relay out. Everything is made here, once, and handed down."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from server.auth.keys import KeyRing, load_jwks, load_or_create_secret, secret_key
from server.auth.tickets import Tickets
from server.auth.tokens import TokenVerifier
from server.rooms.host import CompactionRule, HostParts
from server.rooms.registry import open_rooms
from server.scribes.pool import open_scribes
from server.settings import Settings
from server.storage.tenants import open_tenants
from server.telemetry.meters import Meters
from server.web import health
from server.web.connections import open_connections
from server.web.door import Door
from server.web.multiplexed import multiplexed_endpoint
from server.web.relay import Relay
from server.web.tickets import issue_ticket
from server.web.y_websocket import y_websocket_endpoint

log = structlog.get_logger(__name__)


def build_app(settings: Settings) -> Starlette:
    """The relay as an ASGI application; its lifespan opens and closes everything that it holds."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with open_relay(settings) as relay:
            # What is alive now stays alive: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            yield {"relay": relay}

    return Starlette(
        routes=[
            Route("/", health.index),
            Route("/live", health.live),
            Route("/ready", health.ready),
            Route("/metrics", health.metrics),
            Route("/api/v1/tickets", issue_ticket, methods=["POST"]),
            WebSocketRoute("/ws/{tenant}/{document:path}", y_websocket_endpoint),
            WebSocketRoute("/sync/{tenant}", multiplexed_endpoint),
        ],
        lifespan=lifespan,
    )


@asynccontextmanager
async def open_relay(settings: Settings) -> AsyncIterator[Relay]:
    """All parts of a relay. On leaving, rooms finish first, then scribes, then the stores close."""
    meters = Meters()
    door = _door(settings, meters)
    async with AsyncExitStack() as stack:
        tenants = await stack.enter_async_context(
            open_tenants(settings.data_dir, served=settings.tenants, free_space_bytes_min=settings.free_space_bytes_min)
        )

        def note_death(how: str) -> None:
            meters.scribe_deaths.inc()
            log.warning("scribe died", how=how)

        scribes = await stack.enter_async_context(
            open_scribes(
                count=settings.scribe_count,
                memory_bytes_max=settings.scribe_memory_bytes_max,
                timeout_s=settings.scribe_timeout_s,
                on_death=note_death,
            )
        )
        compaction = CompactionRule(
            settings.compact_log_records_max, settings.compact_log_bytes_min, settings.compact_log_ratio
        )
        parts = HostParts(settings.limits, compaction, scribes, meters, tenants.check_free_space)
        rooms = await stack.enter_async_context(open_rooms(tenants, parts, idle_s=settings.room_idle_s))
        connections = await stack.enter_async_context(
            open_connections(meters, liveness_s=settings.liveness_s, slow_s=settings.slow_member_timeout_s)
        )
        yield Relay(settings.limits, meters, door, tenants, rooms, connections, settings.handshake_timeout_s)


def _door(settings: Settings, meters: Meters) -> Door:
    keys = [secret_key(load_or_create_secret(settings.secret_path))]
    if settings.jwks_file is not None:
        keys += load_jwks(settings.jwks_file)
    verifier = TokenVerifier(
        KeyRing(keys),
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        ttl_max_s=settings.token_ttl_max_s,
        leeway_s=settings.token_leeway_s,
        tenants=settings.tenants,
    )
    return Door(verifier, Tickets(), settings.allowed_origins, meters)
