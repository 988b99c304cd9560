"""The access file: what was revoked, and which API keys there are. Whole lines, only ever added, each sealed by itself.

A line is ``LENGTH CHECKSUM JSON``: six hex digits, 32 of SHA-256, and the text. So a line that a crash has cut off is
told from one that somebody has changed: the first was never confirmed to anybody and is left out, the second is damage.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from crdt_sync.errors import StoreCorrupted, StoreUnavailable
from crdt_sync.stores.custody import hold, sync_folder
from server.auth.strict_json import parse_object

FILE_NAME: Final = "access.jsonl"
HEAD_BYTES: Final = 40
ENTRY_BYTES_MAX: Final = 64 << 10
FILE_BYTES_MAX: Final = 64 << 20
WAIT_S: Final = 10.0
REWRITE_ENTRIES_MIN: Final = 100
"""So many lines must be of no use any more, and as many as the others, before the file is written anew without them."""

_HEAD = re.compile(rb"([0-9a-f]{6}) ([0-9a-f]{32}) ")
Entry: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lines:
    """What a file's bytes say."""

    entries: tuple[Entry, ...]
    damage: tuple[str, ...]
    """Of every line that is not as it was written, where it stands."""
    whole_bytes: int
    """Where the last whole line ends; what comes after it was cut off by a crash, or is being written."""


def seal(entry: Entry) -> bytes:
    """One line. Raises ValueError for an entry that is too long."""
    text = json.dumps(entry, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()
    if len(text) > ENTRY_BYTES_MAX:
        raise ValueError(f"an entry of the access file has at most {ENTRY_BYTES_MAX} bytes, not {len(text)}")
    return b"%06x %s %s\n" % (len(text), _checksum(text), text)


def parse_lines(data: bytes) -> Lines:
    """All lines that hold, and where one does not."""
    *lines, tail = data.split(b"\n")
    entries, damage = [], []
    for number, line in enumerate(lines, start=1):
        entry = _open(line)
        if entry is None:
            damage.append(f"line {number}")
        else:
            entries.append(entry)
    if not _is_torn(tail):
        damage.append(f"line {len(lines) + 1}")
    return Lines(tuple(entries), tuple(damage), len(data) - len(tail))


def _open(line: bytes) -> Entry | None:
    head = _HEAD.match(line)
    text = line[HEAD_BYTES:]
    if head is None or int(head[1], 16) != len(text) or head[2] != _checksum(text):
        return None
    try:
        return parse_object(text)
    except ValueError:
        return None


def _is_torn(tail: bytes) -> bool:
    """Whether a crash can have left this. A file system may have made room for bytes that never came: zeros."""
    begun = tail.rstrip(b"\0")
    if len(begun) < HEAD_BYTES:
        return _HEAD.match(begun + b"000000 00000000000000000000000000000000 "[len(begun) :]) is not None
    head = _HEAD.match(begun)
    if head is None:
        return False
    missing = int(head[1], 16) - (len(begun) - HEAD_BYTES)
    return missing > 0 or (missing == 0 and head[2] == _checksum(begun[HEAD_BYTES:]))


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:32].encode()


class AccessFile:
    """The file at ``path``; any number of processes may read and add to it. Calls wait for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def signature(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does; None when it is not there."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def read(self) -> Lines:
        """Raises :class:`StoreUnavailable` when the disk does not do its part."""
        with _translating(self.path):
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                data = b""
        if len(data) > FILE_BYTES_MAX:
            raise StoreCorrupted(f"{self.path} has more than {FILE_BYTES_MAX} bytes")
        return parse_lines(data)

    def append(self, entry: Entry, *, still_needed: Callable[[Sequence[Entry]], Sequence[Entry]]) -> None:
        """Add a line; on return it is on disk. Now and then the file is written anew with what is ``still_needed``.

        Raises :class:`StoreUnavailable`, also when others write for longer than 10 s, and ValueError for an entry that
        is too long."""
        line = seal(entry)
        with _translating(self.path), self._alone():
            found = self.read()
            kept = still_needed(found.entries)
            superfluous = len(found.entries) - len(kept)
            # What is damaged stays for whoever looks into it.
            if not found.damage and superfluous >= max(REWRITE_ENTRIES_MIN, len(kept)):
                self._replace([*kept, entry])
            else:
                self._add(line, found)

    def _add(self, line: bytes, found: Lines) -> None:
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(found.whole_bytes)
            if _is_torn(file.read()):
                file.truncate(found.whole_bytes)
            else:
                line = b"\n" + line
            file.seek(0, os.SEEK_END)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self.path.parent)

    def _replace(self, entries: Sequence[Entry]) -> None:
        fresh = self.path.with_name(f"{self.path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join(map(seal, entries)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)
        sync_folder(self.path.parent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        give_up_at_s = time.monotonic() + WAIT_S
        while True:
            holding = hold(self.path, create=True)
            try:
                holding.__enter__()
            except StoreUnavailable:
                if time.monotonic() > give_up_at_s:
                    raise
                time.sleep(0.005)
                continue
            try:
                yield
            finally:
                holding.__exit__(None, None, None)
            return


@contextmanager
def _translating(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error}") from error
