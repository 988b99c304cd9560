"""What a peer can say about itself at any time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot of a peer's state."""

    is_online: bool
    unsynced: int
    """Local edits that the relay has not yet said to have on disk; each document that an edit touched counts."""
    last_error: str | None
    """Why the last connection failed or ended, if it did."""
    refused: tuple[str, ...]
    """What the relay refused, document by document."""
    damaged: tuple[str, ...] = ()
    """Documents of the file that can't be read, and why; using one of them raises :class:`StoreCorrupted`."""
    ended: tuple[str, ...] = ()
    """Documents that this peer had and that have ended, why, and what became of edits that no relay had."""
