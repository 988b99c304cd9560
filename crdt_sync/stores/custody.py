"""Who holds a store's file, and whether it is the file that it should be.

Beside ``FILE`` lie ``FILE.lock``, held while the store is open (it also takes notes, see :class:`Hold`), and
``FILE.identity``, which knows that the store exists, who it is and whether it was closed. Without it, a file that is
gone would look like one that never was.
"""

from __future__ import annotations

import io
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crdt_sync.errors import StoreCorrupted, StoreUnavailable
from crdt_sync.stores.wal import WAL_HEADER_BYTES, check_wal

if sys.platform == "win32":
    import msvcrt

    def try_lock(file: io.FileIO) -> None:
        # Far behind the text, so that others may read who holds it.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

else:
    import fcntl

    def try_lock(file: io.FileIO) -> None:
        # flock, not lockf: it also keeps a second opener in the same process out.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


State = Literal["creating", "open", "closed"]
FIRST_LINE = "crdt-sync store"
NOTE_OFFSET, NOTE_BYTES = 64, 96


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of ``FILE.identity``."""

    identity: str
    state: State
    """``creating``: no open has returned yet, so nothing can be lost. ``open``: it is, or its process died."""

    @classmethod
    def parse(cls, text: str, path: Path) -> Sidecar:
        match text.split("\n"):
            case [first, identity, "creating" | "open" | "closed" as state, ""] if first == FIRST_LINE:
                if len(identity) == 32 and set(identity) <= set("0123456789abcdef"):
                    return cls(identity, state)
        raise StoreCorrupted(f"{path} is damaged; restore it from the backup of its store")

    def __str__(self) -> str:
        return f"{FIRST_LINE}\n{self.identity}\n{self.state}\n"


class Hold:
    """A held store: its lock file, which also takes a note of the last commit.

    The note is written after the commit's fsync and never synced itself, so it is never ahead of what is durable;
    yet after the death of the process alone it is exact. A WAL that ends before it was damaged, not torn."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def read_note(self) -> bytes:
        self._file.seek(NOTE_OFFSET)
        return self._file.read(NOTE_BYTES).strip()

    def write_note(self, note: bytes) -> None:
        self._file.seek(NOTE_OFFSET)
        self._file.write(note.ljust(NOTE_BYTES - 1) + b"\n")


@contextmanager
def hold(path: Path, *, create: bool) -> Iterator[Hold]:
    """Keep every other process (and every other store in this one) away from the file at ``path``.

    Raises :class:`StoreUnavailable` at once if somebody holds it, or if nothing is there and ``create`` is not set."""
    if not create and not any(beside(path, suffix).exists() for suffix in ("", "-wal", ".identity")):
        raise StoreUnavailable(f"there is no store at {path}")
    # The file stays behind: removing it would race with the next holder.
    descriptor = os.open(beside(path, ".lock"), os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    with io.FileIO(descriptor, "r+") as file:
        try:
            try_lock(file)
        except OSError as error:
            holder = file.read(NOTE_OFFSET).decode(errors="replace").strip() or "unknown process"
            raise StoreUnavailable(f"{path} is held by another opener ({holder})") from error
        file.write(f"pid {os.getpid()}".ljust(NOTE_OFFSET - 1).encode() + b"\n")
        yield Hold(file)


def is_held(path: Path) -> bool:
    """Whether somebody has the store at ``path`` open at this moment."""
    try:
        descriptor = os.open(beside(path, ".lock"), os.O_RDWR | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return False
    with io.FileIO(descriptor, "r+") as file:
        try:
            try_lock(file)
        except OSError:
            return True
        return False


def beside(path: Path, suffix: str) -> Path:
    """The file ``suffix`` next to the store's main file."""
    return path.with_name(path.name + suffix)


def read_sidecar(path: Path) -> Sidecar | None:
    """What is known about the store at ``path``, or None if nobody ever made one there.

    Raises :class:`StoreCorrupted` for every sign that there was a store and not all of it is there any more."""
    identity_path, wal_path = beside(path, ".identity"), beside(path, "-wal")
    if not identity_path.exists():
        for part in (path, wal_path):
            if part.exists():
                raise StoreCorrupted(f"{part} is there, but {identity_path.name}, which says whose it is, has gone")
        return None
    sidecar = Sidecar.parse(identity_path.read_text(encoding="utf-8", errors="replace"), identity_path)
    if sidecar.state == "creating":
        return sidecar
    if not path.exists():
        raise StoreCorrupted(f"{path} has gone; store {sidecar.identity} was there")
    if path.stat().st_size == 0:
        raise StoreCorrupted(f"{path} is empty; store {sidecar.identity} was there")
    if sidecar.state == "open" and not (wal_path.exists() and wal_path.stat().st_size > WAL_HEADER_BYTES):
        # A store that was not closed always has one: opening writes the first row into it, only closing empties it.
        raise StoreCorrupted(f"{wal_path} has gone or is empty, and with it the last commits of a store left open")
    check_wal(wal_path)
    return sidecar


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Replace ``FILE.identity`` durably."""
    identity_path = beside(path, ".identity")
    fresh = beside(path, ".identity.new")
    with open(fresh, "w", encoding="utf-8", newline="\n") as file:
        file.write(str(sidecar))
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, identity_path)
    sync_folder(path.parent)


def begin_creation(path: Path) -> Sidecar:
    """Clear what an interrupted creation left, and put a new identity down before anything else exists."""
    for suffix in ("", "-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
    sidecar = Sidecar(uuid.uuid4().hex, "creating")
    write_sidecar(path, sidecar)
    return sidecar


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` durable; Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
