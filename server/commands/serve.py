"""``crdt-sync serve``: run the relay until it is told to stop."""

from __future__ import annotations

import ipaddress
import math
import resource
import signal
import socket
import sys
import time
from typing import Annotated

import structlog
import typer
import uvicorn

from crdt_sync.limits import Limits
from server.app import build_app
from server.auth.keys import load_jwks, load_or_create_secret
from server.auth.tokens import issue_token
from server.commands.options import Config, Data
from server.commands.revoke import book_of
from server.settings import Settings, SettingsError, load_settings
from server.telemetry.logs import configure_logging
from server.web.edge import SPARE_FILES, sockets_max
from server.web.uvicorn_protocol import RelayHttpProtocol, RelayWebSocketProtocol

log = structlog.get_logger(__name__)

DEMO_TTL_S = 86_400
EXIT_NOT_STARTED = 1


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.", show_default="1234")] = None,
    data: Data = None,
    config: Config = None,
    demo: Annotated[
        str | None,
        typer.Option(metavar="TENANT", help="Print a token for this tenant, and lines to connect a peer and a page."),
    ] = None,
) -> None:
    """Run the relay. It stops on SIGTERM or Ctrl-C, within 20 seconds, and loses nothing.

    Every setting is also an environment variable (CRDT_SYNC_PORT) and a key of the --config file: see check-config.
    """
    settings = load_settings(config, host=host, port=port, data_dir=data)
    configure_logging(settings.log_level, settings.log_format)
    # Keys and the access file are read again when the application starts; wrong ones are said here, before anything
    # listens.
    load_or_create_secret(settings.secret_path)
    if settings.jwks_file is not None:
        load_jwks(settings.jwks_file)
    book_of(settings).open()
    _allow_files(settings.limits)
    listener = _listen(settings)
    address = _address(listener)
    server = _Server(_uvicorn_config(settings, own_url(listener)), f"crdt-sync relay on http://{address}")
    if demo is not None:
        server.announcement += _demo(settings, demo, address)
    # uvicorn raises the signal that stopped it once more when all is done; a clean stop is no death by signal.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    if not server.started:
        # Why stands in the log.
        raise typer.Exit(EXIT_NOT_STARTED)


def _listen(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=4096)
    except OSError as error:
        raise SettingsError(
            "port", f"can't listen on {settings.host}:{settings.port}: {error.strerror or error}"
        ) from error
    listener.setblocking(False)
    return listener


def _allow_files(limits: Limits) -> None:
    """Let this process have a file for every connection that it may take, as far as the system lets it."""
    wanted = sockets_max(limits) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning("fewer connections than the limits say: raise ulimit -n", files=allowed, wanted=wanted)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def own_url(listener: socket.socket) -> str:
    """Where this very relay is reached from this machine; one that listens everywhere listens on loopback, too."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


def _uvicorn_config(settings: Settings, own_url: str) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(settings, own_url),
        ws=RelayWebSocketProtocol,
        ws_max_size=settings.limits.frame_bytes_max,
        ws_per_message_deflate=False,
        # h11 bounds the head of a request; httptools takes headers without end.
        http=RelayHttpProtocol,
        h11_max_incomplete_event_size=settings.limits.head_bytes_max,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=math.ceil(settings.handshake_timeout_s),
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s)),
        server_header=False,
    )


class _Server(uvicorn.Server):
    """Says where it listens once it does, and not before: a reader of that line may connect at once."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self.announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            typer.echo(self.announcement)


def _demo(settings: Settings, tenant: str, address: str) -> str:
    token = issue_token(
        settings.secret_path,
        tenant=tenant,
        role="operator",
        ttl_s=min(DEMO_TTL_S, settings.token_ttl_max_s),
        now_s=time.time(),
        subject="demo",
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        ttl_max_s=settings.token_ttl_max_s,
    )
    return f"""
Stop it with Ctrl-C. Documents are kept in {settings.data_dir}.

Tenant {tenant}, with a token that holds for a day:

{token}

A Python peer; paste into a second terminal, here:

{sys.executable} - <<'PEER'
import asyncio
from crdt_sync.peer import OfflinePeer
async def main():
    relay, token = "ws://{address}", "{token}"
    async with OfflinePeer.open("till-1.db", tenant="{tenant}", name="till-1", relay=relay, token=token) as till:
        async with till.edit() as docs:
            docs.inventory.add_product("tea", price=450)
            docs.inventory.add_location("shop")
            docs.inventory.receive("tea", 10, at="shop")
        await till.sync()
        async with till.read() as docs:
            print(docs.inventory.stock_table(), till.status())
asyncio.run(main())
PEER

A Yjs page, with stock yjs and y-websocket:

new WebsocketProvider("ws://{address}/ws/{tenant}", "inventory/catalog", doc, {{ params: {{ token: "{token}" }} }})
"""
