"""100,000 updates of honest clients, by pycrdt and by Yjs, in the order in which they were made: none is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.interop.node_clients import need_node
from tests.interop.valid_histories import by_pycrdt, by_yjs, refusals

pytestmark = pytest.mark.interop

UPDATES = 25_000
"""Of each kind for each seed."""


@pytest.mark.parametrize("seed", [1, 20261120])
@pytest.mark.parametrize("kind", ["pycrdt", "Yjs"])
def test_the_gate_refuses_nothing_that_honest_clients_write(kind: str, seed: int) -> None:
    if kind == "Yjs":
        need_node()
    reached: Counter[str] = Counter()
    write = by_yjs if kind == "Yjs" else by_pycrdt
    while reached["valid updates"] < UPDATES:
        for updates in write(seed + reached["valid updates"], 200):
            assert refusals(updates, reached) == []
    assert reached["known"] < reached["valid updates"] / 10
