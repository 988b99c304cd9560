"""Builds the load generator and the relay in C, once, and runs the generator against a server."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.missing import Missing
from benchmarks.peers.running import LOAD_CORE, Running, pinned

FOLDER = Path(__file__).parent
BUILDS = FOLDER.parents[1] / "build" / "benchmarks"
OPTIONS = ("-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra")
DEADLINE_S = 240.0


class LoadFailed(Exception):
    """The server did not do what the scenario asks for."""


def program(name: str) -> Path:
    """The path of ``generator`` or ``relay``, compiled when its sources have changed. Raises :class:`Missing`."""
    sources = sorted([*FOLDER.glob("*.c"), *FOLDER.glob("*.h")])
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    built = BUILDS / digest / name
    if not built.exists():
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise Missing("there is no C compiler, and the load generator is written in C: install gcc or clang")
        built.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: a build that was interrupted must not pass for one.
        unfinished = built.with_suffix(".unfinished")
        command = [compiler, *OPTIONS, str(FOLDER / f"{name}.c"), "-o", str(unfinished)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise Missing(f"the C compiler refused {name}.c: {made.stderr[:200]}")
        unfinished.rename(built)
    return built


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator counted, and what the server's processes used meanwhile."""

    counted: Mapping[str, Any]
    cpu_s: float

    @property
    def seconds(self) -> float:
        return float(self.counted["seconds"])

    def per_s(self, name: str) -> float:
        return float(self.counted[name]) / self.seconds

    def us(self, histogram: str, percentile: str) -> float:
        """A percentile such as ``p99``, in microseconds."""
        return float(self.counted[histogram][f"{percentile}_us"])

    @property
    def cpu_us_per_delivery(self) -> float:
        return 1e6 * self.cpu_s / max(1, int(self.counted["delivered"]))


def client_base() -> int:
    """Where client ids of one run begin: a server that keeps documents must not meet the same author twice."""
    return random.randrange(1 << 20, 1 << 30)


def run(server: Running, scenario: str, room: str, **plan: object) -> Load:
    """Run a scenario to its end. Raises :class:`LoadFailed` when clients were lost, or nothing came of it."""
    with _started(server, scenario, room, plan) as generator:
        return _result(server, generator)


@contextmanager
def holding(server: Running, room: str, **plan: object) -> Iterator[Load]:
    """Run the ``fan`` scenario and keep its connections open, quiet but alive, as long as the block lasts."""
    with _started(server, "fan", room, {**plan, "hold": 1}) as generator:
        load = _result(server, generator)
        assert generator.stdin is not None
        yield load
        generator.stdin.close()


@contextmanager
def _started(server: Running, scenario: str, room: str, plan: Mapping[str, object]) -> Iterator[subprocess.Popen[str]]:
    words: dict[str, object] = {"port": server.port, **server.link(room), "base": client_base(), **plan}
    command = pinned(LOAD_CORE, [str(program("generator")), scenario, *(f"{k}={v}" for k, v in words.items())])
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as generator:
        try:
            yield generator
            generator.wait(DEADLINE_S)
        finally:
            generator.kill()


def _result(server: Running, generator: subprocess.Popen[str]) -> Load:
    assert generator.stdout is not None
    assert generator.stderr is not None
    cpu_s: list[float] = []
    for line in generator.stdout:
        said = json.loads(line)
        if said.get("event") in ("measuring", "measured"):
            cpu_s.append(server.cpu_s())
        elif "seconds" in said:
            return Load(_checked(said), cpu_s[-1] - cpu_s[0])
    raise LoadFailed(generator.stderr.read().strip()[-200:] or "the generator gave no result")


def _checked(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result that rests on clients that had gone, or on frames that nobody understood, is none."""
    if said["nonsense"] or said["fragments"]:
        raise LoadFailed(f"{said['nonsense']} frames made no sense, {said['fragments']} came in fragments")
    if not (said["delivered"] or said["acked"] or said["served"] or said["sync"]["count"] or said["clients"] == 1):
        raise LoadFailed("nothing was delivered in the time that was measured")
    if said["lost"]:
        raise LoadFailed(f"{said['lost']} connections were lost or refused")
    return said
