"""A page reads folded periods, late movements and movements that were changed as Python does."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Value
from crdt_sync.documents.stock.warm_stock import WarmStock
from crdt_sync.errors import DocumentError
from tests.interop.javascript_face import Node, look_of, open_node, sorted_look
from tests.interop.node_clients import need_node
from tests.laws.periods_of_tills import CELLS, PERIODS, Till, Tills
from tests.unit.documents.replicas import NOW_MS, DocRoots

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    need_node()
    with open_node() as process:
        yield process


def look_in_python(till: Till) -> object:
    """What this till would say if it began anew: from earlier reads it may know more."""
    try:
        return look_of(replace(till, warm=WarmStock()).read())
    except DocumentError as error:
        return error.code


def look_in_node(node: Node, till: Till, *, catalog_first: bool) -> object:
    """What a page says that has the documents of this till."""
    periods = sorted(till.documents)
    node.result("reader", "open", {"replica": till.rid, "period": periods[-1], "others": periods, "nowMs": NOW_MS})
    documents = {"catalog": till.catalog, **till.documents}
    for name in documents if catalog_first else reversed(documents):
        update = base64.b64encode(documents[name].doc.get_update()).decode()
        node.result("reader", "merge", name, update)
        # Whatever is read in between must not stick.
        node.ask("reader", "inventory", "stockTable")
    answer = node.ask("reader", "look")
    node.result("reader", "close")
    return sorted_look(answer["result"]) if "result" in answer else answer["code"]


TILLS, STEPS = 3, 90


def history(seed: int) -> Tills:
    """Three tills over four periods, which end and are folded while others still write into them."""
    random, shops, now = Random(seed), Tills.open(TILLS), 0
    for till in range(TILLS):
        shops.act(till, PERIODS[0], lambda inventory: inventory.receive("shirt", 20, at="A"))
    for number in range(STEPS):
        till, other = random.randrange(TILLS), random.randrange(TILLS)
        match random.randrange(8):
            case 0 | 1 | 2 | 3:
                shops.act(till, PERIODS[max(now - random.choice([0, 0, 1, 2]), 0)], act_of(random))
            case 4:
                shops.tills[till].pull(shops.tills[other], random.choice(["catalog", *PERIODS]))
            case 5:
                for document in ("catalog", *PERIODS):
                    shops.tills[till].pull(shops.tills[other], document)
            case 6:
                if random.random() < 0.5:
                    shops.fold(till)
                else:
                    shops.rehome_all(till, PERIODS[now])
            case 7 if now + 1 < len(PERIODS) and number > (now + 1) * STEPS // 5:
                now += 1
                for period in PERIODS[:now]:
                    shops.close(period)
                for _ in range(2 * now):
                    shops.fold(0)
    return shops


def act_of(random: Random) -> Callable[[InventoryDocument], object]:
    kind, (sku, place), units, which = random.randrange(12), random.choice(CELLS), random.randint(1, 6), random.random()
    elsewhere = "B" if place == "A" else "A"

    def one_of(found: Sequence[str]) -> str:
        return found[int(which * len(found))] if found else "zz.9"

    def do(inventory: InventoryDocument) -> object:
        match kind:
            case 0 | 1:
                return inventory.receive(sku, units, at=place)
            case 2 | 3:
                return inventory.sell(sku, units, at=place, short="back-order")
            case 4:
                return inventory.hold(sku, units, at=place, until_ms=0)
            case 5:
                held = [one.movement.mid for one in inventory.holds() if one.movement.rid == inventory._rid]
                return (inventory.confirm if which < 0.5 else inventory.release)(one_of(held))
            case 6:
                return inventory.ship(sku, units, source=place, to=elsewhere, recipient="till-1")
            case 7:
                return inventory.arrive(one_of([one.mid for one in inventory.in_transit()]))
            case 8:
                return inventory.count(sku, inventory.on_hand(sku, place) + units - 3, at=place)
            case 9:
                return inventory.give(sku, units, at=place, to="till-9")
            case 10:
                return inventory.request(sku, units, at=place)
            case _:
                owed = inventory.back_orders()
                one = owed[int(which * len(owed))] if owed else None
                return one and inventory.sell(one.sku, one.quantity, at=one.location, ref=one.mid)

    return do


@pytest.mark.parametrize("seed", range(8))
def test_folds_and_what_came_late_read_alike_in_both_languages(node: Node, seed: int) -> None:
    shops = history(seed)
    assert shops.folds, "nothing was folded, so nothing was tried"
    for number, till in enumerate(shops.tills):
        expected = look_in_python(till)
        assert look_in_node(node, till, catalog_first=bool(number % 2)) == expected


def test_the_first_content_of_a_movement_counts_also_in_a_page(node: Node) -> None:
    catalog, movements = DocRoots(), DocRoots()
    catalog.put("periods", "2026-11", 1)
    row: list[Value] = ["rcv", "shirt", "A", 5, "till-1", 889_500_467_200_000]
    movements.put("mv", "a.1", [*row[:3], 500, *row[4:]])
    movements.put("orig", "a.1", row)
    movements.put("orig", "a.2", row)
    till = Till("web.1", catalog, {"2026-11": movements})
    seen = look_in_node(node, till, catalog_first=True)
    assert seen == look_in_python(till)
    assert isinstance(seen, dict)
    assert seen["stock"] == [{"sku": "shirt", "location": "A", "stock": 10}]
    assert [one["field"] for one in seen["conflicts"]] == ["changed", "changed", "orphan"]
