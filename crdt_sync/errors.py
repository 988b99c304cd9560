"""Every error that this project raises on purpose.

::

    SyncError                        code, retryable
    |- ProtocolError                 the other side broke the rules: its connection ends, the room goes on
    |  |- MalformedMessage           a frame that is no message of its dialect
    |  |- MalformedUpdate            bytes that no well-behaved Yjs client sends
    |  |  |- ClientIdReused          two contents under one (client, clock): somebody shares a client id
    |  |- OutOfTurn                  a message that is not legal in this state of the conversation
    |  |- LimitExceeded              more than was agreed
    |- AccessError
    |  |- Unauthenticated            no token, or one that does not hold
    |  |- Forbidden                  a good token, but not for this
    |  |- RateLimited                too many tries; ``retry_after_s``
    |- StoreError
    |  |- StoreUnavailable           disk full, I/O error, locked: try again later (retryable)
    |  |- StoreCorrupted             the bytes are not those that were written: never "not found"
    |  |- StoreTooNew                written by a later version of this project
    |- RoomError
    |  |- RoomClosing                the relay or the room is going down (retryable)
    |  |- MemberTooSlow              it did not read what it was sent (retryable)
    |  |- HandshakeTimeout           it connected and said nothing
    |- ScribeError
    |  |- ScribeDied                 a worker process crashed, hung or used too much memory on a document
    |  |- SnapshotMismatch           a snapshot did not equal the log that it was to replace
    |- DocumentRetired               the document has ended, for good or in favour of ``successor``
    |- DocumentError                 a facade misused in our own process; raised before anything is written
    |  |- InvalidName |- QuantityOutOfRange |- UnknownProduct |- UnknownLocation |- PeriodClosed
    |  |- AlreadyExists |- WrongKind |- SchemaTooNew |- InvalidValue
    |  |  |- InvalidField            a well-known field was given what it can't hold
    |  |- VersionMismatch            a write on the grounds of a version that is not the latest any more
    |  |- UnknownSibling             a resolution chose a value that does not stand in this conflict
    |  |- InsufficientRights |- NotTheHolder |- HoldEnded |- PeriodsMissing
    |  |- FoldRefused                a period is not closed, not the next to be folded, or was folded otherwise
    |  |- CurrencyMismatch           money of two currencies was added up or compared
    |  |- NothingToUndo              this peer has made no edit that it could take back
    |  |- CannotUndo                 an edit that can't be taken back, and why; nothing was written
    |- ReplicaBroken                 native CRDT code failed: rebuild the replica from its log (retryable)
    |- NotSynced                     a peer could not bring its edits to the relay in the time given (retryable)
"""

from __future__ import annotations

from typing import ClassVar


class SyncError(Exception):
    """Root of the tree. ``code`` is stable and for programs, the message is one sentence for people."""

    code: ClassVar[str] = "sync-error"
    retryable: ClassVar[bool] = False


class ProtocolError(SyncError):
    """The other side broke the rules. Its connection ends; the room goes on."""

    code = "protocol-error"


class MalformedMessage(ProtocolError):
    """A frame that is no message of its dialect."""

    code = "malformed-message"


class MalformedUpdate(ProtocolError):
    """Update bytes that no well-behaved Yjs client sends. Nothing of them was kept."""

    code = "malformed-update"


class ClientIdReused(MalformedUpdate):
    """Two different contents under one (client, clock): replicas would diverge for good."""

    code = "client-id-reused"

    def __init__(self, client: int, clock: int) -> None:
        super().__init__(f"client id {client} is used twice: clock {clock} already holds other content")
        self.client, self.clock = client, clock


class OutOfTurn(ProtocolError):
    """A message that is not legal in this state of the conversation."""

    code = "out-of-turn"


class LimitExceeded(ProtocolError):
    """The other side sent more than was agreed."""

    code = "limit-exceeded"

    def __init__(self, limit: str, allowed: int, actual: int) -> None:
        super().__init__(f"{limit}: {actual} is more than the {allowed} allowed")
        self.limit, self.allowed, self.actual = limit, allowed, actual


class AccessError(SyncError):
    """Who asks may not have what it asks for."""

    code = "access-error"


class Unauthenticated(AccessError):
    """No token, or one that does not hold (forged, expired, for another audience)."""

    code = "unauthenticated"


class Forbidden(AccessError):
    """A good token, but not for this tenant, document or act."""

    code = "forbidden"


