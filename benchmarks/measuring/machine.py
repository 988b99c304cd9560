"""What the figures were measured on, as far as it can be read from outside."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path


def machine() -> Mapping[str, str]:
    """Hardware and software, and how busy the machine was before the run began."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "node": _said_by("node", "--version"),
        "compiler": _said_by("cc", "--version"),
        "load before the run": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _said_by(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return "not installed"
    said = subprocess.run([program, option], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0]
