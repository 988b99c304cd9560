"""Edits of a page: all or nothing, taken back where nobody has written since, told to listeners, refused if closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.javascript_face import Node, open_node
from tests.interop.node_clients import need_node
from tests.unit.documents.replicas import NOW_MS, PERIOD

pytestmark = pytest.mark.interop
PAGE, AT_A = "web.1", {"at": "A"}


@pytest.fixture(scope="module")
def process() -> Iterator[Node]:
    need_node()
    with open_node() as node:
        yield node


@pytest.fixture
def node(process: Node) -> Iterator[Node]:
    """With one page, whose shop has ten shirts."""
    process.result(PAGE, "open", {"replica": PAGE, "period": PERIOD, "nowMs": NOW_MS})
    process.result(PAGE, "inventory", "addProduct", "shirt", {"price": 10})
    process.result(PAGE, "inventory", "addLocation", "A", {})
    process.result(PAGE, "inventory", "receive", "shirt", 10, AT_A)
    process.result(PAGE, "changes")
    process.result(PAGE, "takeUpdates", "catalog")
    process.result(PAGE, "takeUpdates", PERIOD)
    yield process
    process.result(PAGE, "close")


def test_an_edit_that_throws_has_written_nothing(node: Node) -> None:
    answer = node.ask(
        PAGE,
        "edit",
        ["inventory", "setAttribute", "shirt", "price", 12],
        ["inventory", "sell", "shirt", 3, AT_A],
        ["inventory", "sell", "shirt", 0, AT_A],
    )
    assert answer["code"] == "quantity-out-of-range"
    assert node.result(PAGE, "takeUpdates", "catalog") == node.result(PAGE, "takeUpdates", PERIOD) == []
    assert node.result(PAGE, "inventory", "stock", "shirt", "A") == 10
    assert node.result(PAGE, "inventory", "attribute", "shirt", "price") == 10
    assert node.result(PAGE, "inventory", "products") == {"shirt": {"price": 10}}


def test_an_edit_is_one_transaction_a_document_and_sees_what_it_staged(node: Node) -> None:
    hold, stock, price = node.result(
        PAGE,
        "edit",
        ["inventory", "hold", "shirt", 3, AT_A],
        ["inventory", "stock", "shirt", "A"],
        ["inventory", "setAttribute", "shirt", "price", 12],
    )
    assert (stock, price) == (7, None)
    assert len(node.result(PAGE, "takeUpdates", PERIOD)) == len(node.result(PAGE, "takeUpdates", "catalog")) == 1
    assert node.result(PAGE, "inventory", "find", hold)["kind"] == "hold"


def test_undo_takes_back_own_edits_of_attributes_the_last_one_first(node: Node) -> None:
    for price in (11, 12):
        node.result(PAGE, "inventory", "setAttribute", "shirt", "price", price)
    node.result(PAGE, "inventory", "setAttribute", "shirt", "name", "Shirt")
    assert node.result(PAGE, "undo") == ["shirt/name"]
    assert node.result(PAGE, "undo") == ["shirt/price"]
    assert node.result(PAGE, "inventory", "attributes", "shirt") == {"price": 11}
    node.result(PAGE, "put", "catalog", "attr", "shirt/price", 99)
    assert node.ask(PAGE, "undo")["code"] == "cannot-undo"
    assert node.result(PAGE, "inventory", "attribute", "shirt", "price") == 99
    # The next one is of the movement, which stays.
    assert node.ask(PAGE, "undo")["code"] == "cannot-undo"
    assert node.result(PAGE, "inventory", "stock", "shirt", "A") == 10


def test_listeners_hear_what_changed_and_by_whom(node: Node) -> None:
    node.result(PAGE, "inventory", "sell", "shirt", 2, AT_A)
    node.result(PAGE, "put", "catalog", "attr", "shirt/price", 99)
    heard = [(one["document"], one["root"], one["products"], one["isOwn"]) for one in node.result(PAGE, "changes")]
    assert heard == [
        (f"inventory/{PERIOD}", "mv", ["shirt"], True),
        ("inventory/catalog", "attr", ["shirt"], False),
    ]


def test_closed_periods_later_schemas_and_missing_periods_are_refused(node: Node) -> None:
    node.result(PAGE, "inventory", "setAttribute", "shirt", "escrow", "refuse")
    node.result(PAGE, "put", "catalog", "periods", "2026-10", 1)
    answer = node.ask(PAGE, "inventory", "sell", "shirt", 1, AT_A)
    assert (answer["code"], "2026-10" in answer["message"]) == ("periods-missing", True)
    node.result(PAGE, "put", "catalog", "meta", "minWriter", 2)
    assert node.ask(PAGE, "inventory", "setAttribute", "shirt", "price", 1)["code"] == "schema-too-new"
    node.result(PAGE, "put", PERIOD, "meta", "closed", 1)
    assert node.ask(PAGE, "inventory", "receive", "shirt", 1, AT_A)["code"] == "period-closed"


def test_a_page_goes_on_in_the_day_when_its_month_is_closed(process: Node) -> None:
    month, day = "2026-11", "2026-11-18"
    process.result("day", "open", {"replica": "day", "nowMs": NOW_MS, "others": [month, day]})
    assert process.result("day", "period") == month
    process.result("day", "put", month, "meta", "closed", 1)
    assert process.result("day", "period") == day
    process.result("day", "close")


def test_a_page_whose_clock_lags_goes_on_behind_all_that_is_closed(process: Node) -> None:
    month, day = "2026-11", "2026-11-18"
    process.result("late", "open", {"replica": "late", "nowMs": NOW_MS, "others": [month, day]})
    for period in (month, day):
        process.result("late", "put", period, "meta", "closed", 1)
    assert process.result("late", "period") == "2026-12"
    process.result("late", "close")


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_goods_that_no_key_can_name_hide_nothing_of_the_others(node: Node, name: str) -> None:
    node.result(PAGE, "put", PERIOD, "mv", "stranger.1", ["rcv", name, "A", 4, "stranger", 1])
    sorts = [conflict["field"] for conflict in node.result(PAGE, "inventory", "conflicts")]
    assert sorts == ["orphan"]
    assert node.result(PAGE, "inventory", "overdrawn") == []
    assert node.result(PAGE, "inventory", "policy", name, "A") == "off"
