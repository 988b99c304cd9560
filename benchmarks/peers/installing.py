"""Gets the peers from their registries, once, each into a place of its own that git ignores."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.peers.missing import Missing

NODE = Path(__file__).parent / "node"
PYCRDT = Path(__file__).parents[2] / "build" / "benchmarks" / "pycrdt-websocket"
PYCRDT_NEEDS = ("pycrdt-websocket==0.16.5", "uvicorn[standard]>=0.54,<1")
INSTALL_S = 600.0


@cache
def node_folder() -> Path:
    """The folder of the Node peers, installed as its lock file says. Raises :class:`Missing`."""
    if not (NODE / "node_modules" / ".package-lock.json").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise Missing("npm is not installed")
        _install([npm, "ci", "--loglevel=error"], NODE)
    return NODE


def node_program(path: str) -> Sequence[str]:
    """The command that runs a program of the Node peers."""
    folder = node_folder()
    node = shutil.which("node")
    if node is None:
        raise Missing("Node is not installed")
    return [node, str(folder / path)]


@cache
def pycrdt_python() -> Path:
    """The Python of the environment in which pycrdt-websocket is installed. Raises :class:`Missing`."""
    python = PYCRDT / "bin" / "python"
    done = PYCRDT / "installed"
    if not done.exists():
        PYCRDT.parent.mkdir(parents=True, exist_ok=True)
        _install([sys.executable, "-m", "venv", str(PYCRDT)], PYCRDT.parent)
        _install([str(python), "-m", "pip", "install", "--quiet", *PYCRDT_NEEDS], PYCRDT)
        done.touch()
    return python


def _install(command: Sequence[str], folder: Path) -> None:
    try:
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise Missing(f"{Path(command[0]).name} took longer than {INSTALL_S:g} s") from None
    if made.returncode:
        last = made.stderr.strip().splitlines()[-1:]
        raise Missing(f"{Path(command[0]).name} failed: {' '.join(last)[:160]}")
