"""The quality of all documents of one look."""

from __future__ import annotations

from collections.abc import Mapping

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.quality.expectations import Expectations
from crdt_sync.documents.quality.inventory_quality import assess_catalog, assess_movements
from crdt_sync.documents.quality.metrics_quality import assess_metrics
from crdt_sync.documents.quality.report import QualityReport

DEFAULT_EXPECTATIONS = Expectations()


def assess(
    inventory: InventoryDocument,
    metrics: Mapping[str, MetricsDocument],
    *,
    now_ms: int,
    expected: Expectations = DEFAULT_EXPECTATIONS,
) -> QualityReport:
    """Look at an inventory and at metrics documents by period. Reads everything, writes nothing."""
    documents = [assess_catalog(inventory, expected), assess_movements(inventory, expected, now_ms)]
    documents += [assess_metrics(metrics[period], period, expected, now_ms) for period in sorted(metrics)]
    return QualityReport(tuple(documents))
