"""Frames that go to a socket together; and where they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from crdt_sync.errors import SyncError


class Parcel:
    """Frames in order, made once and queued for one member or for all. What goes over the wire is made once, too."""

    __slots__ = ("_wire", "frames", "size")

    def __init__(self, frames: Sequence[bytes]) -> None:
        self.frames = frames
        self.size = sum(map(len, frames))
        self._wire: bytes | None = None

    def wire(self, spell: Callable[[bytes], bytes]) -> bytes:
        """All frames as they are written to a socket, each by ``spell``; the first socket's work serves all others."""
        if self._wire is None:
            self._wire = b"".join(map(spell, self.frames))
        return self._wire


class Sink(Protocol):
    """A socket, as its outbox sees it."""

    @property
    def is_ready(self) -> bool:
        """It takes more now. One that does not calls :meth:`Outbox.flush` as soon as it does."""
        ...

    def write(self, parcels: Sequence[Parcel]) -> None:
        """Take frames. Never waits, and never fails: a socket that is gone takes everything."""
        ...

    def end(self, reason: SyncError) -> None:
        """Nothing more will come, and all that came has been taken."""
        ...
