"""Movements and the stock that they add up to."""

from collections.abc import Callable

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Value
from crdt_sync.errors import (
    DocumentError,
    InvalidName,
    InvalidValue,
    PeriodClosed,
    QuantityOutOfRange,
    SchemaTooNew,
    UnknownLocation,
    UnknownProduct,
)
from tests.unit.documents.replicas import NOW_MS, DocRoots, Replica, shop

STAMP = 889_500_467_200_000


def test_two_tills_that_sell_offline_leave_ten_minus_three_minus_three() -> None:
    one = shop("till-1")
    with one.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
    two = Replica("till-2")
    two.pull(one)
    for till in (one, two):
        with till.edit() as docs:
            docs.inventory.sell("shirt", 3, at="A")
    one.pull(two)
    two.pull(one)
    assert one.inventory.stock("shirt", "A") == two.inventory.stock("shirt", "A") == 4


def test_every_kind_of_movement_has_its_effect() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
        docs.inventory.sell("shirt", 3, at="A")
        docs.inventory.adjust("shirt", -2, at="A")
        docs.inventory.adjust("shirt", 1, at="B")
        shipment, arrival = docs.inventory.transfer("shirt", 4, source="A", to="B")
        assert docs.inventory.stock_table() == {("shirt", "A"): 1, ("shirt", "B"): 5}
    assert replica.inventory.stock_table() == {("shirt", "A"): 1, ("shirt", "B"): 5}
    assert replica.inventory.stock("shirt", "nowhere") == 0
    sent, booked = replica.inventory.find(shipment), replica.inventory.find(arrival)
    assert sent is not None
    assert (sent.kind, sent.destination, sent.quantity, sent.at_ms) == ("ship", "B", 4, NOW_MS)
    assert booked is not None
    assert (booked.kind, booked.ref, booked.destination) == ("recv", shipment, None)


def test_a_movement_is_stored_as_the_specification_says() -> None:
    replica = shop()
    with replica.edit() as docs:
        plain = docs.inventory.sell("shirt", 3, at="A")
        invoiced = docs.inventory.receive("shirt", 3, at="A", ref="invoice 7")
        shipment, arrival = docs.inventory.transfer("shirt", 1, source="A", to="B")
    stored = replica.movements.entries("mv")
    first = int(stored[plain][5])  # type: ignore[index, arg-type]
    assert stored == {
        plain: ["sale", "shirt", "A", 3, "till-1", first],
        invoiced: ["rcv", "shirt", "A", 3, "till-1", first + 1, "invoice 7"],
        shipment: ["ship", "shirt", "A", 1, "till-1", first + 2, None, {"to": "B"}],
        arrival: ["recv", "shirt", "B", 1, "till-1", first + 3, shipment],
    }
    assert replica.catalog.entries("periods") == {"2026-11": 1}


def test_ids_go_on_without_gaps_over_edits() -> None:
    replica, mids = shop(), []
    for size in (1, 3, 40, 1):
        with replica.edit() as docs:
            mids += [docs.inventory.receive("shirt", 1, at="A") for _ in range(size)]
    assert [int(mid.split(".")[1], 36) for mid in mids] == list(range(45))
    assert replica.inventory.stock("shirt", "A") == 45


def test_goods_that_were_sent_are_in_no_stock_until_they_are_booked_in_once() -> None:
    one = shop("till-1")
    with one.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
        shipment = docs.inventory.ship("shirt", 4, source="A", to="B", ref="waybill 9")
    assert one.inventory.stock_table() == {("shirt", "A"): 6}
    assert [movement.mid for movement in one.inventory.in_transit()] == [shipment]
    two = Replica("till-2")
    two.pull(one)
    for till in (one, two):
        with till.edit() as docs:
            docs.inventory.arrive(shipment)
    one.pull(two)
    assert one.inventory.stock_table() == {("shirt", "A"): 6, ("shirt", "B"): 4}
    assert one.inventory.in_transit() == []
    assert one.inventory.refs() == {"waybill 9"}


def test_a_shipment_of_last_month_can_be_booked_in_this_month() -> None:
    october = Replica("till-1", period="2026-10", catalog=shop().catalog)
    with october.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A", ref="r")
        shipment = docs.inventory.ship("shirt", 4, source="A", to="B")
    november = Replica("till-1", catalog=october.catalog, history={"2026-10": october.movements})
    with november.edit() as docs:
        docs.inventory.arrive(shipment)
    assert november.inventory.stock_table() == {("shirt", "A"): 6, ("shirt", "B"): 4}
    assert [movement.period for movement in november.inventory.movements()] == ["2026-10", "2026-10", "2026-11"]
    assert november.inventory.refs() == {"r"}
    assert november.catalog.entries("periods") == {"2026-10": 1, "2026-11": 1}


