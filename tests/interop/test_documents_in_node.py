"""A page in plain JavaScript and a Python peer read and write the same documents, and agree on the numbers."""

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

from crdt_sync.documents.keys import comp, nfc
from tests.unit.documents.branches import branches, sync, the_only, values
from tests.unit.documents.replicas import PERIOD, DocRoots, Replica, shop

NODE_FOLDER = Path(__file__).parent / "node"
pytestmark = pytest.mark.interop
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
STAMP = 889_500_467_200_000


@pytest.fixture(scope="module", autouse=True)
def _needs_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("Node is missing: install Node 20 or later")
    if not (NODE_FOLDER / "node_modules" / "yjs").is_dir():
        pytest.skip("the JavaScript clients are not installed: run make test")


class Page:
    """What a page does in one session; documents go in and come back as updates."""

    def __init__(self, **docs: DocRoots) -> None:
        self._docs = {name: [base64.b64encode(roots.doc.get_update()).decode()] for name, roots in docs.items()}
        self.updates: dict[str, bytes] = {}

    def run(self, *steps: list[Any]) -> list[Any]:
        session = json.dumps({"docs": self._docs, "steps": steps})
        done = subprocess.run(
            ["node", "documents_driver.mjs"],
            cwd=NODE_FOLDER,
            input=session.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        outcome = json.loads(done.stdout)
        self.updates = {name: base64.b64decode(update) for name, update in outcome["updates"].items()}
        results: list[Any] = outcome["results"]
        return results

    def take_over(self, replica: Replica) -> None:
        """Bring the page's documents to a replica, as a sync does."""
        for name, update in self.updates.items():
            roots: DocRoots = getattr(replica, name)
            roots.doc.apply_update(update)


def table_of(result: list[Any]) -> dict[tuple[str, str], int]:
    return {(cell[0], cell[1]): quantity for cell, quantity in ((json.loads(key), value) for key, value in result)}


def test_the_reference_shows_the_very_lines_that_run_here() -> None:
    folder = NODE_FOLDER.parents[2] / "docs" / "reference"
    reference = (folder / "documents.md").read_text() + (folder / "metrics.md").read_text()
    module = (NODE_FOLDER / "documents.mjs").read_text()
    blocks = re.findall(r"^```js\n(.*?)^```$", reference, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    for block in blocks:
        assert block in module


def test_a_page_reads_what_python_wrote() -> None:
    replica = shop(products=("shirt", "Söckchen 🧦/rot"))
    with replica.edit() as docs:
        docs.inventory.set_attribute("Söckchen 🧦/rot", "price", 1250)
        docs.inventory.receive("Söckchen 🧦/rot", 10, at="A", ref="delivery 1")
        docs.inventory.sell("Söckchen 🧦/rot", 3, at="A")
        docs.inventory.transfer("Söckchen 🧦/rot", 4, source="A", to="B")
        docs.inventory.adjust("shirt", -2, at="B")
        docs.metrics.set_gauge("likes", "tweet 17", 12.5)
        docs.metrics.count("sales", "till", by=3)
    page = Page(catalog=replica.catalog, movements=replica.movements, metrics=replica.metrics)
    price, table, stock, likes, sales, nothing = page.run(
        ["attribute", "doc:catalog", "Söckchen 🧦/rot", "price"],
        ["stockTable", "docs:movements"],
        ["stock", "docs:movements", "Söckchen 🧦/rot", "A"],
        ["gauge", "doc:metrics", "likes", "tweet 17"],
        ["counter", "doc:metrics", "sales", "till"],
        ["gauge", "doc:metrics", "likes", "tweet 18"],
    )
    assert (price, stock, likes, sales, nothing) == (1250, 3, 12.5, 3, None)
    assert table_of(table) == replica.inventory.stock_table()


def test_python_reads_what_a_page_wrote_and_both_count_alike() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
        docs.metrics.count("sales", "till", by=3)
        docs.metrics.set_gauge("likes", "tweet", 1)
    page = Page(catalog=replica.catalog, movements=replica.movements, metrics=replica.metrics)
    *_, table = page.run(
        ["addProduct", "doc:catalog", "cafe\u0301"],
        ["addLocation", "doc:catalog", "Köln/2"],
        ["setPrice", "doc:catalog", "cafe\u0301", 450],
        ["notePeriod", "doc:catalog", PERIOD],
        ["notePeriod", "doc:catalog", "2026-12"],
        ["move", "doc:movements", "sale", "shirt", "A", 3, "web.1"],
        ["move", "doc:movements", "rcv", "cafe\u0301", "Köln/2", 7, "web.1", "invoice 9"],
        ["transfer", "doc:movements", "shirt", 2, "A", "B", "web.1"],
        ["setGauge", "doc:metrics", "web.1", "likes", "tweet", 17],
        ["count", "doc:metrics", "web.1", "sales", "till", 4],
        ["count", "doc:metrics", "web.1", "sales", "till"],
        ["stockTable", "docs:movements"],
    )
    with replica.edit() as docs:
        docs.inventory.sell("shirt", 3, at="A")
    page.take_over(replica)
    inventory = replica.inventory
    assert inventory.product("caf\u00e9") == {"price": 450}
    assert set(inventory.locations()) == {"A", "B", "Köln/2"}
    assert replica.catalog.entries("periods") == {PERIOD: 1, "2026-12": 1}
    assert table_of(table) == {("shirt", "A"): 5, ("shirt", "B"): 2, ("caf\u00e9", "Köln/2"): 7}
    assert inventory.stock_table() == {("shirt", "A"): 2, ("shirt", "B"): 2, ("caf\u00e9", "Köln/2"): 7}
    assert inventory.refs() == {"invoice 9"}
    assert inventory.in_transit() == []
    assert inventory.unknown_kinds() == {}
    assert all(type(movement.quantity) is int for movement in inventory.movements())
    with replica.edit() as docs:
        assert docs.metrics.counter("sales", "till") == 8
        assert docs.metrics.counters() == {("sales", "till"): 8}


def test_a_page_and_a_till_that_sell_offline_leave_ten_minus_three_minus_three() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
    page = Page(movements=replica.movements)
    page.run(["move", "doc:movements", "sale", "shirt", "A", 3, "web.1"])
    with replica.edit() as docs:
        docs.inventory.sell("shirt", 3, at="A")
    page.take_over(replica)
    assert replica.inventory.stock("shirt", "A") == 4
    assert Page(movements=replica.movements).run(["stock", "docs:movements", "shirt", "A"]) == [4]


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(TEXTS, min_size=100, max_size=100))
def test_keys_are_the_same_in_both_languages(texts: list[str]) -> None:
    assert Page().run(*(["comp", text] for text in texts)) == [comp(text) for text in texts]


def test_of_several_arrivals_of_one_shipment_both_count_the_same_one() -> None:
    first, second = DocRoots(), DocRoots()
    for number, roots in enumerate((first, second, first, second)):
        mid = ("zz.5", "zz.1", "zz.10", "zz.3")[number]
        roots.put("mv", mid, ["recv", "shirt", "B", number + 1, "x", STAMP, "yy.0"])
    replica = Replica(history={"2026-10": first}, movements=second)
    [table] = Page(first=first, second=second).run(["stockTable", "docs:first,second"])
    assert table_of(table) == replica.inventory.stock_table() == {("shirt", "B"): 2}


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["shirt", "A", "x.1"])
PLACES = st.sampled_from(["A", "Köln/2", "Ko\u0308ln/2"])
SOUND = st.tuples(
    st.sampled_from(["rcv", "sale", "adj", "ship", "recv", "hold", "conf", "rel", "exp", "cnt", "xfer", "backorder"]),
    st.sampled_from(["shirt", "sock"]),
    PLACES,
    st.integers(1, 3),
    st.sampled_from(["x", "x", "y"]),
    st.integers(STAMP, STAMP + 3),
    st.sampled_from(["a.1", "a.2", "a.3", "b.1"]),
    st.fixed_dictionaries(
        {"to": st.just("y"), "counted": st.just(7), "prev": st.sampled_from([None, "a.1", "a.2", "b.1", "b.2"])}
    ),
)
ENTRIES = st.one_of(
    SOUND.map(list),
    SOUND.map(list),
    st.tuples(SOUND.map(list), st.integers(0, 7), SCALARS).map(lambda t: [*t[0][: t[1]], t[2], *t[0][t[1] + 1 :]]),
    st.tuples(SOUND.map(list), SCALARS | st.just({"to": "A"}) | st.just([])).map(lambda t: [*t[0][:7], t[1]]),
    st.tuples(SOUND.map(list), st.sampled_from(["to", "from", "counted", "prev"]), SCALARS).map(
        lambda t: [*t[0][:7], {**t[0][7], t[1]: t[2]}]
    ),
    st.lists(SCALARS, max_size=8),
    SCALARS,
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.dictionaries(st.from_regex(r"[a-b]\.([1-9]|[0-9a-z]{1,2})", fullmatch=True) | TEXTS, ENTRIES, max_size=30),
        min_size=1,
        max_size=3,
    )
)
def test_sound_and_broken_entries_are_told_apart_alike_in_both_languages(documents: list[dict[str, Any]]) -> None:
    """Also over several periods, and with one shipment booked in more than once."""
    replica = Replica()
    docs = {}
    for number, entries in enumerate(documents):
        roots = docs[f"m{number}"] = DocRoots()
        for key, value in entries.items():
            roots.put("mv", key, value)
    replica.history = {f"2026-0{number + 1}": roots for number, roots in enumerate(docs.values())}
    [table] = Page(**docs).run(["stockTable", "docs:" + ",".join(docs)])
    assert table_of(table) == replica.inventory.stock_table()


