"""The quality of one metrics document: what can be read, and whether its series came in as expected."""

from __future__ import annotations

from collections.abc import Sequence

from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.metrics.tracks import Sample
from crdt_sync.documents.names import metrics_document
from crdt_sync.documents.quality.expectations import Expectations, SeriesExpectation
from crdt_sync.documents.quality.report import Checks, Dimension, DocumentQuality, Finding
from crdt_sync.documents.schema import COUNTERS


def assess_metrics(metrics: MetricsDocument, period: str, expected: Expectations, now_ms: int) -> DocumentQuality:
    """Every entry, and every series that something is expected of. Decodes the whole document.

    A stretch of time without a sample counts against completeness from the series' first sample to its last one; what
    should have come since then counts against freshness."""
    checks = Checks(metrics_document(period))
    entries = len(metrics.gauges()) + len(metrics.counters())
    consistent = entries
    for fault in metrics.faults():
        is_mixed = fault.root == COUNTERS and fault.key.count("/") == 1
        dimension = Dimension.CONSISTENCY if is_mixed else Dimension.VALIDITY
        subject = f"entry {fault.root}/{fault.key}"
        checks.failed([Finding(dimension, subject, fault.root, fault.key, f"none that {fault.reason}")])
        consistent -= is_mixed
    checks.held(Dimension.CONSISTENCY, max(consistent, 0))
    checks.held(Dimension.VALIDITY, entries)
    for metric, entity in metrics.all_series():
        samples = metrics.series(metric, entity).samples()
        wanted = expected.of_metric(metric)
        if wanted is None or not samples:
            checks.held(Dimension.VALIDITY, len(samples))
        else:
            _check_series(checks, f"series {metric} of {entity}", samples, wanted, now_ms)
    return checks.result()


def _check_series(
    checks: Checks, subject: str, samples: Sequence[Sample], wanted: SeriesExpectation, now_ms: int
) -> None:
    out_of_range = [
        Finding(Dimension.VALIDITY, subject, str(sample.at_ms), sample.value, _range(wanted))
        for sample in samples
        if (wanted.low is not None and sample.value < wanted.low)
        or (wanted.high is not None and sample.value > wanted.high)
    ]
    checks.held(Dimension.VALIDITY, len(samples) - len(out_of_range))
    checks.failed(out_of_range)
    every_ms = wanted.every_s * 1000
    first, last = samples[0].at_ms, samples[-1].at_ms
    stretches = {(sample.at_ms - first) // every_ms for sample in samples}
    missing = (last - first) // every_ms + 1 - len(stretches)
    checks.held(Dimension.COMPLETENESS, len(stretches))
    if missing:
        finding = Finding(Dimension.COMPLETENESS, subject, "stretches without a sample", missing, _every(wanted))
        checks.failed([finding], times=missing)
    # A collector that delivers once per stretch may be as late as one stretch.
    if now_ms - last <= 2 * every_ms:
        checks.held(Dimension.FRESHNESS)
    else:
        checks.failed([Finding(Dimension.FRESHNESS, subject, "latest sample", last, _every(wanted))])


def _range(wanted: SeriesExpectation) -> str:
    low = "" if wanted.low is None else f"from {wanted.low:g} "
    return f"{low}up to {wanted.high:g}" if wanted.high is not None else low.strip()


def _every(wanted: SeriesExpectation) -> str:
    return f"a sample every {wanted.every_s} s"
