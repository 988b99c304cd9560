"""The composition root: settings in, a running relay out. Everything is made here, once, and handed down."""

from __future__ import annotations

import base64
import dataclasses
import gc
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from server.auth.access import AccessBook
from server.auth.client_tokens import ClientTokens
from server.auth.keys import SECRET_BYTES, KeyRing, load_jwks, load_or_create_secret, own_key, secret_key
from server.auth.tickets import Tickets
from server.auth.tokens import TokenIssuer, TokenVerifier
from server.rooms.containment import open_containment
from server.rooms.host import CompactionRule, HostParts
from server.rooms.registry import open_rooms
from server.rooms.scrubbing import open_scrubbing
from server.scribes.pool import Scribes, open_scribes
from server.settings import Settings
from server.steward.supervision import Steward, open_steward
from server.steward.words import Instructions
from server.storage.audit import AuditTrail, open_audit
from server.storage.quarantine import open_quarantines
from server.storage.restoring import restored_tenants
from server.storage.tenants import Tenants, open_tenants
from server.telemetry.meters import Meters
from server.web import health
from server.web.access import event_of, read_audit_log, revoke_tokens
from server.web.connections import open_connections
from server.web.documents import retire_document
from server.web.door import Door
from server.web.edge import Edge
from server.web.hocuspocus import hocuspocus_endpoint
from server.web.multiplexed import multiplexed_endpoint
from server.web.quotas import Quotas
from server.web.refusals import Refusals
from server.web.relay import Relay
from server.web.tenures import open_tenures
from server.web.tickets import issue_ticket
from server.web.y_sweet import (
    authorize_client,
    check_store,
    new_document,
    read_as_update,
    write_update,
    y_sweet_endpoint,
)
from server.web.y_websocket import y_websocket_endpoint

log = structlog.get_logger(__name__)


