"""What a process that loads documents may have: little environment, bounded memory, and no life beyond its parent's."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from server.scribes.frames import EXIT_MEMORY

_PR_SET_PDEATHSIG: Final = 1
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ENVIRONMENT_PREFIXES: Final = ("LC_", "PYTHON", "COVERAGE_")


def worker_environment() -> dict[str, str]:
    """What a worker needs and no more: the relay's environment may hold secrets, and a worker runs strangers' bytes."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    # The very code that runs here, wherever it is installed.
    ours = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (ours, kept.get("PYTHONPATH"))))
    # yrs writes some nine kilobytes for each panic otherwise.
    kept["RUST_BACKTRACE"] = "0"
    return kept


def confine() -> None:
    """Leave no core behind, and let the supervisor say when to end."""
    limit(resource.RLIMIT_CORE, 0)
    # Ctrl+C in a terminal reaches the whole process group; when a worker ends is for its supervisor to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def limit(what: int, value: int) -> None:
    """Set the soft limit; the operator's hard limit stays, and stays in force."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def tie_to(parent: int) -> bool:
    """End with the parent, even in the middle of a task. False when it is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def describe_end(code: int, last_words: bytes) -> str:
    """How a worker ended, for people, from its exit code and the end of its standard error."""
    if code == EXIT_MEMORY or (code == -signal.SIGABRT and b"memory allocation of" in last_words):
        return "it ran out of memory"
    if code == -signal.SIGXCPU:
        return "it used too much CPU time"
    if code < 0:
        return f"it was ended by signal {_signal_name(-code)}"
    return f"it exited with status {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
