"""The relay as a user would run it: ``crdt-sync serve`` in a process of its own, measured from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

CLI = (sys.executable, "-c", "from server.cli import main; main()")
ROOT = Path(__file__).parents[2]
START_S, STOP_S, VERIFY_S = 30.0, 25.0, 300.0
SAMPLE_S = 0.5
_ADDRESS = re.compile(rb"https?://([^\s/]+)")
_PEAK = re.compile(r"^VmHWM:\s+([0-9]+) kB$", re.MULTILINE)


class ReplayFailed(RuntimeError):
    """The replay can't go on, or something that was promised did not hold. The message says which."""


@dataclass(frozen=True, slots=True)
class RunningRelay:
    """Where to sync, and as whom."""

    url: str
    token: str
    tenant: str


@dataclass(slots=True)
class RelayFigures:
    """Of an embedded relay; peaks are resident bytes, None where the system does not tell."""

    peak_bytes: int | None = None
    """The serving process."""
    scribe_peak_bytes: int | None = None
    """The greatest of its worker processes."""
    stored_bytes: int = 0
    """Its files, after it has stopped."""
    verify: str = ""
    """The last line of ``crdt-sync verify``."""


class EmbeddedRelay:
    """Made by :func:`embedded_relay`."""

    def __init__(self, process: asyncio.subprocess.Process, running: RunningRelay, data_dir: Path) -> None:
        self.running = running
        self.figures = RelayFigures()
        self._process = process
        self._data_dir = data_dir

    async def watch(self) -> None:
        """Look at the relay's memory again and again; ends with :class:`ReplayFailed` when it dies."""
        while self._process.returncode is None:
            self._measure()
            await asyncio.sleep(SAMPLE_S)
        raise ReplayFailed(f"the relay ended by itself, with code {self._process.returncode}; its log is relay.log")

    async def stop(self) -> None:
        """SIGTERM, as an operator would. Raises :class:`ReplayFailed` when it does not end well in time."""
        self._measure()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                code = await self._process.wait()
        except TimeoutError:
            raise ReplayFailed(f"the relay did not stop within {STOP_S:g} s of SIGTERM") from None
        if code not in (0, -signal.SIGTERM):
            raise ReplayFailed(f"the relay stopped with code {code}; its log is relay.log")
        self.figures.stored_bytes = sum(path.stat().st_size for path in self._data_dir.rglob("*") if path.is_file())

    async def verify(self) -> None:
        """Check what it stored. Raises :class:`ReplayFailed` for any damage."""
        output = await run_cli("verify", "--data", str(self._data_dir), timeout_s=VERIFY_S)
        self.figures.verify = output.strip().rpartition("\n")[2]

    def _measure(self) -> None:
        figures = self.figures
        figures.peak_bytes = _greater(figures.peak_bytes, _peak_bytes(self._process.pid))
        for child in _children(self._process.pid):
            figures.scribe_peak_bytes = _greater(figures.scribe_peak_bytes, _peak_bytes(child))


@asynccontextmanager
async def embedded_relay(work: Path, tenant: str) -> AsyncIterator[EmbeddedRelay]:
    """A relay of our own with its files in ``work``; killed on leaving if it was not stopped."""
    data_dir = work / "relay"
    token = (await run_cli("token", "--data", str(data_dir), "--tenant", tenant, "--role", "manager")).strip()
    with (work / "relay.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *CLI, "serve", "--host", "127.0.0.1", "--port", "0", "--data", str(data_dir),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, env=environment(),
        )  # fmt: skip
    try:
        url = f"ws://{await _address(process)}"
        yield EmbeddedRelay(process, RunningRelay(url, token, tenant), data_dir)
    finally:
        await end(process)


async def run_cli(*arguments: str, timeout_s: float = START_S) -> str:
    """What a command of ours prints. Raises :class:`ReplayFailed` when it fails."""
    process = await asyncio.create_subprocess_exec(
        *CLI, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment()
    )
    return await output_of(process, f"crdt-sync {arguments[0]}", timeout_s)


async def output_of(process: asyncio.subprocess.Process, name: str, timeout_s: float) -> str:
    """Wait for a process and return what it printed. Raises :class:`ReplayFailed` when it fails or takes too long."""
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise ReplayFailed(f"{name} took longer than {timeout_s:g} s") from None
    finally:
        await end(process)
    if process.returncode:
        words = "; ".join([*out.decode().splitlines()[-5:], *err.decode().splitlines()[-5:]])
        raise ReplayFailed(f"{name} failed with code {process.returncode}: {words}")
    return out.decode()


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process that is still there, and let go of it."""
    if process.returncode is None:
        # Not by its own kill(): that would collect the exit code which asyncio's watcher waits for.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()


def environment() -> Mapping[str, str]:
    """Ours, with the project's own modules in reach and without settings meant for another relay."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRDT_SYNC_")}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    # What is measured is the relay; its steward would be one more peer that loads everything.
    return {**kept, "PYTHONPATH": path, "CRDT_SYNC_STEWARD": "off"}


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
    except TimeoutError:
        raise ReplayFailed(f"the relay did not say where it listens within {START_S:g} s") from None
    found = _ADDRESS.search(line)
    if found is None:
        raise ReplayFailed("the relay did not start; its log is relay.log")
    return found[1].decode()


def _peak_bytes(pid: int) -> int | None:
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _greater(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
