"""The offline peer: open a file, edit, sync."""

from crdt_sync.peer.changes import (
    Change,
    Changes,
    ConflictClosed,
    ConflictOpened,
    EntryChanged,
    FieldChanged,
    MetricChanged,
    Missed,
    MovementAdded,
)
from crdt_sync.peer.desk import Documents
from crdt_sync.peer.offline_peer import OfflinePeer
from crdt_sync.peer.status import Status
from crdt_sync.peer.undo import Left, Undone

__all__ = [
    "Change",
    "Changes",
    "ConflictClosed",
    "ConflictOpened",
    "Documents",
    "EntryChanged",
    "FieldChanged",
    "Left",
    "MetricChanged",
    "Missed",
    "MovementAdded",
    "OfflinePeer",
    "Status",
    "Undone",
]
