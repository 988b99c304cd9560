"""A client of the relay's ASGI application, without sockets: requests and WebSockets with whatever bytes in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import structlog
from starlette.applications import Starlette

from crdt_sync.limits import Limits
from server.app import build_app
from server.settings import Settings
from server.web.relay import Relay

ANSWER_S = 20.0
"""How long to wait for an answer that must come."""


class Asked(NamedTuple):
    """One attempt. With ``frames`` it is a WebSocket, which waits for as many frames as ``answers`` before it ends."""

    method: str
    raw_path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    frames: tuple[bytes, ...] | None = None
    answers: int = 0
    subprotocols: tuple[str, ...] = ()


@dataclass
class Told:
    """All that came back: a status and a body, or frames and a reason to close."""

    status: int
    heard: bytes
    frames: list[bytes]

    @property
    def everything(self) -> bytes:
        return b"\n".join((self.heard, *self.frames))


class AsgiClient:
    """Made by :func:`open_asgi`."""

    def __init__(self, app: Starlette, relay: Relay) -> None:
        self.relay = relay
        self._app = app

    async def ask(self, asked: Asked) -> Told:
        return await Visit(asked).run(self._app, self.relay)


class Visit:
    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._told = Told(0, b"", [])
        self._to_send = list(asked.frames or ())
        self._begun = False
        self._news = asyncio.Event()

    async def run(self, app: Starlette, relay: Relay) -> Told:
        await app(self._scope(relay), self._receive, self._send)
        return self._told

    def _scope(self, relay: Relay) -> dict[str, Any]:
        asked = self._asked
        path = asked.raw_path.encode("utf-8", "surrogateescape")
        headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in asked.headers]
        scope: dict[str, Any] = {
            "type": "http" if asked.frames is None else "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http" if asked.frames is None else "ws",
            # As the server does it: escapes that are no UTF-8 become U+FFFD.
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": asked.query.encode("utf-8", "surrogateescape"),
            "root_path": "",
            "headers": [(b"host", b"relay.example"), *headers],
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 1234),
            "state": {"relay": relay},
        }
        if asked.frames is None:
            scope["method"] = asked.method
        else:
            scope["subprotocols"] = list(asked.subprotocols)
            scope["extensions"] = {"websocket.http.response": {}}
        return scope

    async def _receive(self) -> dict[str, Any]:
        if self._asked.frames is None:
            if self._begun:
                return {"type": "http.disconnect"}
            self._begun = True
            return {"type": "http.request", "body": self._asked.body, "more_body": False}
        if not self._begun:
            self._begun = True
            return {"type": "websocket.connect"}
        if self._to_send:
            return {"type": "websocket.receive", "bytes": self._to_send.pop(0)}
        async with asyncio.timeout(ANSWER_S):
            while len(self._told.frames) < self._asked.answers:
                self._news.clear()
                await self._news.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def _send(self, event: Any) -> None:
        match event["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self._told.status = event["status"]
            case "http.response.body" | "websocket.http.response.body":
                self._told.heard += event.get("body", b"")
            case "websocket.accept":
                self._told.status = 101
            case "websocket.send":
                self._told.frames.append(event["bytes"])
            case "websocket.close":
                self._told.heard += (event.get("reason") or "").encode()
                # Nothing more will come, whatever was waited for.
                self._told.frames += [b""] * self._asked.answers
        self._news.set()


@asynccontextmanager
async def open_asgi(data: Path, **limits: Any) -> AsyncIterator[AsgiClient]:
    """The application over ``data``, with its lifespan."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = Settings(data_dir=data, free_space_bytes_min=0, steward="off", limits=Limits(**limits))
    app = build_app(settings)
    try:
        async with app.router.lifespan_context(app) as state:
            assert state is not None
            yield AsgiClient(app, state["relay"])
    finally:
        structlog.reset_defaults()
