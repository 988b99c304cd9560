"""Escrow, holds and stock-takes through the facade: what is refused, what is recorded, what is reported."""

from collections.abc import Callable

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Value
from crdt_sync.documents.stock.escrow import Policy, Rights
from crdt_sync.documents.stock.reservations import HoldState
from crdt_sync.errors import (
    DocumentError,
    HoldEnded,
    InsufficientRights,
    InvalidName,
    InvalidValue,
    NotTheHolder,
    PeriodsMissing,
    QuantityOutOfRange,
    UnknownProduct,
)
from tests.unit.documents.replicas import NOW_MS, PERIOD, Replica, shop

STAMP = 889_500_467_200_000


def guarded(policy: str = "refuse", stock: int = 10) -> tuple[Replica, Replica]:
    """Two tills with one catalog, A under escrow; the first has the rights to what is there."""
    one = shop("till-1")
    with one.edit() as docs:
        docs.inventory.set_location_attribute("A", "escrow", policy)
        docs.inventory.receive("shirt", stock, at="A")
    two = Replica("till-2")
    two.pull(one)
    return one, two


def meet(*tills: Replica) -> None:
    for till in tills:
        for other in tills:
            till.pull(other)


def test_a_till_sells_what_it_has_rights_to_and_no_more() -> None:
    one, two = guarded()
    with two.edit() as docs, pytest.raises(InsufficientRights) as refused:
        docs.inventory.sell("shirt", 1, at="A")
    assert (refused.value.have, refused.value.want) == (0, 1)
    with one.edit() as docs:
        docs.inventory.give("shirt", 4, at="A", to="till-2")
        docs.inventory.sell("shirt", 6, at="A")
        with pytest.raises(InsufficientRights):
            docs.inventory.sell("shirt", 1, at="A")
    two.pull(one)
    with two.edit() as docs:
        docs.inventory.sell("shirt", 3, at="A")
    meet(one, two)
    for till in (one, two):
        assert till.inventory.rights("shirt", "A") == Rights({"till-2": 1}, 0)
        assert till.inventory.stock("shirt", "A") == 1
        assert till.inventory.oversold() == []
        assert till.inventory.overdrawn() == {}


@pytest.mark.parametrize(
    "act",
    [
        lambda inventory: inventory.sell("shirt", 11, at="A"),
        lambda inventory: inventory.hold("shirt", 11, at="A"),
        lambda inventory: inventory.adjust("shirt", -11, at="A"),
        lambda inventory: inventory.ship("shirt", 11, source="A", to="B"),
        lambda inventory: inventory.transfer("shirt", 11, source="A", to="B"),
        lambda inventory: inventory.give("shirt", 11, at="A", to="till-2"),
    ],
)
def test_whatever_takes_stock_away_needs_rights(act: Callable[[InventoryDocument], object]) -> None:
    one, _ = guarded()
    before = one.movements.entries("mv")
    with one.edit() as docs, pytest.raises(InsufficientRights) as refused:
        act(docs.inventory)
    assert (refused.value.have, refused.value.want) == (10, 11)
    assert one.movements.entries("mv") == before


def test_a_sale_beyond_the_rights_is_a_back_order_where_the_policy_says_so() -> None:
    one, _ = guarded("back-order")
    with one.edit() as docs:
        owed = docs.inventory.sell("shirt", 11, at="A", ref="order 7")
        docs.inventory.sell("shirt", 10, at="A")
    assert [movement.mid for movement in one.inventory.back_orders()] == [owed]
    assert one.inventory.stock("shirt", "A") == 0
    with one.edit() as docs:
        docs.inventory.receive("shirt", 11, at="A")
        docs.inventory.sell("shirt", 11, at="A", ref=owed)
    assert one.inventory.back_orders() == []


def test_a_sale_beyond_the_rights_is_flagged_and_reported_where_the_policy_allows_it() -> None:
    one, _ = guarded("allow")
    with one.edit() as docs:
        sold = docs.inventory.sell("shirt", 12, at="A")
        movement = docs.inventory.find(sold)
    assert movement is not None
    assert movement.ext == {"x": 1}
    [found] = one.inventory.oversold()
    assert (found.mid, found.balance) == (sold, -2)
    assert one.inventory.overdrawn() == {("shirt", "A", "till-1"): -2}


