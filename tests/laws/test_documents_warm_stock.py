"""An index that is kept over edits says what one that reads everything anew says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.documents.roots import Draft
from crdt_sync.documents.stock.stock_index import StockIndex
from crdt_sync.documents.stock.warm_stock import WarmStock
from tests.unit.documents.replicas import DocRoots

ROWS = st.tuples(
    st.sampled_from(["rcv", "sale", "hold", "rel", "recv", "cnt", "want", "later"]),
    st.just("shirt"),
    st.just("A"),
    st.integers(0, 3),
    st.sampled_from(["x", "y"]),
    st.integers(0, 3),
    st.sampled_from(["a.0", "a.1"]),
    st.just({"counted": 1, "prev": "a.1"}),
).map(list)
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "stage", "give up"]), st.integers(0, 1), st.integers(0, 5), ROWS), max_size=12
)


@given(STEPS)
def test_a_warm_index_equals_a_fresh_one_after_every_step_also_when_edits_are_given_up(
    steps: list[tuple[str, int, int, Any]],
) -> None:
    roots, catalog = [DocRoots(), DocRoots()], DocRoots()
    drafts = [Draft(root) for root in roots]
    warm = WarmStock()
    for kind, document, number, row in steps:
        mid = f"a.{number}"
        match kind:
            # Movements are written once: whoever finds another one under its id leaves it.
            case "put" if drafts[document].get("mv", mid) is None:
                roots[document].put("mv", mid, row)
            case "stage" if drafts[document].get("mv", mid) is None:
                warm.put(drafts[document], f"2026-1{document}", mid, row)
            case "give up":
                drafts[document] = Draft(roots[document])
        index, fresh = warm.index(catalog, {"2026-10": drafts[0], "2026-11": drafts[1]}), StockIndex()
        for draft in drafts:
            fresh.add(draft.entries("mv"))
        assert index.table() == fresh.table()
        assert (sorted(index.faults), index.unknown) == (sorted(fresh.faults), fresh.unknown)
        assert [index.rights(cell) for cell in fresh.cells()] == [fresh.rights(cell) for cell in fresh.cells()]
        assert [index.oversold(cell) for cell in fresh.cells()] == [fresh.oversold(cell) for cell in fresh.cells()]
        assert (index.requests(), index.seen()) == (fresh.requests(), fresh.seen())
