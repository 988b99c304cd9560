"""The disk, a room, a worker or the way to the relay did not do their part."""

from __future__ import annotations

from crdt_sync.errors.base import SyncError


class StoreError(SyncError):
    """The disk side. Nothing that failed was acknowledged."""

    code = "store-error"


class StoreUnavailable(StoreError):
    """Disk full, I/O error, locked file: nothing was written, what was acked is still there."""

    code, retryable = "store-unavailable", True


class StoreCorrupted(StoreError):
    """The bytes on disk are not those that were written. Never taken for an empty document."""

    code = "store-corrupted"


class StoreTooNew(StoreError):
    """Written by a later version of this project; this version does not touch it."""

    code = "store-too-new"


class RoomError(SyncError):
    """A room can't serve this member now."""

    code = "room-error"


class RoomClosing(RoomError):
    """The relay, or the room, is going down; connect again."""

    code, retryable = "room-closing", True


class MemberTooSlow(RoomError):
    """The member did not read what it was sent; on its return it is brought up to date."""

    code, retryable = "member-too-slow", True


class HandshakeTimeout(RoomError):
    """It connected and did not say what it wants in time."""

    code = "handshake-timeout"


class ScribeError(SyncError):
    """A worker process that loads documents could not do its work."""

    code = "scribe-error"


class ScribeDied(ScribeError):
    """The worker crashed, hung or used too much memory on this document. Its log is untouched."""

    code, retryable = "scribe-died", True

    def __init__(self, message: str, *, at_work: bool = False) -> None:
        """``at_work`` says that it died of the document, as far as anybody can tell."""
        super().__init__(message)
        self.at_work = at_work


class SnapshotMismatch(ScribeError):
    """A rebuilt snapshot did not equal the log that it was to replace, so the log stays."""

    code = "snapshot-mismatch"


class DocumentRetired(SyncError):
    """The document has ended: its log is gone, nobody enters it any more. ``successor`` is where it goes on, if at
    all. The message begins with ``succeeded by NAME;`` or ``ended for good;``, so that a page that gets nothing but
    the reason of a close frame can read it there."""

    code = "document-retired"

    def __init__(self, document: str, why: str, successor: str | None = None) -> None:
        super().__init__(f"{'ended for good' if successor is None else f'succeeded by {successor}'}; {why}")
        self.document, self.why, self.successor = document, why, successor

    @classmethod
    def read(cls, document: str, reason: str) -> DocumentRetired:
        """What the relay said about ``document``: the message of such an error, back to the error."""
        fate, _, why = reason.partition("; ")
        head, mark, successor = fate.partition("succeeded by ")
        return cls(document, why, successor if mark and not head and successor else None)


class ReplicaBroken(SyncError):
    """Native CRDT code failed on this replica. Drop it and rebuild it from its log, which is untouched."""

    code, retryable = "replica-broken", True


class NotSynced(SyncError):
    """The peer could not bring its edits to the relay in the time given. They are safe in its file."""

    code, retryable = "not-synced", True