def test_movements_come_in_the_order_of_their_stamps_and_can_be_narrowed() -> None:
    replica = shop(products=("shirt", "hat"))
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 1, at="A")
        docs.inventory.receive("hat", 2, at="A")
        docs.inventory.receive("shirt", 3, at="B")
    assert [movement.quantity for movement in replica.inventory.movements()] == [1, 2, 3]
    assert [movement.quantity for movement in replica.inventory.movements("shirt")] == [1, 3]
    assert [movement.quantity for movement in replica.inventory.movements(at="A")] == [1, 2]


def test_a_restarted_program_can_skip_what_it_recorded() -> None:
    replica, invoices = shop(), ["536365", "536366", "536365"]
    for _ in range(2):
        with replica.edit() as docs:
            for invoice in invoices:
                if invoice not in docs.inventory.refs():
                    docs.inventory.sell("shirt", 1, at="A", ref=invoice)
    assert replica.inventory.stock("shirt", "A") == -2


@pytest.mark.parametrize("quantity", [0, -1, 1.0, 1.5, True, "1", None, 2**53, -(2**53)], ids=repr)
def test_a_quantity_that_is_no_positive_integer_is_refused(quantity: object) -> None:
    replica = shop()
    acts: list[Callable[[InventoryDocument], object]] = [
        lambda inventory: inventory.receive("shirt", quantity, at="A"),  # type: ignore[arg-type]
        lambda inventory: inventory.sell("shirt", quantity, at="A"),  # type: ignore[arg-type]
        lambda inventory: inventory.ship("shirt", quantity, source="A", to="B"),  # type: ignore[arg-type]
        lambda inventory: inventory.transfer("shirt", quantity, source="A", to="B"),  # type: ignore[arg-type]
    ]
    if quantity != -1:
        acts.append(lambda inventory: inventory.adjust("shirt", quantity, at="A"))  # type: ignore[arg-type]
    for act in acts:
        with pytest.raises(QuantityOutOfRange), replica.edit() as docs:
            act(docs.inventory)
    assert replica.movements.entries("mv") == {}


ACTS: list[tuple[Callable[[InventoryDocument], object], type[DocumentError]]] = [
    (lambda inventory: inventory.sell("hat", 1, at="A"), UnknownProduct),
    (lambda inventory: inventory.sell(85123, 1, at="A"), InvalidName),  # type: ignore[arg-type]
    (lambda inventory: inventory.sell("shirt", 1, at="C"), UnknownLocation),
    (lambda inventory: inventory.sell("shirt", 1, at=""), InvalidName),
    (lambda inventory: inventory.sell("shirt", 1, at="A", ref=""), InvalidName),
    (lambda inventory: inventory.sell("shirt", 1, at="A", ref="x" * 201), InvalidName),
    (lambda inventory: inventory.sell("shirt", 1, at="A", ref="\ud800"), InvalidName),
    (lambda inventory: inventory.sell("shirt", 1, at="A", ref=536365), InvalidName),  # type: ignore[arg-type]
    (lambda inventory: inventory.transfer("shirt", 1, source="A", to="C"), UnknownLocation),
    (lambda inventory: inventory.transfer("shirt", 1, source="C", to="A"), UnknownLocation),
    (lambda inventory: inventory.transfer("shirt", 1, source="A", to="A"), InvalidValue),
    (lambda inventory: inventory.arrive("zz.0"), InvalidName),
    (lambda inventory: inventory.arrive(7), InvalidName),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("act", "error"), ACTS)
def test_misuse_is_refused_before_anything_is_staged(
    act: Callable[[InventoryDocument], object], error: type[DocumentError]
) -> None:
    replica = shop()
    with replica.edit() as docs, pytest.raises(error):
        act(docs.inventory)
    assert replica.movements.entries("mv") == {}
    assert replica.catalog.entries("periods") == {}


def test_a_sale_is_no_shipment_that_could_arrive() -> None:
    replica = shop()
    with replica.edit() as docs:
        sale = docs.inventory.sell("shirt", 1, at="A")
        with pytest.raises(InvalidName):
            docs.inventory.arrive(sale)


def test_a_closed_period_takes_no_movement() -> None:
    replica = shop()
    replica.movements.put("meta", "closed", STAMP)
    with pytest.raises(PeriodClosed), replica.edit() as docs:
        docs.inventory.sell("shirt", 1, at="A")
    assert replica.inventory.stock_table() == {}


@pytest.mark.parametrize("where", ["catalog", "movements"])
def test_documents_of_a_later_version_take_no_movement(where: str) -> None:
    replica = shop()
    roots: DocRoots = getattr(replica, where)
    roots.put("meta", "minWriter", 2)
    with pytest.raises(SchemaTooNew), replica.edit() as docs:
        docs.inventory.sell("shirt", 1, at="A")
    assert replica.movements.entries("mv") == {}


