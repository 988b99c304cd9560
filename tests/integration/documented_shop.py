"""A fresh clone as a reader of the documentation has it: a relay in one terminal, a shell in another."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pytest

from tests.integration.documented_pages import ROOT

DEADLINE_S = 60.0
DOCUMENTED_PORT = "1234"
CLIENTS = ROOT / "tests" / "interop" / "node" / "node_modules"
ANNOUNCED = re.compile(r"crdt-sync relay on http://127\.0\.0\.1:(\d+)\n")


def need_clients() -> None:
    """Skip the test, with a sentence, where the JavaScript clients are missing."""
    if shutil.which("node") is None:
        pytest.skip("Node is missing: install Node 18 or later")
    if not (CLIENTS / "yjs").is_dir():
        pytest.skip("the JavaScript clients are not installed: run make test")


def install_clients(folder: Path) -> None:
    """Stands for ``npm install`` of yjs and what pages use with it, in the versions that are pinned for the tests."""
    modules = folder / "node_modules"
    modules.mkdir(parents=True)
    names = {"yjs": "yjs", "ws": "ws", "lib0": "lib0", "y-protocols": "y-protocols", "y-websocket": "y-websocket-3"}
    for name, pinned in names.items():
        (modules / name).symlink_to(CLIENTS / pinned)
    for scope in ("@y-sweet", "@hocuspocus"):
        (modules / scope).symlink_to(CLIENTS / scope)


def environment() -> dict[str, str]:
    """This process's, without settings of a relay, and with this checkout's packages."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("CRDT_SYNC_")}
    return {**rest, "PYTHONPATH": str(ROOT), "CRDT_SYNC_FREE_SPACE_BYTES_MIN": "0", "COLUMNS": "200"}


class Clone:
    """A directory that looks like a clone after ``make run``; its relay listens on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.announcement = ""
        self._relay: subprocess.Popen[str] | None = None
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, arguments in {"python": "", "crdt-sync": "-m server "}.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
            program.chmod(0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._relay is not None:
            self._relay.kill()
            self._relay.communicate()

    def start_relay(self) -> None:
        """``make run``, from the second time on, on the port of the first time."""
        self._relay = subprocess.Popen(
            [".venv/bin/crdt-sync", "serve", "--demo", "acme", "--port", str(self.port)],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._relay.stdout is not None
        first = self._relay.stdout.readline()
        found = ANNOUNCED.fullmatch(first)
        assert found is not None, f"the relay did not start: {first!r}"
        self.port = int(found[1])
        self.announcement = first + self._relay.stdout.readline()

    def stop_relay(self) -> None:
        """Ctrl-C."""
        assert self._relay is not None, "the relay is not running"
        self._relay.send_signal(signal.SIGINT)
        self._relay.communicate(timeout=DEADLINE_S)
        assert self._relay.returncode == 0
        self._relay = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def here(self, text: str) -> str:
        """A text of the documentation with the port that the relay really has."""
        return text.replace(DOCUMENTED_PORT, str(self.port))

    def command(self, *arguments: str) -> str:
        """What a command of ours prints; it must succeed."""
        done = subprocess.run(
            [".venv/bin/crdt-sync", *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def token(self, role: str = "operator") -> str:
        return self.command("token", "--tenant", "acme", "--role", role).strip()


class Terminal:
    """A shell that runs one block after the other."""

    def __init__(self, folder: Path, extra: Mapping[str, str] | None = None) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._blocks = 0
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env={**environment(), **(extra or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # So that what runs in its background can be ended with it.
            start_new_session=True,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._reading.join()
        with self._shell:
            self._shell.wait(DEADLINE_S)

    def run(self, block: str) -> list[str]:
        """Run a block to its end and return the lines that were printed meanwhile. It must succeed."""
        assert self._shell.stdin is not None
        self._blocks += 1
        mark = f"== block {self._blocks} ended with "
        self._shell.stdin.write(f"{block}\necho '{mark}'$?\n")
        self._shell.stdin.flush()
        printed = []
        while not (line := self._next()).startswith(mark):
            printed.append(line)
        assert line == f"{mark}0", f"{block}\nfailed with:\n" + "\n".join(printed)
        return printed

    def more(self, printed: list[str], count: int) -> list[str]:
        """``printed``, and what comes from the background until there are ``count`` lines."""
        while len(printed) < count:
            printed.append(self._next())
        return printed

    def _next(self) -> str:
        return self._lines.get(timeout=DEADLINE_S)

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            # A shell that is no terminal tells of ended background jobs in a form of its own.
            if "Terminated" not in line:
                self._lines.put(line.rstrip("\n"))


class Program:
    """A program of the documentation that runs beside the test; ended with the block."""

    def __init__(self, folder: Path, *command: str, **extra: str) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment(), **extra},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._reading.join()
        with self._process:
            self._process.wait(DEADLINE_S)

    def go_on(self) -> None:
        """Send it an empty line."""
        print(file=self._process.stdin, flush=True)

    def says(self, *wanted: str) -> None:
        """Wait until it has printed a line that holds each of these texts, in this order."""
        for text in wanted:
            seen: list[str] = []
            while not seen or text not in seen[-1]:
                try:
                    line = self._lines.get(timeout=DEADLINE_S)
                except queue.Empty:
                    raise AssertionError(f"it never said {text!r}, but {seen}") from None
                assert line is not None, f"it ended without saying {text!r}: {seen}"
                seen.append(line)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)
