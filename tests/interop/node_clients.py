"""Stock JavaScript clients in a Node process, under remote control; see node/clients.mjs."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.integration.relay_process import DEADLINE_S, eventually

NODE_FOLDER = Path(__file__).parent / "node"
LINE_BYTES_MAX = 16 << 20


class Reached(Protocol):
    """A relay, or what stands before it."""

    @property
    def ws(self) -> str: ...

    def token(self, tenant: str = "acme", role: str = "operator", **claims: Any) -> str: ...


def need_node() -> None:
    """Skip the test, with a sentence, where the JavaScript clients are missing."""
    if shutil.which("node") is None:
        pytest.skip("Node is missing: install Node 20 or later")
    if not (NODE_FOLDER / "node_modules" / "yjs").is_dir():
        pytest.skip("the JavaScript clients are not installed: run make test")


class Page:
    """One client: a Y.Doc and its y-websocket provider."""

    def __init__(self, pages: Pages, name: str) -> None:
        self.name = name
        self._pages = pages

    async def call(self, command: str, *arguments: Any) -> Any:
        return await self._pages.call(command, self.name, *arguments)

    async def edit(self, *steps: list[Any]) -> None:
        """Steps like ``["map", "m", "set", key, value]``, in one transaction."""
        await self.call("edit", steps)

    async def content(self) -> dict[str, Any]:
        content: dict[str, Any] = await self.call("content")
        return content

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = await self.call("state")
        return state

    async def states(self) -> dict[int, Any]:
        """Who is here, by client id."""
        return dict(await self.call("states"))

    async def synced(self) -> None:
        await eventually(self.state, lambda state: bool(state["synced"]), what=f"{self.name} synced")

    async def saved(self) -> None:
        """All that was edited has come back, so it is on disk."""
        await eventually(self.state, lambda state: state["echoed"] == state["edits"], what=f"{self.name} saved")


class Pages:
    """Made by :func:`open_pages`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._calls = 0

    async def call(self, command: str, *arguments: Any) -> Any:
        """One command and its answer; commands of one process take turns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls += 1
        self._process.stdin.write(json.dumps([self._calls, command, *arguments]).encode() + b"\n")
        async with asyncio.timeout(DEADLINE_S):
            line = await self._process.stdout.readline()
        assert line, "the Node process has ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def open(
        self,
        name: str,
        relay: Reached,
        document: str,
        *,
        version: int = 3,
        tenant: str = "acme",
        token: str | None = None,
        **options: Any,
    ) -> Page:
        """A client of y-websocket 1.5, 2.1 or 3.1, or of @y/websocket 4.0, on its way to ``document``."""
        wanted = {
            "version": version,
            "serverUrl": f"{relay.ws}/ws/{tenant}",
            "room": document,
            "params": {"token": token or relay.token(tenant)},
            "protocols": [],
            **options,
        }
        await self.call("open", name, wanted)
        return Page(self, name)

    async def open_hocuspocus(
        self,
        name: str,
        relay: Reached,
        document: str,
        *,
        tenant: str = "acme",
        tokens: Sequence[str | int] = (),
        **options: Any,
    ) -> Page:
        """A HocuspocusProvider; ``socket`` names one that was opened before, else it has its own."""
        wanted = {
            "url": f"{relay.ws}/hocuspocus/{tenant}",
            "document": document,
            "tokens": list(tokens) or [relay.token(tenant)],
            **options,
        }
        await self.call("openHocuspocus", name, wanted)
        return Page(self, name)

    async def open_y_sweet(
        self,
        name: str,
        relay: Reached,
        doc_id: str,
        *,
        tenant: str = "acme",
        token: str | None = None,
        offline: bool = False,
        **auth: Any,
    ) -> Page:
        """A client of y-sweet; ``token`` is its backend's, and ``auth`` what that asks for on its behalf."""
        wanted = {"backend": backend_of(relay, tenant, token), "docId": doc_id, "offline": offline, "auth": auth}
        await self.call("openYSweet", name, wanted)
        return Page(self, name)

    async def backend(self, call: str, *arguments: Any) -> Any:
        """What y-sweet's own SDK does in a backend."""
        return await self.call("backend", call, *arguments)


def backend_of(relay: Reached, tenant: str = "acme", token: str | None = None) -> str:
    """The connection string of a backend; ``token`` is one of ours."""
    return relay.ws.replace("ws://", f"ys://{token or relay.token(tenant)}@")


@asynccontextmanager
async def open_pages(*, speed: int = 1) -> AsyncIterator[Pages]:
    """A Node process; with ``speed`` its clock runs that many times as fast."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "clients.mjs",
        f"--speed={speed}",
        cwd=NODE_FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    try:
        yield Pages(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # The transport closes its pipes only when it is told to; the loop may be gone by then.
        process._transport.close()  # type: ignore[attr-defined]