def test_kinds_of_a_later_version_are_reported_and_not_counted() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
    replica.movements.put("mv", "zz.0", ["rent", "shirt", "A", 3, "till-9", STAMP])
    replica.movements.put("mv", "zz.1", ["rent", {"any": "layout"}])
    replica.movements.put("mv", "zz.2", ["swap", "shirt", "A", 3, "till-9", STAMP, None, {"prev": None}])
    assert replica.inventory.stock_table() == {("shirt", "A"): 10}
    assert replica.inventory.unknown_kinds() == {"rent": 2, "swap": 1}
    assert replica.inventory.faults() == []


FOREIGN: list[Value] = [
    "sale",
    None,
    7,
    [],
    {},
    [None, "shirt", "A", 3, "x", STAMP],
    ["sale", "shirt", "A", 3, "x"],
    ["sale", 1, "A", 3, "x", STAMP],
    ["sale", "shirt", None, 3, "x", STAMP],
    ["sale", "shirt", "A", 3, 4, STAMP],
    ["sale", "shirt", "A", "3", "x", STAMP],
    ["sale", "shirt", "A", True, "x", STAMP],
    ["sale", "shirt", "A", 3.5, "x", STAMP],
    ["sale", "shirt", "A", 1e300, "x", STAMP],
    ["sale", "shirt", "A", -3, "x", STAMP],
    ["rcv", "shirt", "A", 0, "x", STAMP],
    ["sale", "shirt", "A", 3, "x", None],
    ["sale", "shirt", "A", 3, "x", -1],
    ["sale", "shirt", "A", 3, "x", STAMP, 8],
    ["sale", "shirt", "A", 3, "x", STAMP, None, "ext"],
    ["recv", "shirt", "A", 3, "x", STAMP],
    ["rel", "shirt", "A", 3, "x", STAMP],
    ["hold", "shirt", "A", -3, "x", STAMP],
    ["xfer", "shirt", "A", 3, "x", STAMP],
    ["xfer", "shirt", "A", 3, "x", STAMP, None, {"to": 4}],
    ["xfer", "shirt", "A", 3, "x", STAMP, None, {"to": "y", "from": 4}],
    ["cnt", "shirt", "A", 3, "x", STAMP],
    ["cnt", "shirt", "A", 3, "x", STAMP, None, {"counted": 2.5}],
    ["cnt", "shirt", "A", 3, "x", STAMP, None, {"counted": 2, "prev": 7}],
]


def test_what_a_foreign_page_wrote_wrong_is_skipped_and_reported() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 10, at="A")
    for number, value in enumerate(FOREIGN):
        replica.movements.put("mv", f"foreign.{number}", value)
    replica.movements.put("mv", "no id", ["sale", "shirt", "A", 3, "x", STAMP])
    assert replica.inventory.stock_table() == {("shirt", "A"): 10}
    assert len(list(replica.inventory.movements())) == 1
    assert [fault.key for fault in replica.inventory.faults()] == sorted(
        [f"foreign.{number}" for number in range(len(FOREIGN))] + ["no id"]
    )


def test_what_later_versions_append_to_an_entry_does_not_hide_it() -> None:
    replica = shop()
    replica.movements.put("mv", "zz.0", ["rcv", "shirt", "A", 3, "x", STAMP, None, None, "more", 9])
    replica.movements.put("mv", "zz.1", ["rcv", "shirt", "A", 3.0, "x", float(STAMP), None, {"new": 1}])
    assert replica.inventory.stock("shirt", "A") == 6
    assert [movement.ext for movement in replica.inventory.movements()] == [{}, {"new": 1}]


def test_of_several_arrivals_of_one_shipment_the_one_with_the_smallest_id_counts() -> None:
    replica = shop()
    for mid, quantity in (("zz.5", 5), ("zz.1", 1), ("zz.10", 10), ("zz.3", 3)):
        replica.movements.put("mv", mid, ["recv", "shirt", "B", quantity, "x", STAMP, "yy.0"])
    assert replica.inventory.stock_table() == {("shirt", "B"): 1}


def test_movements_of_what_is_not_in_the_catalog_count_and_are_listed() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 1, at="A")
    replica.movements.put("mv", "zz.0", ["rcv", "hat", "A", 3, "x", STAMP])
    replica.movements.put("mv", "zz.1", ["rcv", "shirt", "C", 4, "x", STAMP])
    assert replica.inventory.orphans() == {("hat", "A"): 3, ("shirt", "C"): 4}


def test_a_movement_from_a_clock_that_runs_ahead_counts_and_is_reported() -> None:
    replica = shop()
    replica.movements.put("mv", "zz.0", ["rcv", "shirt", "A", 3, "x", STAMP + 61_000 * 4096])
    assert replica.inventory.stock("shirt", "A") == 3
    assert [fault.key for fault in replica.inventory.faults()] == ["zz.0"]
