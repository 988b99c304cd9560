"""Rights by demand through the facade: who asks, who answers how much, what lapses and what is reclaimed."""

from __future__ import annotations

import pytest

from crdt_sync.documents.stock.allotment import DAY_MS
from crdt_sync.documents.stock.escrow import Rights
from crdt_sync.errors import InsufficientRights, PeriodsMissing, QuantityOutOfRange, UnknownProduct
from tests.unit.documents.replicas import NOW_MS, Replica, shop

STAMP = 889_500_467_200_000


def tills(*names: str, stock: int = 20, keep: int | None = None) -> list[Replica]:
    """Tills with one catalog, A under escrow; the first has all the rights."""
    one = shop(names[0])
    with one.edit() as docs:
        docs.inventory.set_location_attribute("A", "escrow", "refuse")
        docs.inventory.receive("shirt", stock, at="A")
        if keep is not None:
            docs.inventory.set_rule("rights/keep", keep)
    return [one, *(Replica(name, catalog=one.catalog, movements=one.movements) for name in names[1:])]


def ask(till: Replica, units: int) -> str:
    with till.edit() as docs:
        return docs.inventory.request("shirt", units, at="A")


def answer(till: Replica) -> list[str]:
    with till.edit() as docs:
        return docs.inventory.answer_requests()


def of(till: Replica) -> dict[str, int]:
    return dict(till.inventory.rights("shirt", "A").of)


def test_a_request_is_answered_and_the_answer_names_it() -> None:
    one, two = tills("till-1", "till-2")
    with two.edit() as docs:
        with pytest.raises(InsufficientRights):
            docs.inventory.sell("shirt", 3, at="A")
        asked = docs.inventory.request("shirt", 3, at="A", ref="basket 7")
    (request,) = one.inventory.requests()
    assert (request.mid, request.cell, request.rid, request.quantity) == (asked, ("shirt", "A"), "till-2", 3)
    assert (request.missing, request.answers) == (3, {})
    (answered,) = answer(one)
    handed = two.inventory.find(answered)
    assert handed is not None
    assert (handed.kind, handed.quantity, handed.ref, handed.ext) == ("xfer", 3, asked, {"to": "till-2"})
    assert two.inventory.requests() == []
    assert answer(one) == answer(two) == []
    with two.edit() as docs:
        docs.inventory.sell("shirt", 3, at="A")
    assert two.inventory.rights("shirt", "A") == Rights({"till-1": 17}, 0)
    assert (two.inventory.stock("shirt", "A"), two.inventory.faults()) == (17, [])


def test_a_request_moves_no_stock_and_no_rights() -> None:
    one, two = tills("till-1", "till-2")
    ask(two, 3)
    assert one.inventory.stock("shirt", "A") == 20
    assert of(one) == {"till-1": 20}
    assert one.inventory.unknown_kinds() == {}


def test_nobody_goes_below_what_it_keeps_however_often_it_is_asked() -> None:
    one, two = tills("till-1", "till-2", stock=10, keep=30)
    ask(two, 50)
    for _ in range(5):
        answer(one)
    assert of(one) == {"till-1": 3, "till-2": 7}
    assert one.inventory.requests()[0].missing == 43
    assert one.inventory.requests()[0].answers == {"till-1": 7}


@pytest.mark.parametrize(("keep", "left"), [(0, 0), (50, 5), (99, 9), (100, 9)])
def test_the_rule_says_how_much_is_kept(keep: int, left: int) -> None:
    one, two = tills("till-1", "till-2", stock=9, keep=keep)
    ask(two, 50)
    answer(one)
    assert of(one).get("till-1", 0) == left


def test_the_oldest_request_is_answered_first() -> None:
    one, two, three = tills("till-1", "till-2", "till-3", stock=10)
    ask(two, 4)
    three.clock.receive(two.clock.latest, NOW_MS)
    ask(three, 4)
    answer(one)
    assert of(one) == {"till-1": 5, "till-2": 4, "till-3": 1}


def test_a_later_request_takes_the_place_of_an_earlier_one() -> None:
    one, two = tills("till-1", "till-2")
    ask(two, 9)
    ask(two, 2)
    assert [request.quantity for request in one.inventory.requests()] == [2]
    answer(one)
    assert of(one) == {"till-1": 18, "till-2": 2}


