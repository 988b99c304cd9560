"""Whatever is in a document, its quality can be said: nothing raises, nothing is written, scores stay within bounds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.quality.expectations import Expectations, SeriesExpectation
from crdt_sync.documents.quality.quality import assess
from crdt_sync.documents.quality.report import QualityReport
from crdt_sync.documents.roots import Draft, Value
from tests.unit.documents.replicas import NOW_MS, PERIOD, Replica, shop

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=6)
VALUES = SCALARS | st.lists(SCALARS, max_size=8) | st.dictionaries(st.text(max_size=4), SCALARS, max_size=3)
ROOTS = ("attr", "mv", "periods", "meta", "conflict", "resolve", "edits", "g", "c", "s", "r", "h", "d", "rej")
KEYS = st.sampled_from(
    ("shirt/price", "shirt/name", "@A/name", "shirt/$life", "m.1", "m.2", "a/b/c", "a/b/c/0", "a/b/c/1", "x", "")
)
ENTRIES = st.lists(st.tuples(st.sampled_from(ROOTS), KEYS, VALUES), max_size=15)
EXPECTED = Expectations(series=(SeriesExpectation(metric="a", every_s=60, low=0, high=9),), movements_every_s=60)


def looked_at(replica: Replica) -> QualityReport:
    catalog, movements, metrics = (Draft(roots) for roots in (replica.catalog, replica.movements, replica.metrics))
    circumstances = {"clock": replica.clock, "now_ms": replica.now_ms}
    inventory = InventoryDocument(catalog, PERIOD, movements, rid=replica.rid, **circumstances)  # type: ignore[arg-type]
    face = MetricsDocument(metrics, wid=replica.rid, **circumstances)  # type: ignore[arg-type]
    report = assess(inventory, {PERIOD: face}, now_ms=NOW_MS, expected=EXPECTED)
    assert [draft.writes for draft in (catalog, movements, metrics)] == [[], [], []]
    return report


@settings(max_examples=150, deadline=None)
@given(ENTRIES)
def test_any_document_has_a_quality_and_is_not_changed_by_saying_it(entries: list[tuple[str, str, Value]]) -> None:
    replica = shop()
    for root, key, value in entries:
        for roots in (replica.catalog, replica.movements, replica.metrics):
            roots.put(root, key, value)
    report = looked_at(replica)
    for document in report.documents:
        for assessment in document.assessments:
            assert 0 <= assessment.failed <= assessment.checked
        assert document.score is None or 0 <= document.score <= 1
        assert all(finding.expected and finding.subject for finding in document.findings)
    assert looked_at(replica) == report


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.sampled_from(("price", "name", "reorder_level")), st.sampled_from((-1, True, "", [1, 2, 3])))
def test_a_value_outside_its_model_lowers_the_score(
    entries: list[tuple[str, str, Value]], field: str, wrong: Value
) -> None:
    replica = shop(products=("shirt", "hat"))
    for root, key, value in entries:
        replica.catalog.put(root, key, value)
    replica.catalog.put("attr", f"hat/{field}", 1250 if field != "name" else "Hat")
    before = looked_at(replica).documents[0]
    replica.catalog.put("attr", f"hat/{field}", wrong)
    after = looked_at(replica).documents[0]
    assert before.score is not None
    assert after.score is not None
    assert after.score < before.score
    assert len(after.findings) == len(before.findings) + 1