def test_a_name_has_one_spelling_in_both_languages() -> None:
    assert Page().run(["comp", "e\u0301"]) == [comp("e\u0301")] == [comp(nfc("é"))]


def test_a_page_lists_the_conflicts_that_python_lists_and_each_sees_what_the_other_decided() -> None:
    made = branches("till-1", "till-2", prices={"shirt": 1, "sock": 1})
    for branch, price in zip(made, (12, 15), strict=True):
        with branch.edit() as inventory:
            inventory.set_attribute("shirt", "price", price)
            inventory.set_attribute("sock", "price", price)
            inventory.set_attribute("sock", "name", "equal")
    sync(made)
    with made[0].edit() as inventory:
        inventory.conflicts()[1].resolve(value=9)
    page = Page(catalog=DocRoots(made[0].catalog.snapshot()))
    [found] = page.run(["conflicts", "doc:catalog"])
    mine = the_only(made[0].look.conflicts())
    assert [conflict["key"] for conflict in found] == [mine.key] == ["shirt/price"]
    assert {s["tip"]: s["value"] for s in found[0]["siblings"]} == {s.tip: s.value for s in mine.siblings}
    page.run(["resolveConflict", "doc:catalog", found[0], 13, "web.1"])
    with made[1].edit() as inventory:
        inventory.set_attribute("shirt", "price", 14)
    for branch in made:
        branch.hear(page.updates["catalog"])
    assert made[0].look.conflicts() == []
    assert values(the_only(made[1].look.conflicts())) == [13, 14]
    assert made[0].look.resolutions()[-1].device == "web.1"


