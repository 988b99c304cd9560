"""The servers that are measured: ours, its peers, and what the machine can do at the most."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from benchmarks.load.generator import program
from benchmarks.peers.installing import NODE, node_program, pycrdt_python
from benchmarks.peers.running import Link, Role
from crdt_sync.limits import Limits
from server.auth.tokens import issue_token

TENANT = "bench"
LIFTED = 1_000_000_000
"""The generator is a thousand users in one; what one user may send or open is not what is measured."""


def lifted_limits() -> Mapping[str, str]:
    """Environment that takes the relay's rates and numbers of connections out of the way, whichever it has."""
    names = [field.name for field in fields(Limits)]
    rates = [name for name in names if name.endswith(("_per_s", "connections_max", "rooms_max"))]
    return {f"CRDT_SYNC_LIMITS__{name.upper()}": str(LIFTED) for name in rates}


@dataclass(frozen=True, slots=True)
class Ours:
    """``crdt-sync serve`` with its defaults, its steward and scribes beside it; every update is on disk when told."""

    name: str = "crdt-sync"
    role: Role = "ours"
    keeps: bool = True

    def command(self, folder: Path, port: int) -> Sequence[str]:
        return [sys.executable, "-m", "server", "serve", "--port", str(port), "--data", str(folder / "data")]

    def environment(self, folder: Path, port: int) -> Mapping[str, str]:
        return {"CRDT_SYNC_LOG_LEVEL": "error", **lifted_limits()}

    def link(self, folder: Path, room: str) -> Link:
        secret, now_s = folder / "data" / "secret.key", time.time()
        token = issue_token(secret, tenant=TENANT, role="operator", subject="load", ttl_s=3_600, now_s=now_s)
        return Link("y", f"/ws/{TENANT}/{room}?token={token}")

    def version(self) -> str:
        return version("crdt-sync")


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of somebody else's. ``line`` makes the command line of a folder and a port."""

    name: str
    role: Role
    dialect: str
    line: Callable[[Path, int], Sequence[str]]
    told: Callable[[], str]
    keeps: bool = False
    variables: Callable[[Path, int], Mapping[str, str]] = lambda _folder, _port: {}

    def command(self, folder: Path, port: int) -> Sequence[str]:
        return self.line(folder, port)

    def environment(self, folder: Path, port: int) -> Mapping[str, str]:
        return self.variables(folder, port)

    def link(self, folder: Path, room: str) -> Link:
        return Link(self.dialect, f"/{room}", room, "open to all")

    def version(self) -> str:
        return self.told()


def _node_version(package: str) -> Callable[[], str]:
    def told() -> str:
        return str(json.loads((NODE / "node_modules" / package / "package.json").read_text("utf-8"))["version"])

    return told


def _y_websocket(persistent: bool) -> Peer:
    def line(_folder: Path, _port: int) -> Sequence[str]:
        return node_program("node_modules/@y/websocket-server/src/server.js")

    def variables(folder: Path, port: int) -> Mapping[str, str]:
        kept = {"YPERSISTENCE": str(folder / "level")} if persistent else {}
        return {"HOST": "127.0.0.1", "PORT": str(port), **kept}

    name = "y-websocket, LevelDB" if persistent else "y-websocket"
    return Peer(name, "peer", "y", line, _node_version("@y/websocket-server"), persistent, variables)


def _hocuspocus(persistent: bool) -> Peer:
    def line(folder: Path, port: int) -> Sequence[str]:
        kept = [str(folder / "hocuspocus.db")] if persistent else []
        return [*node_program("hocuspocus.mjs"), str(port), *kept]

    name = "Hocuspocus, SQLite" if persistent else "Hocuspocus"
    return Peer(name, "peer", "hocuspocus", line, _node_version("@hocuspocus/server"), persistent)


def _pycrdt(persistent: bool) -> Peer:
    def line(folder: Path, port: int) -> Sequence[str]:
        kept = [str(folder / "pycrdt.db")] if persistent else []
        return [str(pycrdt_python()), str(Path(__file__).with_name("pycrdt_relay.py")), str(port), *kept]

    def told() -> str:
        found = list(pycrdt_python().parents[1].glob("lib/*/site-packages/pycrdt_websocket-*.dist-info"))
        return found[0].name.split("-")[1].removesuffix(".dist") if found else "?"

    name = "pycrdt-websocket, SQLite" if persistent else "pycrdt-websocket"
    return Peer(name, "peer", "y", line, told, persistent)


def _relay_in_c(coalesces: bool) -> Peer:
    def line(_folder: Path, port: int) -> Sequence[str]:
        return [str(program("relay")), str(port), *(["coalesce"] if coalesces else [])]

    return Peer(
        "C relay, coalescing" if coalesces else "C relay", "reference", "plain", line, lambda: "benchmarks/load/relay.c"
    )


def _ws_relay() -> Peer:
    def line(_folder: Path, port: int) -> Sequence[str]:
        return [*node_program("ws_relay.mjs"), str(port)]

    return Peer("Node ws, raw", "reference", "plain", line, _node_version("ws"))


OURS = Ours()
IN_MEMORY = (_y_websocket(persistent=False), _hocuspocus(persistent=False), _pycrdt(persistent=False))
KEEPING = (_y_websocket(persistent=True), _hocuspocus(persistent=True), _pycrdt(persistent=True))
WS_RELAY = _ws_relay()
C_RELAY, C_RELAY_COALESCING = _relay_in_c(coalesces=False), _relay_in_c(coalesces=True)
REFERENCES = (WS_RELAY, C_RELAY, C_RELAY_COALESCING)
SYNCING = (OURS, *IN_MEMORY)
EVERY = (*SYNCING, *REFERENCES)
