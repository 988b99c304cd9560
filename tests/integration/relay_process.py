"""A real relay in a process of its own: started as an operator starts it, stopped or killed by its own handle."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from server.auth.tokens import issue_token

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
ANNOUNCED = re.compile(r"crdt-sync relay on http://(127\.0\.0\.1):(\d+)\n")
DEADLINE_S = 60.0
"""How long anything may take before a test gives up; nothing is asserted about seconds below it."""
POLL_S = 0.02
STOP_MAX_S = 20.0
"""What the relay promises for a graceful stop."""


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with exactly these settings of the relay; ``limits.X`` as everywhere."""
    ours = {f"CRDT_SYNC_{name.replace('.', '__').upper()}": str(value) for name, value in settings.items()}
    rest = {name: value for name, value in os.environ.items() if not name.startswith("CRDT_SYNC_")}
    return {**rest, **ours}


def command(*arguments: str) -> Sequence[str]:
    """The command line of the checkout under test."""
    return [sys.executable, "-m", "server", *arguments]


class RelayProcess:
    """``with`` starts it and makes sure that nothing is left of it; ``async with`` does so beside the event loop."""

    def __init__(
        self, folder: Path, *, data: Path | None = None, wrapper: Sequence[str] = (), **settings: object
    ) -> None:
        """``wrapper`` goes before the command; ``settings`` become environment variables."""
        folder.mkdir(exist_ok=True)
        self.data = data or folder / "data"
        self.log_path = folder / "relay.log"
        # Its steward would be one more member of every room; tests that want it say so.
        self.settings = {"steward": "off", **settings}
        self.port = 0
        self._wrapper = wrapper
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def start(self, **settings: object) -> None:
        """Start it on its data, on the port that it had before, with ``settings`` changed."""
        self.settings = {**self.settings, **settings}
        await asyncio.to_thread(self._start)

    async def kill(self) -> None:
        """SIGKILL: nothing of it runs after this."""
        await asyncio.to_thread(self._end, signal.SIGKILL)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """SIGTERM, as an operator stops it; the exit code."""
        return await asyncio.to_thread(self._end, how)

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """Everything that it said on standard error, over all its starts."""
        return self.log_path.read_text("utf-8")

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def peak_memory_bytes(self) -> int:
        """The most memory that it has held so far (VmHWM)."""
        return self._memory("VmHWM")

    @property
    def memory_bytes(self) -> int:
        return self._memory("VmRSS")

    def token(self, tenant: str = "acme", role: str = "manager", **claims: Any) -> str:
        """A token of this relay's own issuer; ``documents``, ``ttl_s``, ``now_s`` and ``subject`` as of issue_token."""
        wanted: dict[str, Any] = {"ttl_s": 3_600, "now_s": time.time(), "subject": "test", **claims}
        return issue_token(self.data / "secret.key", tenant=tenant, role=role, **wanted)

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        return await asyncio.to_thread(self._request, "GET", path, {})

    async def post(self, path: str, **headers: str) -> tuple[int, str]:
        return await asyncio.to_thread(self._request, "POST", path, headers)

    async def meter(self, name: str) -> float:
        """One figure of /metrics, like ``rooms`` or ``connections_closed_total{code="1009"}``; 0 before its first."""
        _, text = await self.get("/metrics")
        found = re.search(rf"^crdt_sync_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        status, body = await self.get("/ready")
        return status, json.loads(body)

    async def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line over this relay's data."""
        return await asyncio.to_thread(run_command, *arguments, "--data", str(self.data), **self.settings)

    def _start(self) -> None:
        arguments = command("serve", "--host", "127.0.0.1", "--port", str(self.port), "--data", str(self.data))
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                [*self._wrapper, *arguments],
                cwd=ROOT,
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        # Ends with the process: a relay that does not start closes its side.
        announcement = self._process.stdout.readline()
        found = ANNOUNCED.fullmatch(announcement)
        if found is None:
            self._end(signal.SIGKILL)
            raise AssertionError(f"the relay did not start: {announcement!r}\n{self.log}")
        self.port = int(found[2])

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:
            if process.poll() is None:
                process.send_signal(how)
            try:
                return process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the relay is not running"
        return self._process

    def _memory(self, field: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) << 10

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def run_command(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


async def eventually(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, what: str = "") -> T:
    """Look again and again until it holds; fail with what was seen last at the deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        seen = await look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what or 'it'} never came true; last seen: {seen!r}")
        await asyncio.sleep(POLL_S)