def test_a_page_asks_for_rights_and_python_answers() -> None:
    one = shop("till-1")
    with one.edit() as docs:
        docs.inventory.set_location_attribute("A", "escrow", "refuse")
        docs.inventory.receive("shirt", 10, at="A")
    page = Page(movements=one.movements)
    (asked,) = page.run(["request", "doc:movements", "shirt", "A", 4, "web.1"])
    page.take_over(one)
    with one.edit() as docs:
        (answer,) = docs.inventory.answer_requests()
    handed = one.inventory.find(answer)
    assert handed is not None
    assert (handed.ref, handed.quantity, handed.ext["to"]) == (asked, 4, "web.1")
    assert one.inventory.rights("shirt", "A").of == {"till-1": 6, "web.1": 4}
    again = Page(movements=one.movements)
    (table,) = again.run(["stockTable", "docs:movements"])
    assert table_of(table) == one.inventory.stock_table()


def test_a_page_sets_a_rule_and_acknowledges_what_it_has_seen() -> None:
    one = shop("till-1")
    with one.edit() as docs:
        docs.inventory.sell("shirt", 2, at="A")
    (oversold,) = one.inventory.conflicts()
    page = Page(catalog=one.catalog)
    page.run(
        ["setRule", "doc:catalog", "merge/price", "max"],
        ["acknowledge", "doc:catalog", oversold.key, list(oversold.evidence), oversold.current, "web.1"],
    )
    page.take_over(one)
    assert one.inventory.rules().merges == {"price": "max"}
    assert one.inventory.conflicts() == []
    (seen,) = one.inventory.resolutions()
    assert (seen.key, seen.evidence, seen.device) == (oversold.key, oversold.evidence, "web.1")
    assert one.inventory.faults() == []