def test_several_that_hear_of_one_request_share_it() -> None:
    one, two, three, four = tills("till-1", "till-2", "till-3", "till-4", stock=30)
    with one.edit() as docs:
        docs.inventory.give("shirt", 10, at="A", to="till-2")
        docs.inventory.give("shirt", 10, at="A", to="till-3")
    for till in (two, three):
        with till.edit() as docs:
            docs.inventory.sell("shirt", 1, at="A")
            docs.inventory.receive("shirt", 1, at="A")
    ask(four, 7)
    # Each decides on what it knew before the others had answered.
    copies = []
    for till in (one, two, three):
        copy = Replica(till.rid, catalog=till.catalog)
        copy.movements.pull(till.movements)
        copies.append(copy)
    for copy in copies:
        answer(copy)
    for copy in copies:
        one.movements.pull(copy.movements)
    assert of(one) == {"till-1": 7, "till-2": 8, "till-3": 8, "till-4": 7}


def test_who_asks_for_more_itself_gives_nothing() -> None:
    one, two, three = tills("till-1", "till-2", "till-3")
    with one.edit() as docs:
        docs.inventory.give("shirt", 10, at="A", to="till-2")
    ask(two, 1)
    ask(three, 1)
    assert answer(two) == []


def test_the_pool_of_the_relay_keeps_nothing_and_gives_first() -> None:
    one, two, relay = tills("till-1", "till-2", "relay", stock=10)
    with one.edit() as docs:
        docs.inventory.give("shirt", 4, at="A", to="relay")
    ask(two, 5)
    answer(relay)
    assert of(one) == {"till-1": 6, "till-2": 4}
    answer(one)
    assert of(one) == {"till-1": 5, "till-2": 5}


def test_requests_are_filtered_and_bad_ones_are_refused() -> None:
    one, two = tills("till-1", "till-2")
    ask(two, 3)
    assert len(one.inventory.requests(product="shirt", location="A")) == 1
    assert one.inventory.requests(product="sock") == one.inventory.requests(location="B") == []
    before = two.movements.entries("mv")
    with two.edit() as docs:
        with pytest.raises(QuantityOutOfRange):
            docs.inventory.request("shirt", 0, at="A")
        with pytest.raises(UnknownProduct):
            docs.inventory.request("hat", 1, at="A")
    assert two.movements.entries("mv") == before


def test_nothing_is_answered_on_half_the_movements_nor_without_escrow() -> None:
    one, two = tills("till-1", "till-2")
    ask(two, 3)
    with one.edit() as docs:
        docs.inventory.set_location_attribute("A", "escrow", "off")
    assert answer(one) == []
    with one.edit() as docs:
        docs.inventory.set_location_attribute("A", "escrow", "refuse")
    one.catalog.put("periods", "2026-10", 1)
    with one.edit() as docs, pytest.raises(PeriodsMissing):
        docs.inventory.answer_requests()


def test_rights_lapse_after_days_of_silence_and_go_to_the_pool() -> None:
    one, two, relay = tills("till-1", "till-2", "relay", stock=10)
    with one.edit() as docs:
        docs.inventory.give("shirt", 4, at="A", to="till-2")
    assert relay.inventory.lapsed() == []
    with relay.edit() as docs:
        docs.inventory.set_rule("rights/lapse", 30)
    assert relay.inventory.lapsed() == []
    later = Replica("relay", now_ms=lambda: NOW_MS + 31 * DAY_MS, catalog=one.catalog, movements=one.movements)
    # Of till-2 nobody knows when it wrote last: it never did, so nobody says that it is gone.
    (lapse,) = later.inventory.lapsed()
    assert (lapse.sku, lapse.location, lapse.rid, lapse.units) == ("shirt", "A", "till-1", 6)
    assert lapse.seen_ms == NOW_MS
    with later.edit() as docs:
        docs.inventory.reclaim_lapsed()
        assert docs.inventory.lapsed() == []
    assert of(two) == {"relay": 6, "till-2": 4}


def test_a_signed_edit_is_a_sign_of_life() -> None:
    one, _ = tills("till-1", "till-2")
    with one.edit() as docs:
        docs.inventory.set_rule("rights/lapse", 30)
    later = Replica("relay", now_ms=lambda: NOW_MS + 31 * DAY_MS, catalog=one.catalog, movements=one.movements)
    assert len(later.inventory.lapsed()) == 1
    one.catalog.put("edits", "7.7", ["till-1", STAMP + 20 * DAY_MS * 4096])
    assert later.inventory.lapsed() == []


def test_rights_that_nobody_has_go_to_the_pool() -> None:
    one, relay = tills("till-1", "relay", stock=10)
    with one.edit() as docs:
        docs.inventory.count("shirt", 13, at="A")
    assert relay.inventory.rights("shirt", "A").unassigned == 3
    with relay.edit() as docs:
        docs.inventory.reclaim_unassigned()
        assert docs.inventory.reclaim_unassigned() == []
    assert relay.inventory.rights("shirt", "A") == Rights({"relay": 3, "till-1": 10}, 0)