def test_one_sale_may_ask_for_another_policy_than_its_cell() -> None:
    _, two = guarded("allow")
    with two.edit() as docs:
        with pytest.raises(InsufficientRights):
            docs.inventory.sell("shirt", 1, at="A", short="refuse")
        docs.inventory.sell("shirt", 1, at="A", short="back-order")
        with pytest.raises(InvalidValue):
            docs.inventory.sell("shirt", 1, at="A", short="never")  # type: ignore[arg-type]
    assert len(two.inventory.back_orders()) == 1


def test_the_policy_of_a_product_goes_before_that_of_a_location() -> None:
    one, _ = guarded()
    assert one.inventory.policy("shirt", "A") is Policy.REFUSE
    assert one.inventory.policy("shirt", "B") is Policy.OFF
    with one.edit() as docs:
        docs.inventory.set_attribute("shirt", "escrow", "off")
        docs.inventory.sell("shirt", 20, at="A")
        with pytest.raises(InvalidValue):
            docs.inventory.set_attribute("shirt", "escrow", "sometimes")
        with pytest.raises(InvalidValue):
            docs.inventory.add_location("C", escrow=True)
    assert one.inventory.policy("shirt", "A") is Policy.OFF
    assert one.inventory.overdrawn() == {}


@pytest.mark.parametrize("value", [True, 1, "sometimes", ["off"]], ids=repr)
def test_a_policy_that_a_page_wrote_wrong_refuses_and_is_reported(value: Value) -> None:
    one, _ = guarded()
    one.catalog.put("attr", "shirt/escrow", value)
    assert one.inventory.policy("shirt", "B") is Policy.REFUSE
    assert [fault.key for fault in one.inventory.faults()] == ["shirt/escrow"]


def test_two_writers_under_one_name_are_found_out() -> None:
    one, _ = guarded()
    tab = Replica("till-1")
    tab.pull(one)
    for writer in (one, tab):
        with writer.edit() as docs:
            docs.inventory.sell("shirt", 7, at="A")
    meet(one, tab)
    for writer in (one, tab):
        assert writer.inventory.overdrawn() == {("shirt", "A", "till-1"): -4}
        assert [found.balance for found in writer.inventory.oversold()] == [-4]


def test_rights_to_what_arrives_are_the_recipients_whoever_books_it_in() -> None:
    one, two = guarded()
    with one.edit() as docs:
        docs.inventory.set_location_attribute("B", "escrow", "refuse")
        named = docs.inventory.ship("shirt", 3, source="A", to="B", recipient="till-3")
        docs.inventory.transfer("shirt", 2, source="A", to="B")
    two.pull(one)
    for till in (one, two):
        with till.edit() as docs:
            docs.inventory.arrive(named)
    meet(one, two)
    assert two.inventory.rights("shirt", "B") == Rights({"till-1": 2, "till-3": 3}, 0)


def test_rights_of_a_lost_device_are_reclaimed_and_show_it_when_it_returns() -> None:
    one, two = guarded()
    with one.edit() as docs:
        docs.inventory.give("shirt", 6, at="A", to="till-9")
    lost = Replica("till-9")
    lost.pull(one)
    two.pull(one)
    with two.edit() as docs:
        with pytest.raises(InsufficientRights):
            docs.inventory.reclaim("shirt", 7, at="A", of="till-9")
        docs.inventory.reclaim("shirt", 6, at="A", of="till-9")
        docs.inventory.sell("shirt", 5, at="A")
    assert two.inventory.rights("shirt", "A") == Rights({"till-1": 4, "till-2": 1}, 0)
    with lost.edit() as docs:
        docs.inventory.sell("shirt", 2, at="A")
    meet(two, lost)
    assert two.inventory.overdrawn() == {("shirt", "A", "till-9"): -2}
    assert two.inventory.rights("shirt", "A").overdrawn == {"till-9": -2}


def test_rights_are_not_judged_without_every_period() -> None:
    one, _ = guarded()
    december = Replica("till-1", catalog=one.catalog, period="2026-12")
    with december.edit() as docs:
        with pytest.raises(PeriodsMissing) as missing:
            docs.inventory.sell("shirt", 1, at="A")
        docs.inventory.receive("shirt", 1, at="A")
    assert missing.value.periods == [PERIOD]
    december.history = {PERIOD: one.movements}
    with december.edit() as docs:
        docs.inventory.sell("shirt", 11, at="A")
    assert december.inventory.stock("shirt", "A") == 0