class RateLimited(AccessError):
    """Too many tries. Come back after ``retry_after_s`` seconds."""

    code, retryable = "rate-limited", True

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(f"too many {what}; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


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


class DocumentError(SyncError):
    """A facade was misused. Raised before anything is written."""

    code = "document-error"


class InvalidName(DocumentError):
    """A tenant, document, field or id that does not fit its grammar."""

    code = "invalid-name"

    def __init__(self, what: str, value: str, rule: str) -> None:
        super().__init__(f"{value[:80]!r} is no {what}: {rule}")
        self.what, self.value = what, value


class InvalidValue(DocumentError):
    """A value that not every peer would read back as it was written."""

    code = "invalid-value"


class InvalidField(InvalidValue):
    """A well-known field of a product or a location was given, or holds, what it is not for."""

    code = "invalid-field"

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: {value!r} is not {expected}")
        self.field, self.value, self.expected = field, value, expected


class CurrencyMismatch(DocumentError):
    """Money of two currencies was added up or compared: only somebody who knows the rate can do that."""

    code = "currency-mismatch"

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} do not add up, and neither is more than the other")
        self.one, self.other = one, other


class QuantityOutOfRange(DocumentError):
    """A quantity that is no integer, or beyond what every peer can hold exactly."""

    code = "quantity-out-of-range"

    def __init__(self, quantity: object, rule: str) -> None:
        super().__init__(f"quantity {quantity!r}: {rule}")
        self.quantity = quantity


class UnknownProduct(DocumentError):
    """A movement or an attribute for a product that the catalog does not have."""

    code = "unknown-product"


class UnknownLocation(DocumentError):
    """A movement at a location that the catalog does not have."""

    code = "unknown-location"


class AlreadyExists(DocumentError):
    """Something with this id is there already, with other content."""

    code = "already-exists"


class PeriodClosed(DocumentError):
    """The period's document takes no more movements."""

    code = "period-closed"


class WrongKind(DocumentError):
    """The document holds something else than this facade reads."""

    code = "wrong-kind"


class SchemaTooNew(DocumentError):
    """The document asks for a later version of this project to write it."""

    code = "schema-too-new"


class VersionMismatch(DocumentError):
    """Somebody has written this field since the caller looked at it."""

    code = "version-mismatch"

    def __init__(self, key: str, seen: str, actual: str) -> None:
        super().__init__(f"{key} was written since: it is at version {actual!r}, not {seen!r}")
        self.key, self.seen, self.actual = key, seen, actual


class UnknownSibling(DocumentError):
    """A resolution named a value that does not stand in this conflict."""

    code = "unknown-sibling"

    def __init__(self, key: str, tip: str) -> None:
        super().__init__(f"{tip!r} is none of the values of {key} that stand against each other")
        self.key, self.tip = key, tip


class InsufficientRights(DocumentError):
    """This replica may take fewer units than it wanted to. Another one, or the relay, may hand rights over."""

    code = "insufficient-rights"

    def __init__(self, have: int, want: int) -> None:
        super().__init__(f"this replica has rights to {have}, and wanted to take {want}")
        self.have, self.want = have, want


class NotTheHolder(DocumentError):
    """A hold is ended by the replica that made it, and by nobody else."""

    code = "not-the-holder"

    def __init__(self, hold: str, holder: str) -> None:
        super().__init__(f"hold {hold} belongs to {holder!r}, which alone can end it")
        self.hold, self.holder = hold, holder


class HoldEnded(DocumentError):
    """The hold was confirmed, released or expired before, in another way than it is to be ended now."""

    code = "hold-ended"

    def __init__(self, hold: str, state: str) -> None:
        super().__init__(f"hold {hold} is {state} already")
        self.hold, self.state = hold, state


class PeriodsMissing(DocumentError):
    """Rights are known only from all movements, and the documents of some periods are not open here."""

    code = "periods-missing"

    def __init__(self, periods: list[str]) -> None:
        super().__init__(f"rights need the movements of {', '.join(periods)}, too: open them first")
        self.periods = periods


class FoldRefused(DocumentError):
    """A period can't be folded now, or was folded from other movements than its document has."""

    code = "fold-refused"

    def __init__(self, period: str, reason: str) -> None:
        super().__init__(f"{period} can't be folded: {reason}")
        self.period, self.reason = period, reason


class NothingToUndo(DocumentError):
    """This peer has made no edit since it was opened, or has taken all of them back."""

    code = "nothing-to-undo"


class CannotUndo(DocumentError):
    """An edit can't be taken back, for ``reasons``. Nothing was written.

    With ``is_final`` no later try will do better, so the peer has given it up: the next undo is of the edit before."""

    code = "cannot-undo"

    def __init__(self, reasons: tuple[str, ...], *, is_final: bool) -> None:
        super().__init__("; ".join(reasons))
        self.reasons, self.is_final = reasons, is_final


class ReplicaBroken(SyncError):
    """Native CRDT code failed on this replica. Drop it and rebuild it from its log, which is untouched."""

    code, retryable = "replica-broken", True


class NotSynced(SyncError):
    """The peer could not bring its edits to the relay in the time given. They are safe in its file."""

    code, retryable = "not-synced", True
