"""Faults on demand: builds shim.c, tells it what to do at which call, reads what it saw."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Final, NamedTuple

SOURCE: Final = Path(__file__).with_name("shim.c")
CONTROL_BYTES: Final = 4096
FIRED_PATH: Final = 1024
WORD: Final = struct.Struct("=q")
EVENT: Final = struct.Struct("=IIQQQQ")


class Op(IntFlag):
    """The calls that change something on disk."""

    WRITE = 1
    SYNC = 2
    TRUNCATE = 4
    RENAME = 8
    UNLINK = 16
    CREATE = 32


ANY = Op.WRITE | Op.SYNC | Op.TRUNCATE | Op.RENAME | Op.UNLINK | Op.CREATE


class Action(IntEnum):
    """What becomes of a call."""

    NOTHING = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_WITHIN = 3
    """Of a write, the first half is done, up to a sector's edge; another call is not begun."""
    FAIL_ONCE = 4
    FAIL_ALWAYS = 5
    """This call and every later one."""


class Event(NamedTuple):
    """One call that was done."""

    op: Op
    path: str
    inode: int
    offset: int
    length: int
    """Bytes written, or the length that a file was cut to; 1 for a sync that failed."""
    data: bytes
    """What was written; of a rename, the new path."""


def why_missing() -> str | None:
    """What a machine lacks that can't build or use the shim, in one sentence."""
    if sys.platform != "linux":
        return "faults are injected with LD_PRELOAD, which needs Linux"
    return None if shutil.which("cc") else "faults are injected by a C library: install gcc and libc6-dev"


def build(folder: Path) -> Path:
    """The compiled shim in ``folder``."""
    library = folder / "shim.so"
    command = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", str(library), str(SOURCE)]
    subprocess.run([*command, "-lpthread"], check=True)
    return library


class Shim:
    """One set of words that a process under the shim reads; for files below ``folder``."""

    def __init__(self, library: Path, folder: Path, words: Path, *, traced: bool = False) -> None:
        """``words`` is a directory outside of ``folder``, for the shim's own files."""
        folder.mkdir(exist_ok=True)
        words.mkdir(exist_ok=True)
        self.folder = folder.resolve()
        self._control_path = words / "control"
        self._control_path.write_bytes(bytes(CONTROL_BYTES))
        self._trace_path = words / "trace"
        self._trace_path.write_bytes(b"")
        self._library = library
        self._traced = traced
        with open(self._control_path, "r+b") as file:
            self._words = mmap.mmap(file.fileno(), CONTROL_BYTES)

    @property
    def environment(self) -> dict[str, str]:
        """What puts a process under the shim."""
        ours = {
            "LD_PRELOAD": str(self._library),
            "FAULTS_FOLDER": str(self.folder),
            "FAULTS_CONTROL": str(self._control_path),
        }
        return {**ours, "FAULTS_TRACE": str(self._trace_path)} if self._traced else ours

    @property
    def wrapper(self) -> Sequence[str]:
        """Goes before a command line."""
        return ["env", *(f"{name}={value}" for name, value in self.environment.items())]

    def arm(self, action: Action, *, after: int = 1, ops: Op = ANY, errno: int = 0) -> None:
        """From now on, do ``action`` at the ``after``-th of the calls named by ``ops``."""
        self._set(1, 0)
        self._set(6, 0)
        self._words[FIRED_PATH : FIRED_PATH + 1] = b"\0"
        for place, value in ((4, ops), (2, action), (3, errno), (0, 0)):
            self._set(place, value)
        # Last: the other process looks at this word first.
        self._set(1, after)

    def disarm(self) -> None:
        self.arm(Action.NOTHING, after=0)

    def step_clock(self, seconds: int) -> None:
        """Set the process's wall clock off by ``seconds``."""
        self._set(5, seconds * 10**9)

    @property
    def calls(self) -> int:
        """Calls that were counted since :meth:`arm`."""
        return self._get(0)

    @property
    def fired(self) -> int:
        """How many calls had something done to them since :meth:`arm`."""
        return self._get(6)

    @property
    def fired_at(self) -> str:
        """The boundary at which it last did something: the call and the kind of file."""
        op, _, path = self._words[FIRED_PATH:].split(b"\0")[0].decode().partition(" ")
        return boundary(Op(int(op)), path) if op else "none"

    def trace(self) -> Iterator[Event]:
        """What was done, in order."""
        raw = self._trace_path.read_bytes()
        place = 0
        while place + EVENT.size <= len(raw):
            op, path_bytes, inode, offset, length, data_bytes = EVENT.unpack_from(raw, place)
            place += EVENT.size
            path = raw[place : place + path_bytes].decode()
            place += path_bytes
            yield Event(Op(op), path, inode, offset, length, raw[place : place + data_bytes])
            place += data_bytes

    def forget_trace(self) -> None:
        os.truncate(self._trace_path, 0)

    def close(self) -> None:
        self._words.close()

    def _get(self, place: int) -> int:
        (value,) = WORD.unpack_from(self._words, place * WORD.size)
        return int(value)

    def _set(self, place: int, value: int) -> None:
        WORD.pack_into(self._words, place * WORD.size, value)


def boundary(op: Op, path: str) -> str:
    """One kind of call on one kind of file, such as ``sync of -wal``."""
    name = Path(path).name
    kinds = ("-wal", "-shm", "-journal", ".identity.new", ".lock", "acks")
    kind = next((end for end in kinds if name.endswith(end)), "the file" if name.endswith(".db") else "its folder")
    return f"{str(op.name).lower()} of {kind}"
