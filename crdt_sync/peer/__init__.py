"""The offline peer: open a file, edit, sync."""

from crdt_sync.peer.desk import Documents
from crdt_sync.peer.offline_peer import OfflinePeer
from crdt_sync.peer.status import Status

__all__ = ["Documents", "OfflinePeer", "Status"]
