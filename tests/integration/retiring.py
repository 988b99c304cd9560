"""How tests retire a document of a running relay, and look for bytes in its files."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import DEADLINE_S, RelayProcess

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[OfflinePeer]]


async def retire(
    relay: RelayProcess, tenant: str, document: str, *, token: str | None = None, **fields: Any
) -> tuple[int, dict[str, Any]]:
    """Status and body of ``POST /api/v1/documents/retire``, as an admin of the tenant."""
    body = {"document": document, "why": "asked for", **fields}
    return await post(relay, json.dumps(body).encode(), token or relay.token(tenant, "admin"))


async def post(relay: RelayProcess, body: bytes, token: str) -> tuple[int, dict[str, Any]]:
    return await asyncio.to_thread(_post, f"http://127.0.0.1:{relay.port}/api/v1/documents/retire", body, token)


def _post(url: str, body: bytes, token: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, data=body, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def places_of(token: str, folder: Path) -> list[str]:
    """The files below ``folder`` that hold the token."""
    sought = token.encode()
    return sorted(file.name for file in folder.rglob("*") if file.is_file() and sought in file.read_bytes())


def opener(relay: RelayProcess, folder: Path, tenant: str) -> Opening:
    """Opens peers of a tenant by name, each in a folder of its own."""

    def open_peer(name: str, **options: Any) -> AbstractAsyncContextManager[OfflinePeer]:
        (folder / name).mkdir(exist_ok=True)
        wanted = {"tenant": tenant, "name": name, "relay": relay.ws, "token": relay.token(tenant), **options}
        return OfflinePeer.open(folder / name / "peer.db", **wanted)

    return open_peer