def test_a_hold_keeps_goods_back_until_its_holder_ends_it() -> None:
    one, two = guarded("off")
    with one.edit() as docs:
        kept = docs.inventory.hold("shirt", 4, at="A", until_ms=NOW_MS + 1, ref="basket 3")
        sold = docs.inventory.hold("shirt", 3, at="A")
        gone = docs.inventory.hold("shirt", 2, at="A", until_ms=NOW_MS)
        assert docs.inventory.stock("shirt", "A") == 1
        assert docs.inventory.on_hand("shirt", "A") == 10
        assert docs.inventory.sell("shirt", 3, at="A", hold=sold) == docs.inventory.confirm(sold)
        docs.inventory.expire(gone)
        for early in (kept, sold):
            with pytest.raises(InvalidValue):
                docs.inventory.expire(early)
        with pytest.raises(HoldEnded):
            docs.inventory.release(sold)
    two.pull(one)
    with two.edit() as docs:
        with pytest.raises(NotTheHolder):
            docs.inventory.release(kept)
        with pytest.raises(InvalidName):
            docs.inventory.release("zz.0")
    states = {hold.movement.mid: hold.state for hold in two.inventory.holds()}
    assert states == {kept: HoldState.OPEN, sold: HoldState.CONFIRMED, gone: HoldState.EXPIRED}
    assert [hold.movement.ref for hold in two.inventory.holds(HoldState.OPEN)] == ["basket 3"]
    assert (two.inventory.stock("shirt", "A"), two.inventory.on_hand("shirt", "A")) == (3, 7)
    assert "basket 3" in two.inventory.refs()


def test_a_sale_on_a_hold_is_of_the_same_goods() -> None:
    one, _ = guarded()
    with one.edit() as docs:
        hold = docs.inventory.hold("shirt", 3, at="A")
        with pytest.raises(InvalidValue):
            docs.inventory.sell("shirt", 2, at="A", hold=hold)
        with pytest.raises(InvalidValue):
            docs.inventory.sell("shirt", 3, at="B", hold=hold)


def test_an_end_by_anybody_else_changes_nothing_and_is_reported() -> None:
    one, _ = guarded()
    with one.edit() as docs:
        hold = docs.inventory.hold("shirt", 4, at="A")
    for number, row in enumerate(
        (
            ["rel", "shirt", "A", 4, "web.1", STAMP, hold],
            ["rel", "shirt", "A", 5, "till-1", STAMP, hold],
            ["conf", "shirt", "A", 4, "till-1", STAMP, "zz.9"],
        )
    ):
        one.movements.put("mv", f"zz.{number}", row)  # type: ignore[arg-type]
    assert one.inventory.stock("shirt", "A") == 6
    assert [(fault.key, fault.reason.split(",")[0]) for fault in one.inventory.faults()] == [
        ("zz.0", "ends a hold of another replica"),
        ("zz.1", "ends a hold of other goods than it says"),
        ("zz.2", "ends a hold that is in no document here"),
    ]


def test_two_people_who_count_one_shelf_find_its_loss_once() -> None:
    one, two = guarded("off")
    with one.edit() as docs:
        docs.inventory.count("shirt", 8, at="A")
    with two.edit() as docs:
        docs.inventory.count("shirt", 8, at="A")
        docs.inventory.sell("shirt", 3, at="A")
    meet(one, two)
    for till in (one, two):
        assert till.inventory.stock("shirt", "A") == 5
        assert len(till.inventory.idle_counts()) == 1
    with one.edit() as docs:
        docs.inventory.count("shirt", 5, at="A")
    assert one.inventory.stock("shirt", "A") == 5


def test_a_stock_take_finds_what_holds_keep_back() -> None:
    one, _ = guarded()
    with one.edit() as docs:
        docs.inventory.hold("shirt", 4, at="A")
        docs.inventory.count("shirt", 9, at="A")
    assert (one.inventory.stock("shirt", "A"), one.inventory.on_hand("shirt", "A")) == (5, 9)
    assert one.inventory.rights("shirt", "A") == Rights({"till-1": 5}, 0)


