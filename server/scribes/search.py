"""Finds the updates that end scribes: by halves, in scribes, until the rest of the document loads with ease."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from crdt_sync.errors import ReplicaBroken, ScribeDied, SnapshotMismatch
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.withheld import serve_without
from server.scribes.history import STORED_LIMITS
from server.scribes.pool import Scribes

TRIES_MAX: Final = 100
TIMEOUTS_MAX: Final = 10
"""The whole search may take so many times what one task may."""
CULPRITS_MAX: Final = 5
"""A document in which even more updates do harm is for people to look at."""
EASE: Final = 0.5
"""The rest must load with this share of a scribe's memory and time. A document that is simply too large does not, and
then the update that happened to be the last one is not to blame."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """A document as a room serves it."""

    snapshot: bytes | None
    ledger: bytes
    """Of the snapshot."""
    tail: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Culprits:
    """``tail`` loads without what stands at these places, and does not with any of them added."""

    places: Sequence[int]
    how: str
    """How the last scribe ended, for people."""


@dataclass(frozen=True, slots=True)
class PoisonedSnapshot:
    """The snapshot alone ends a scribe."""

    how: str


@dataclass(frozen=True, slots=True)
class Unexplained:
    """No update can be named, and why."""

    why: str


Finding: TypeAlias = Culprits | PoisonedSnapshot | Unexplained


async def search(scribes: Scribes, suspects: Suspects, *, reads: bool) -> Finding:
    """Find out what ends scribes. ``reads`` says that they also look at the content. Raises :class:`ScribeDied` when
    scribes can't be had."""
    attempt = _Search(scribes, suspects, reads)
    try:
        async with asyncio.timeout(TIMEOUTS_MAX * scribes.timeout_s):
            return await attempt.run()
    except TimeoutError:
        return Unexplained(f"it took longer than {TIMEOUTS_MAX * scribes.timeout_s:g} s")
    except _TooManyTriesError:
        return Unexplained(f"it took more than {TRIES_MAX} tries")


class _TooManyTriesError(Exception):
    pass


class _Search:
    def __init__(self, scribes: Scribes, suspects: Suspects, reads: bool) -> None:
        self._scribes = scribes
        self._suspects = suspects
        self._reads = reads
        self._proves = False
        """Most die of native code, so the comparison is left out at first."""
        self._tries = 0

    async def run(self) -> Finding:
        tail = self._suspects.tail
        how = first = await self._end_of(tail)
        if first is None:
            self._proves = True
            how = first = await self._end_of(tail)
        if first is None:
            return Unexplained("it did not happen again")
        if self._suspects.snapshot is not None and (alone := await self._end_of([])) is not None:
            return PoisonedSnapshot(alone)
        found: list[int] = []
        while how is not None:
            if len(found) == CULPRITS_MAX:
                return Unexplained(f"more than {CULPRITS_MAX} updates do harm")
            place = await self._first_deadly(tail)
            if await self._end_of(tail[: place + 1]) is None:
                return Unexplained("it did not happen every time")
            found.append(place)
            tail = await asyncio.to_thread(self._without, found)
            how = await self._end_of(tail)
        self._proves = True
        if await self._end_of(tail, share=EASE) is not None:
            return Unexplained("the document is too large for a scribe, whatever is left out")
        return Culprits(sorted(found), first)

    async def _first_deadly(self, tail: Sequence[bytes]) -> int:
        """The place of an update with which ``tail`` is deadly, and before which it is not."""
        harmless, deadly = 0, len(tail)
        while deadly - harmless > 1:
            middle = (harmless + deadly) // 2
            if await self._end_of(tail[:middle]) is None:
                harmless = middle
            else:
                deadly = middle
        return deadly - 1

    async def _end_of(self, tail: Sequence[bytes], *, share: float = 1.0) -> str | None:
        """How a scribe ends that loads the snapshot and ``tail``; None when it does not."""
        self._tries += 1
        if self._tries > TRIES_MAX:
            raise _TooManyTriesError
        try:
            await self._scribes.examine(
                self._suspects.snapshot, tail, reads=self._reads, proves=self._proves, share=share
            )
        except ScribeDied as died:
            if not died.at_work:
                raise
            return str(died)
        except (ReplicaBroken, SnapshotMismatch):
            # It has answered. What is wrong there ends nobody.
            return None
        return None

    def _without(self, places: Sequence[int]) -> list[bytes]:
        ledger = Ledger.decode(self._suspects.ledger) if self._suspects.ledger else Ledger()
        served = serve_without(ledger, self._suspects.tail, places, STORED_LIMITS)
        return [one.piece.raw for one in served]