def build_app(settings: Settings, own_url: str | None = None) -> Starlette:
    """The relay as an ASGI application; its lifespan opens and closes everything that it holds.

    ``own_url`` is where it can be reached from this machine; without one it runs no steward, whom it would be for."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with open_relay(settings, own_url) as relay:
            # What is alive now stays alive: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            edge = Edge(
                settings.limits,
                relay.meters,
                handshake_timeout_s=settings.handshake_timeout_s,
                request_timeout_s=settings.request_timeout_s,
                slow_s=settings.slow_member_timeout_s,
            )
            # The first is for endpoints, the second for the protocols of our own server.
            yield {"relay": relay, "edge": edge}

    return Starlette(
        routes=[
            Route("/", health.index),
            Route("/live", health.live),
            Route("/ready", health.ready),
            Route("/metrics", health.metrics),
            Route("/api/v1/tickets", issue_ticket, methods=["POST"]),
            Route("/api/v1/tokens/revoke", revoke_tokens, methods=["POST"]),
            Route("/api/v1/audit", read_audit_log, methods=["GET"]),
            Route("/api/v1/documents/retire", retire_document, methods=["POST"]),
            Route("/check_store", check_store, methods=["POST"]),
            Route("/doc/new", new_document, methods=["POST"]),
            Route("/doc/{doc_id:path}/auth", authorize_client, methods=["POST"]),
            Route("/d/{doc_id:path}/as-update", read_as_update, methods=["GET"]),
            Route("/d/{doc_id:path}/update", write_update, methods=["POST"]),
            WebSocketRoute("/ws/{tenant}/{document:path}", y_websocket_endpoint),
            WebSocketRoute("/d/{path:path}", y_sweet_endpoint),
            WebSocketRoute("/sync/{tenant}", multiplexed_endpoint),
            WebSocketRoute("/hocuspocus/{tenant}", hocuspocus_endpoint),
        ],
        lifespan=lifespan,
    )


@asynccontextmanager
async def open_relay(settings: Settings, own_url: str | None = None) -> AsyncIterator[Relay]:
    """All parts of a relay. On leaving, the steward ends first, then rooms finish, then scribes, then the stores
    close."""
    meters = Meters()
    own_secret = secrets.token_bytes(SECRET_BYTES)
    quotas = Quotas(settings.limits, meters)
    steward = _steward(settings, meters, own_url, own_secret)
    async with AsyncExitStack() as stack:
        trail = await stack.enter_async_context(
            open_audit(settings.data_dir, on_written=meters.audit_rows.inc, on_lost=meters.audit_lost.inc)
        )
        book = _access_book(settings, trail)
        door = _door(settings, meters, quotas, book, own_secret)
        tenants = await stack.enter_async_context(
            open_tenants(settings.data_dir, served=settings.tenants, free_space_bytes_min=settings.free_space_bytes_min)
        )
        quarantines = await stack.enter_async_context(open_quarantines(settings.data_dir))
        scribes = await stack.enter_async_context(_open_scribes(settings, meters))
        parts = _host_parts(settings, scribes, meters, tenants, trail)
        on_visit = None if steward is None else steward.visited
        rooms = await stack.enter_async_context(
            open_rooms(tenants, quarantines, parts, idle_s=settings.room_idle_s, on_visit=on_visit)
        )
        await stack.enter_async_context(open_containment(rooms, tenants, quarantines, parts))
        scrubber = await stack.enter_async_context(
            open_scrubbing(
                tenants,
                rooms,
                meters,
                interval_s=settings.scrub_interval_s,
                bytes_per_s=settings.scrub_bytes_per_s,
            )
        )
        if steward is not None:
            await stack.enter_async_context(open_steward(steward, rooms))
        connections = await stack.enter_async_context(
            open_connections(meters, liveness_s=settings.liveness_s, slow_s=settings.slow_member_timeout_s)
        )
        tenures = await stack.enter_async_context(open_tenures(book))
        yield Relay(
            settings.limits,
            meters,
            door,
            quotas,
            book,
            tenures,
            Refusals(trail),
            tenants,
            rooms,
            connections,
            settings.handshake_timeout_s,
            steward,
            scribes,
            _client_tokens(settings),
            settings.public_url,
            scrubber,
        )


def _open_scribes(settings: Settings, meters: Meters) -> AbstractAsyncContextManager[Scribes]:
    def note_death(how: str) -> None:
        meters.scribe_deaths.inc()
        log.warning("scribe died", how=how)

    return open_scribes(
        count=settings.scribe_count,
        memory_bytes_max=settings.scribe_memory_bytes_max,
        timeout_s=settings.scribe_timeout_s,
        on_death=note_death,
    )


def _access_book(settings: Settings, trail: AuditTrail) -> AccessBook:
    book = AccessBook(
        settings.data_dir,
        token_life_s=settings.token_ttl_max_s + settings.token_leeway_s,
        # Commands come and go beside the relay: what they order goes on record here.
        on_entry=lambda entry: trail.note(event_of(entry)),
    )
    book.open()
    return book


def _steward(settings: Settings, meters: Meters, own_url: str | None, own_secret: bytes) -> Steward | None:
    if settings.steward == "off" or own_url is None:
        return None
    instructions = Instructions(
        relay=own_url,
        folder=str(settings.data_dir / "steward"),
        secret=base64.b64encode(own_secret).decode(),
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        token_ttl_s=settings.token_ttl_max_s,
        interval_s=settings.steward_interval_s,
        limits=dataclasses.asdict(settings.limits),
    )
    # What it has handed out since the backup, it would hand out again.
    resting = restored_tenants(settings.data_dir)
    if resting:
        log.warning("steward rests: remove TENANT.db.restored when all devices have synced", tenants=sorted(resting))
    return Steward(
        instructions,
        meters,
        memory_bytes_max=settings.steward_memory_bytes_max,
        idle_s=settings.room_idle_s,
        resting=resting,
    )


def _host_parts(settings: Settings, scribes: Scribes, meters: Meters, tenants: Tenants, trail: AuditTrail) -> HostParts:
    compaction = CompactionRule(
        settings.compact_log_records_max, settings.compact_log_bytes_min, settings.compact_log_ratio
    )
    carry = settings.carry == "on"
    return HostParts(
        settings.limits, compaction, scribes, meters, tenants.check_free_space, may_carry=carry, note=trail.note
    )


def _client_tokens(settings: Settings) -> ClientTokens:
    # With the key that survives a restart: a page comes back with the token that it has.
    issuer = TokenIssuer(
        secret_key(load_or_create_secret(settings.secret_path)),
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        ttl_max_s=settings.token_ttl_max_s,
    )
    return ClientTokens(issuer, ttl_max_s=settings.token_ttl_max_s)


def _door(settings: Settings, meters: Meters, quotas: Quotas, book: AccessBook, own_secret: bytes) -> Door:
    keys = [secret_key(load_or_create_secret(settings.secret_path)), own_key(own_secret)]
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
    return Door(verifier, Tickets(), settings.allowed_origins, meters, quotas, book)