def test_what_a_stock_take_finds_beyond_the_books_is_nobodys_until_it_is_taken_over() -> None:
    _, two = guarded()
    with two.edit() as docs:
        with pytest.raises(InsufficientRights):
            docs.inventory.count("shirt", 9, at="A")
        docs.inventory.count("shirt", 13, at="A")
        with pytest.raises(InsufficientRights):
            docs.inventory.sell("shirt", 1, at="A")
        assert docs.inventory.rights("shirt", "A") == Rights({"till-1": 10}, 3)
        docs.inventory.reclaim("shirt", 3, at="A")
        docs.inventory.sell("shirt", 3, at="A")
    assert two.inventory.stock("shirt", "A") == 10


def test_a_late_movement_moves_or_dissolves_an_oversell() -> None:
    replica = shop()
    first, second = (["sale", "shirt", "A", 3, "x", STAMP + late] for late in (1, 3))
    replica.movements.put("mv", "zz.1", first)  # type: ignore[arg-type]
    replica.movements.put("mv", "zz.2", second)  # type: ignore[arg-type]
    assert [found.mid for found in replica.inventory.oversold()] == ["zz.1"]
    replica.movements.put("mv", "zz.3", ["rcv", "shirt", "A", 3, "x", STAMP])
    assert [found.mid for found in replica.inventory.oversold()] == ["zz.2"]
    replica.movements.put("mv", "zz.4", ["rcv", "shirt", "A", 3, "x", STAMP])
    assert replica.inventory.oversold() == []


def test_a_movement_in_two_documents_counts_once() -> None:
    row: Value = ["rcv", "shirt", "A", 3, "x", STAMP]
    one = Replica(catalog=shop().catalog)
    late = Replica("till-2", catalog=one.catalog, period="2026-12", history={PERIOD: one.movements})
    one.movements.put("mv", "zz.0", row)
    late.movements.put("mv", "zz.0", row)
    assert late.inventory.stock("shirt", "A") == 3
    assert late.inventory.faults() == []
    late.movements.put("mv", "zz.0", ["rcv", "shirt", "A", 4, "x", STAMP])
    assert late.inventory.stock("shirt", "A") == 3
    assert [fault.key for fault in late.inventory.faults()] == ["zz.0"]


def test_a_hold_of_a_removed_product_can_still_be_ended() -> None:
    one, _ = guarded()
    with one.edit() as docs:
        hold = docs.inventory.hold("shirt", 4, at="A")
    one.catalog.put("attr", "shirt/$life", None)
    with one.edit() as docs:
        with pytest.raises(UnknownProduct):
            docs.inventory.hold("shirt", 1, at="A")
        docs.inventory.release(hold)
    assert one.inventory.stock("shirt", "A") == 10


MISUSES: list[tuple[Callable[[InventoryDocument], object], type[DocumentError]]] = [
    (lambda inventory: inventory.hold("shirt", 0, at="A"), QuantityOutOfRange),
    (lambda inventory: inventory.hold("shirt", 1, at="A", until_ms=-1), InvalidValue),
    (lambda inventory: inventory.hold("shirt", 1, at="A", until_ms=1.5), InvalidValue),  # type: ignore[arg-type]
    (lambda inventory: inventory.count("shirt", -1, at="A"), QuantityOutOfRange),
    (lambda inventory: inventory.count("shirt", True, at="A"), QuantityOutOfRange),
    (lambda inventory: inventory.count("hat", 1, at="A"), UnknownProduct),
    (lambda inventory: inventory.give("shirt", 1, at="A", to="till-1"), InvalidValue),
    (lambda inventory: inventory.give("shirt", 1, at="A", to=""), InvalidName),
    (lambda inventory: inventory.give("shirt", -1, at="A", to="till-2"), QuantityOutOfRange),
    (lambda inventory: inventory.give("shirt", 1, at="B", to="till-2"), InsufficientRights),
    (lambda inventory: inventory.reclaim("shirt", 1, at="A", of="till-1"), InvalidValue),
    (lambda inventory: inventory.reclaim("shirt", 1, at="A"), InsufficientRights),
    (lambda inventory: inventory.ship("shirt", 1, source="A", to="B", recipient=""), InvalidName),
    (lambda inventory: inventory.confirm(7), InvalidName),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("act", "error"), MISUSES)
def test_misuse_of_rights_and_holds_is_refused_before_anything_is_staged(
    act: Callable[[InventoryDocument], object], error: type[DocumentError]
) -> None:
    one, _ = guarded()
    before = one.movements.entries("mv")
    with one.edit() as docs, pytest.raises(error):
        act(docs.inventory)
    assert one.movements.entries("mv") == before
