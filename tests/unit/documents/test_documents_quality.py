"""Data quality: what is expected of documents, what is found, and the score."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from crdt_sync.documents.clock import EPOCH_MS
from crdt_sync.documents.quality.expectations import Expectations, SeriesExpectation
from crdt_sync.documents.quality.inventory_quality import assess_catalog, assess_movements
from crdt_sync.documents.quality.metrics_quality import assess_metrics
from crdt_sync.documents.quality.quality import assess
from crdt_sync.documents.quality.report import THRESHOLD, Assessment, Dimension, DocumentQuality, QualityReport
from tests.unit.documents.branches import branches, sync
from tests.unit.documents.replicas import NOW_MS, PERIOD, Replica, shop

COMPLETENESS, VALIDITY, CONSISTENCY, FRESHNESS = Dimension
MINUTE_MS = 60_000
EXPECTED = Expectations()


def stocked(**attributes: object) -> Replica:
    replica = shop(places=("A",))
    with replica.edit() as docs:
        for field, value in attributes.items():
            docs.inventory.set_attribute("shirt", field, value)
        docs.inventory.receive("shirt", 10, at="A")
    return replica


def found(quality: DocumentQuality) -> list[tuple[Dimension, str, str, object]]:
    return [(finding.dimension, finding.subject, finding.field, finding.value) for finding in quality.findings]


def test_documents_as_expected_score_one_and_nothing_is_found() -> None:
    replica = stocked(name="Shirt", price=[1250, "GBP"], colour="red")
    report = assess(replica.inventory, {}, now_ms=NOW_MS, expected=Expectations(movements_every_s=3600))
    assert report.score == 1.0
    assert [document.document for document in report.documents] == ["inventory/catalog", "inventory"]
    assert [document.findings for document in report.documents] == [(), ()]
    assert report.needs_attention == []


def test_a_missing_field_counts_against_completeness_and_says_what_was_expected() -> None:
    quality = assess_catalog(stocked(name="Shirt").inventory, EXPECTED)
    assert quality.of(COMPLETENESS) == Assessment(COMPLETENESS, checked=2, failed=1)
    (finding,) = quality.findings
    assert (finding.subject, finding.field, finding.value) == ("product shirt", "price", None)
    assert finding.expected.startswith("a value: ")


def test_a_value_outside_its_model_is_found_once_and_stays_where_it_is() -> None:
    replica = stocked(name="Shirt", price="about twelve", reorder_level=-3)
    quality = assess_catalog(replica.inventory, EXPECTED)
    assert found(quality) == [
        (VALIDITY, "product shirt", "price", "about twelve"),
        (VALIDITY, "product shirt", "reorder_level", -3),
    ]
    assert quality.of(VALIDITY).score == pytest.approx(1 / 3)
    assert replica.inventory.attribute("shirt", "price") == "about twelve"


def test_a_tenant_brings_models_of_its_own() -> None:
    class Shirt(BaseModel):
        model_config = ConfigDict(extra="forbid")
        size: int

    quality = assess_catalog(stocked(size=42, colour="red").inventory, Expectations(product=Shirt))
    assert found(quality) == [(VALIDITY, "product shirt", "colour", "red")]


def test_an_open_conflict_counts_against_consistency_until_it_is_resolved() -> None:
    one, two = branches("till-1", "till-2")
    for branch, price in ((one, 12), (two, 15)):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", price)
    sync([one, two])
    quality = assess_catalog(one.look, EXPECTED)
    assert (CONSISTENCY, "product shirt", "price", [12, 15]) in [
        (*place[:3], sorted(value)) for *place, value in found(quality) if isinstance(value, list)
    ]
    with one.edit() as inventory:
        inventory.conflicts()[0].resolve(value=13)
    assert assess_catalog(one.look, EXPECTED).of(CONSISTENCY).score == 1.0


def test_entries_that_can_not_be_read_are_findings_and_are_thrown_away_by_nobody() -> None:
    replica = stocked(name="Shirt", price=1250)
    replica.catalog.put("attr", "no key", 1)
    replica.movements.put("mv", "m.1", ["sale", "shirt", "A", -1, "page", 0])
    replica.movements.put("mv", "m.2", ["loan", "shirt", "A", 1, "page", 0])
    catalog, movements = assess(replica.inventory, {}, now_ms=NOW_MS).documents
    assert found(catalog) == [(VALIDITY, "entry attr/no key", "attr", "no key")]
    assert found(movements) == [
        (VALIDITY, "entry mv/m.1", "mv", "m.1"),
        (VALIDITY, "kind loan", "kind", 1),
    ]
    assert movements.of(VALIDITY) == Assessment(VALIDITY, checked=3, failed=2)


def test_a_cell_that_is_oversold_and_one_that_belongs_to_nothing_are_inconsistent() -> None:
    replica = stocked(name="Shirt", price=1250)
    with replica.edit() as docs:
        docs.inventory.sell("shirt", 11, at="A")
        docs.inventory.add_location("B")
        docs.inventory.receive("shirt", 1, at="B")
    replica.movements.put("mv", "m.1", ["rcv", "ghost", "A", 3, "page", 5])
    quality = assess_movements(replica.inventory, EXPECTED, NOW_MS)
    assert found(quality) == [
        (CONSISTENCY, "ghost at A", "orphan", 3),
        (CONSISTENCY, "shirt at A", "stock", -1),
    ]
    assert quality.of(CONSISTENCY) == Assessment(CONSISTENCY, checked=3, failed=2)


def test_movements_that_stay_away_are_not_fresh() -> None:
    replica = stocked()
    expected = Expectations(movements_every_s=60)
    assert assess_movements(replica.inventory, expected, NOW_MS + 60_000).of(FRESHNESS).score == 1.0
    late = assess_movements(replica.inventory, expected, NOW_MS + 60_010)
    assert found(late) == [(FRESHNESS, "inventory", "latest movement", NOW_MS)]
    assert late.of(FRESHNESS).score == 0.0


def test_a_series_with_holes_strays_and_a_silent_end_says_which() -> None:
    replica = Replica()
    start = NOW_MS - 60 * MINUTE_MS
    with replica.edit() as docs:
        series = docs.metrics.series("mentions", "AAPL")
        series.extend([(start + n * MINUTE_MS, n) for n in (0, 1, 2, 5, 6)])
        docs.metrics.series("untended", "X").add(start, 7)
    expected = Expectations(series=(SeriesExpectation(metric="mentions", every_s=60, low=1),))
    with replica.edit() as docs:
        quality = assess_metrics(docs.metrics, PERIOD, expected, NOW_MS)
    assert quality.document == "metrics/2026-11"
    assert found(quality) == [
        (COMPLETENESS, "series mentions of AAPL", "stretches without a sample", 2),
        (FRESHNESS, "series mentions of AAPL", "latest sample", start + 6 * MINUTE_MS),
        (VALIDITY, "series mentions of AAPL", str(start), 0),
    ]
    assert quality.of(COMPLETENESS) == Assessment(COMPLETENESS, checked=7, failed=2)
    assert quality.of(VALIDITY) == Assessment(VALIDITY, checked=6, failed=1)


def test_a_total_that_is_counted_and_observed_at_once_is_inconsistent() -> None:
    replica = Replica()
    with replica.edit() as docs:
        docs.metrics.set_gauge("likes", "post", 3)
        docs.metrics.count("likes", "post")
    with replica.edit() as docs:
        quality = assess_metrics(docs.metrics, PERIOD, EXPECTED, NOW_MS)
    assert found(quality) == [(CONSISTENCY, "entry c/likes/post", "c", "likes/post")]


def test_an_empty_document_has_no_score_rather_than_a_good_one() -> None:
    replica = Replica()
    with replica.edit() as docs:
        report = assess(docs.inventory, {PERIOD: docs.metrics}, now_ms=NOW_MS)
    assert report.score is None
    assert report.needs_attention == []


def test_documents_below_the_threshold_are_listed_the_worst_first() -> None:
    def scored(name: str, failed: int) -> DocumentQuality:
        return DocumentQuality(name, (Assessment(VALIDITY, 100, failed),), ())

    report = QualityReport((scored("good", 5), scored("bad", 30), scored("worse", 60)))
    assert [document.document for document in report.needs_attention] == ["worse", "bad"]
    assert report.score == pytest.approx((0.95 + 0.7 + 0.4) / 3)
    assert THRESHOLD > 0.7


def test_nothing_is_written_by_looking() -> None:
    replica = stocked(name="Shirt", price="x")
    before = replica.catalog.version, replica.movements.version
    with replica.edit() as docs:
        assess(docs.inventory, {PERIOD: docs.metrics}, now_ms=EPOCH_MS)
    assert (replica.catalog.version, replica.movements.version) == before
