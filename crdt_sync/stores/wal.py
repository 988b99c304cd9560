"""Looks at a write-ahead log before SQLite does.

After a crash, SQLite replays the WAL up to the first frame whose checksum is wrong and silently forgets the rest. At
the very end that is right: it is a write which the crash tore. Anywhere else it is lost, acknowledged data: a flipped
bit in the middle of the WAL made 151 of 300 acknowledged rows vanish. Format: https://sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from crdt_sync.errors import StoreCorrupted

WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
MAGIC_LITTLE, MAGIC_BIG = 0x377F0682, 0x377F0683
MASK = 0xFFFFFFFF

Sums: TypeAlias = tuple[int, int]


class Frame(NamedTuple):
    """One page image in the WAL."""

    number: int
    commits: bool
    """Its header says that a transaction ends here."""
    current: bool
    """It belongs to this generation of the WAL, not to one that was checkpointed."""
    whole: bool
    """Its checksum continues the one that stands in the frame before."""


def check_wal(path: Path) -> None:
    """Raise :class:`StoreCorrupted` if a damaged frame would make SQLite forget transactions that were durable.

    The last transaction may be torn: its fsync had not returned, nobody was told. But the writer begins a next one
    only after that fsync, so two commits at or behind a damaged frame prove that at least one was durable."""
    if not path.exists() or path.stat().st_size <= WAL_HEADER_BYTES:
        return
    damaged: int | None = None
    commits_behind = 0
    for frame in frames(path):
        if damaged is None and not (frame.whole and frame.current):
            damaged = frame.number
            commits_behind = int(frame.commits and frame.current)
        elif damaged is not None and frame.current and frame.whole and frame.commits:
            commits_behind += 1
        if commits_behind >= 2:
            raise StoreCorrupted(f"{path}: frame {damaged} is damaged, and durable transactions stand behind it")


def frames(path: Path) -> Iterator[Frame]:
    """The WAL's frames in order; a cut last one is left out. Raises StoreCorrupted for a damaged header."""
    with path.open("rb") as file:
        header = file.read(WAL_HEADER_BYTES)
        magic, _version, page_bytes, _sequence, *salts_and_sums = struct.unpack(">8I", header)
        little = magic == MAGIC_LITTLE
        sums = checksum(header[:24], little, (0, 0))
        if magic not in (MAGIC_LITTLE, MAGIC_BIG) or sums != tuple(salts_and_sums[2:]):
            raise StoreCorrupted(f"{path}: its header is damaged, and SQLite would forget all that it holds")
        number = 0
        while len(frame := file.read(FRAME_HEADER_BYTES + page_bytes)) == FRAME_HEADER_BYTES + page_bytes:
            number += 1
            _page, pages_after_commit, salt1, salt2, sum1, sum2 = struct.unpack_from(">6I", frame)
            current = [salt1, salt2] == salts_and_sums[:2]
            # Frames of an older generation need no arithmetic: they are leftovers, whatever is in them.
            whole = current and (sum1, sum2) == checksum(
                frame[FRAME_HEADER_BYTES:], little, checksum(frame[:8], little, sums)
            )
            yield Frame(number, pages_after_commit != 0, current, whole)
            sums = (sum1, sum2)


def checksum(data: bytes, little: bool, sums: Sums) -> Sums:
    """SQLite's WAL checksum of ``data`` (a multiple of 8 bytes), continued from ``sums``."""
    words = struct.unpack(f"{'<' if little else '>'}{len(data) // 4}I", data)
    first, second = sums
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & MASK
        second = (second + odd + first) & MASK
    return first, second
