"""Loads the documents of a store and says how good they are. Only for commands: it runs native CRDT code."""

from __future__ import annotations

from dataclasses import replace

from crdt_sync.documents.catalog.arbitration import DEFAULT_POLICY
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.names import (
    CATALOG,
    CatalogName,
    MetricsName,
    MovementsName,
    is_catalog,
    parse_document,
    period_of,
)
from crdt_sync.documents.quality.quality import assess
from crdt_sync.documents.quality.report import QualityReport
from crdt_sync.documents.roots import Draft, Roots
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import DocumentError
from crdt_sync.limits import Limits
from crdt_sync.replica import Replica, replay
from crdt_sync.stores.sqlite import SqliteStore
from server.commands.documents import served

READER = "quality"
"""Stands where a replica's name is asked for; nothing is written under it."""


async def assess_store(store: SqliteStore, limits: Limits, now_ms: int) -> QualityReport:
    """The quality of all documents in a tenant's store, but those that are none of ours.

    Raises :class:`StoreError`, and :class:`ReplicaBroken` for a log that makes no document."""
    clock = HybridClock()
    movements: dict[str, Roots] = {}
    metrics: dict[str, MetricsDocument] = {}
    catalog_name = CATALOG
    for name in sorted(await store.documents()):
        try:
            parsed = parse_document(name)
        except DocumentError:
            # A page may keep documents of its own with us; of them we expect nothing.
            continue
        if isinstance(parsed, CatalogName):
            catalog_name = name
        elif isinstance(parsed, MovementsName):
            movements[parsed.period] = Draft(await _load(store, name, limits))
        elif isinstance(parsed, MetricsName):
            roots = Draft(await _load(store, name, limits))
            metrics[parsed.period] = MetricsDocument(roots, wid=READER, clock=clock, now_ms=lambda: now_ms)
    catalog = await _load(store, catalog_name, limits)
    period = max(movements, default=period_of(now_ms))
    current = movements.pop(period) if period in movements else Draft(Replica(limits))
    inventory = InventoryDocument(
        Draft(catalog),
        period,
        current,
        movements,
        rid=READER,
        clock=clock,
        now_ms=lambda: now_ms,
        policy=replace(DEFAULT_POLICY, forks=catalog),
    )
    return assess(inventory, metrics, now_ms=now_ms)


async def _load(store: SqliteStore, name: str, limits: Limits) -> Replica:
    loaded = await served(store, name)
    state = [] if loaded.snapshot is None else [loaded.snapshot.state]
    replica = Replica(limits)
    replica.watch([ATTRIBUTES] if is_catalog(name) else [])
    return replay([*state, *(record.update for record in loaded.tail)], limits, onto=replica)
