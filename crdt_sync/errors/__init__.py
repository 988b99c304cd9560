"""Every error that this project raises on purpose.

::

    SyncError                        code, retryable
    |- ProtocolError                 the other side broke the rules: its connection ends, the room goes on
    |  |- MalformedMessage           a frame that is no message of its dialect
    |  |- MalformedUpdate            bytes that no well-behaved Yjs client sends
    |  |  |- ClientIdReused          two contents under one (client, clock): somebody shares a client id
    |  |- OutOfTurn                  a message that is not legal in this state of the conversation
    |  |- LimitExceeded              more than was agreed
    |  |- Quarantined                what the relay has set aside, because it ends processes that load it
    |- AccessError
    |  |- Unauthenticated            no token, or one that does not hold
    |  |- Forbidden                  a good token, but not for this
    |  |- ClientIdTaken              an update that writes under another's client id
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

from crdt_sync.errors.access import (
    AccessError,
    ClientIdTaken,
    Forbidden,
    RateLimited,
    Unauthenticated,
)
from crdt_sync.errors.base import (
    SyncError,
)
from crdt_sync.errors.documents import (
    AlreadyExists,
    CannotUndo,
    CurrencyMismatch,
    DocumentError,
    FoldRefused,
    HoldEnded,
    InsufficientRights,
    InvalidField,
    InvalidName,
    InvalidValue,
    NothingToUndo,
    NotTheHolder,
    PeriodClosed,
    PeriodsMissing,
    QuantityOutOfRange,
    SchemaTooNew,
    UnknownLocation,
    UnknownProduct,
    UnknownSibling,
    VersionMismatch,
    WrongKind,
)
from crdt_sync.errors.protocol import (
    ClientIdReused,
    LimitExceeded,
    MalformedMessage,
    MalformedUpdate,
    OutOfTurn,
    ProtocolError,
    Quarantined,
)
from crdt_sync.errors.relay import (
    DocumentRetired,
    HandshakeTimeout,
    MemberTooSlow,
    NotSynced,
    ReplicaBroken,
    RoomClosing,
    RoomError,
    ScribeDied,
    ScribeError,
    SnapshotMismatch,
    StoreCorrupted,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
)

__all__ = (
    "AccessError",
    "AlreadyExists",
    "CannotUndo",
    "ClientIdReused",
    "ClientIdTaken",
    "CurrencyMismatch",
    "DocumentError",
    "DocumentRetired",
    "FoldRefused",
    "Forbidden",
    "HandshakeTimeout",
    "HoldEnded",
    "InsufficientRights",
    "InvalidField",
    "InvalidName",
    "InvalidValue",
    "LimitExceeded",
    "MalformedMessage",
    "MalformedUpdate",
    "MemberTooSlow",
    "NotSynced",
    "NotTheHolder",
    "NothingToUndo",
    "OutOfTurn",
    "PeriodClosed",
    "PeriodsMissing",
    "ProtocolError",
    "QuantityOutOfRange",
    "Quarantined",
    "RateLimited",
    "ReplicaBroken",
    "RoomClosing",
    "RoomError",
    "SchemaTooNew",
    "ScribeDied",
    "ScribeError",
    "SnapshotMismatch",
    "StoreCorrupted",
    "StoreError",
    "StoreTooNew",
    "StoreUnavailable",
    "SyncError",
    "Unauthenticated",
    "UnknownLocation",
    "UnknownProduct",
    "UnknownSibling",
    "VersionMismatch",
    "WrongKind",
)
