"""A server process beside us: started on a core of its own, looked at from outside by /proc, and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

SERVER_CORE, LOAD_CORE = 0, 1
START_S = 30.0
STOP_S = 30.0
POLL_S = 0.01

Role = Literal["ours", "peer", "reference"]


class NotStarted(Exception):
    """A server did not come up; the message is what it said last."""


@dataclass(frozen=True, slots=True)
class Link:
    """How the generator reaches one of a server's rooms; ``{}`` stands for the room's number."""

    dialect: str
    path: str
    document: str = ""
    token: str = ""


class Server(Protocol):
    """A kind of server. ``keeps``: its documents outlive it. ``folder`` is where a run of it keeps what it keeps."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def keeps(self) -> bool: ...
    def command(self, folder: Path, port: int) -> Sequence[str]: ...
    def environment(self, folder: Path, port: int) -> Mapping[str, str]: ...
    def link(self, folder: Path, room: str) -> Link: ...
    def version(self) -> str: ...


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """The command on one core, where there are several and ``taskset`` is there."""
    taskset = shutil.which("taskset")
    if taskset is None or (os.cpu_count() or 1) < 2:
        return list(command)
    return [taskset, "-c", str(core), *command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A server that listens, with all processes that it has begun."""

    def __init__(self, server: Server, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.server = server
        self.folder = folder
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def link(self, room: str) -> dict[str, str]:
        """What the generator must be told to reach ``room``."""
        link = self.server.link(self.folder, room)
        return {"dialect": link.dialect, "path": link.path, "document": link.document, "token": link.token}

    def cpu_s(self) -> float:
        """CPU time of the server and its children so far, user and system."""
        ticks = 0
        for pid in self.pids():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Proportional set size of the server process itself: what it holds, shared pages shared out."""
        return _memory(self.pid, "smaps_rollup", "Pss:")

    def all_memory_bytes(self) -> int:
        """The same, of the server and all its children."""
        return sum(_memory(pid, "smaps_rollup", "Pss:") for pid in self.pids())

    def pids(self) -> list[int]:
        """The server's process and what it has begun, directly or not."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Signal it, and wait for the end; a server that does not heed is killed."""
        if self.is_alive:
            self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _memory(pid: int, file: str, field: str) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) << 10
    return 0


def start(server: Server, folder: Path) -> Running:
    """Start a server over ``folder`` and wait until it listens. Raises :class:`NotStarted`."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / "said.log"
    with open(said, "ab") as log:
        process = subprocess.Popen(
            pinned(SERVER_CORE, server.command(folder, port)),
            env={**os.environ, **server.environment(folder, port)},
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running = Running(server, folder, port, process)
    deadline_s = time.monotonic() + START_S
    while not _listens(port):
        if not running.is_alive or time.monotonic() > deadline_s:
            running.end(signal.SIGKILL)
            last = said.read_text("utf-8", errors="replace").strip().splitlines()[-1:]
            raise NotStarted(f"{server.name} did not start: {' '.join(last)[-160:] or 'it said nothing'}")
        time.sleep(POLL_S)
    return running


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """A server for one measurement. It is killed afterwards: what it would still write down nobody reads."""
    it = start(server, folder)
    try:
        yield it
    finally:
        children = it.pids()[1:]
        it.end(signal.SIGKILL)
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
