"""What Python packs, plain JavaScript unpacks: chunks, histograms and distinct counts."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdt_sync.documents.metrics.chunks import encode_chunk
from crdt_sync.documents.metrics.tracks import read_series, union_scaled
from tests.laws.test_documents_series import SAMPLES
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica

NODE_FOLDER = Path(__file__).parent / "node"
pytestmark = pytest.mark.interop


@pytest.fixture(scope="module", autouse=True)
def _needs_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("Node is missing: install Node 20 or later")
    if not (NODE_FOLDER / "node_modules" / "yjs").is_dir():
        pytest.skip("the JavaScript clients are not installed: run make test")


def read_in_node(roots: DocRoots, *reads: tuple[str, str, str]) -> list[Any]:
    session = {"update": base64.b64encode(roots.doc.get_update()).decode(), "reads": reads}
    done = subprocess.run(
        ["node", "metrics_driver.mjs"],
        cwd=NODE_FOLDER,
        input=json.dumps(session).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    results: list[Any] = json.loads(done.stdout)
    return results


def test_the_reference_shows_the_very_lines_that_run_here() -> None:
    reference = (NODE_FOLDER.parents[2] / "docs" / "reference" / "metrics.md").read_text()
    module = (NODE_FOLDER / "metrics.mjs").read_text()
    blocks = re.findall(r"^```javascript\n(.*?)^```$", reference, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        assert block in module


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["w1", "w%202", "Z"]), SAMPLES, st.integers(0, 9)), min_size=1, max_size=6))
def test_a_page_reads_the_same_samples_from_any_chunks(chunks: list[Any]) -> None:
    roots = DocRoots()
    for number, (writer, samples, decimals) in enumerate(chunks, 1):
        roots.put("s", f"m/%C3%A9/{writer}/{number}", encode_chunk(samples, decimals))
    roots.put("s", "m/%C3%A9/w1/z", b"\x02")
    [read] = read_in_node(roots, ("samples", "m", "e\u0301"))
    found = [(int(one["at"]), int(one["scaled"]), one["decimals"], one["writer"]) for one in read]
    assert found == list(union_scaled(read_series(roots, ("m", "\u00e9")), -(2**64), 2**64))


def test_a_page_reads_what_two_writers_have_recorded() -> None:
    one, two = Replica("w1"), Replica("w2")
    for number, replica in enumerate((one, two)):
        with replica.edit() as docs:
            docs.metrics.series("m", "e", decimals=1).extend([(NOW_MS - 1, 1.5), (NOW_MS - 2 - number, number)])
            docs.metrics.histogram("m", "e").record_all([0, 0.001, 5, 5e9, number])
            docs.metrics.distinct("m", "e").record_all([f"{text + number * 500}" for text in range(1_000)])
            docs.metrics.distinct("m", "few").record_all([f"{text + number * 5}" for text in range(10)])
    one.pull(two)
    with one.edit() as docs:
        histogram = docs.metrics.histogram("m", "e").read()
        many, few = docs.metrics.distinct("m", "e").read(), docs.metrics.distinct("m", "few").read()
    samples, counts, ranks, distinct, few_distinct = read_in_node(
        one.metrics,
        ("samples", "m", "e"),
        ("histogram", "m", "e"),
        ("registers", "m", "e"),
        ("distinct", "m", "e"),
        ("distinct", "m", "few"),
    )
    assert [(int(sample["at"]) - NOW_MS, int(sample["scaled"])) for sample in samples] == [(-3, 10), (-2, 0), (-1, 15)]
    assert {bucket: count for bucket, count in counts if bucket != "zeros"} == dict(histogram.buckets)
    assert dict(counts)["zeros"] == histogram.zeros == 3
    assert bytes(ranks[str(register)] for register in range(4_096)) == many.ranks
    assert (distinct, few_distinct) == (many.estimate(), few.estimate())
