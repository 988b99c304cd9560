"""All that can be asked of a stored document: the gate, its ledger, and every typed read of ours. Runs in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from crdt_sync.documents.catalog.arbitration import DEFAULT_POLICY
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.names import CatalogName, MetricsName, MovementsName, parse_document
from crdt_sync.documents.quality.quality import assess
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import DocumentError, ProtocolError, ReplicaBroken, SnapshotMismatch
from crdt_sync.replica import Replica, replay
from server.scribes.history import STORED_LIMITS, History
from server.scribes.verification import check_snapshot

READER: Final = "verify"
PERIOD: Final = "2026-01"
"""Stands where a catalog that is read alone needs a period; it is empty."""


def prove(document: str, ledger: bytes, updates: Sequence[bytes]) -> None:
    """Read ``document`` from ``updates`` in every way that the relay and our peers do. With a ``ledger``, the first one
    is a snapshot. Raises :class:`SnapshotMismatch` and :class:`ReplicaBroken`."""
    # Each in its order through the gate: what the relay would do with them, had they come today.
    History(updates)
    if ledger and check_snapshot(History(updates[:1]), updates[0]).encode() != ledger:
        raise SnapshotMismatch("the ledger beside the snapshot is not the one of its content")
    try:
        _read(document, updates)
    except DocumentError as error:
        raise ReplicaBroken(f"a typed read fails: {error}") from error


def _read(document: str, updates: Sequence[bytes]) -> None:
    try:
        name = parse_document(document)
    except DocumentError:
        # A page's own document; of it we expect nothing, and on a stranger's bytes a typed read may never end.
        return
    replica = Replica(STORED_LIMITS)
    replica.watch([ATTRIBUTES] if isinstance(name, CatalogName) else [])
    try:
        replay(updates, STORED_LIMITS, onto=replica)
    except ProtocolError as error:
        raise ReplicaBroken(f"an update of the log does not pass the gate: {error}") from error
    clock = HybridClock()
    nothing = Replica(STORED_LIMITS)
    catalog = replica if isinstance(name, CatalogName) else nothing
    current = replica if isinstance(name, MovementsName) else nothing
    metrics = {}
    if isinstance(name, MetricsName):
        metrics[name.period] = MetricsDocument(Draft(replica), wid=READER, clock=clock, now_ms=lambda: 0)
    inventory = InventoryDocument(
        Draft(catalog),
        name.period if isinstance(name, MovementsName) else PERIOD,
        Draft(current),
        {},
        rid=READER,
        clock=clock,
        now_ms=lambda: 0,
        policy=replace(DEFAULT_POLICY, forks=catalog),
    )
    assess(inventory, metrics, now_ms=0)
