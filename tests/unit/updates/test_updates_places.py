"""Places that no honest client writes to, and what is said of a key whose elements can't be put in order."""

from __future__ import annotations

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.wire import text, uint
from crdt_sync.updates.chains import SEGMENTS_MAX, Chains, Link
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import write_entries, write_over
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.places import DEPTH_MAX, NOWHERE, PlaceIndex, Spot, Trace
from crdt_sync.values import Id

ALLOWED, FORBIDDEN = (1, 0), (2, 0)
LOG = [write_entries(1, 0, "mine", {"a": 1}), write_entries(2, 0, "theirs", {"b": 1})]


def raw(client: int, *structs: bytes) -> bytes:
    return b"".join((uint(1), uint(len(structs)), uint(client), uint(0), *structs, uint(0)))


def between(origin: Id, right: Id) -> bytes:
    return b"\xc8" + b"".join(map(uint, (*origin, *right))) + b"\x01\x7e"


def index_of(*updates: bytes) -> PlaceIndex:
    return PlaceIndex.of_log(updates)


def traced(index: PlaceIndex, known: list[bytes], update: bytes) -> list[Spot | None]:
    ledger = Ledger()
    for one in known:
        fresh = judge(decode_update(one), ledger, DEFAULT_LIMITS).fresh
        assert fresh is not None
        ledger.admit(fresh)
    decoded = decode_update(update)
    return [one.spot for one in Trace(index, decoded, judge(decoded, ledger, DEFAULT_LIMITS).runs).writes]


def test_P29_neighbours_in_two_places_give_no_place() -> None:
    for origin, right in ((ALLOWED, FORBIDDEN), (FORBIDDEN, ALLOWED)):
        update = raw(3, between(origin, right))
        assert traced(index_of(*LOG), LOG, update) == [None]
        index = index_of(*LOG, update)
        assert index.spot_of((3, 0)) is None
        # Nor does what is put behind it.
        assert index_of(*LOG, update, write_over(4, 0, [((3, 0), 1)])).spot_of((4, 0)) is None


def test_P29_what_is_collected_is_nowhere_and_so_is_nothing_behind_it() -> None:
    collected = raw(3, b"\x00\x02")
    index = index_of(*LOG, collected)
    assert index.spot_of((3, 1)) is NOWHERE
    behind = write_over(4, 0, [((3, 1), 1)])
    beside = raw(4, between((3, 1), FORBIDDEN))
    within = raw(4, b"\x28" + uint(0) + uint(3) + uint(0) + text("a") + b"\x01\x7e")
    assert [traced(index, [*LOG, collected], update) for update in (behind, beside)] == [[None], [None]]
    (spot,) = traced(index, [*LOG, collected], within)
    assert Trace(index, decode_update(b"\x00\x00"), ()).path(spot) is None


def test_P29_a_type_that_is_nested_too_deep_has_no_path() -> None:
    structs = [b"\x27" + uint(1) + text("m") + text("k") + uint(1)]
    structs += [b"\x27" + uint(0) + uint(9) + uint(clock) + text("k") + uint(1) for clock in range(DEPTH_MAX)]
    index = index_of(raw(9, *structs))
    trace = Trace(index, decode_update(b"\x00\x00"), ())
    assert trace.path(index.spot_of((9, DEPTH_MAX - 1))) == ("m", *["k"] * DEPTH_MAX)
    assert trace.path(index.spot_of((9, DEPTH_MAX))) is None


def chained(*links: Link) -> Chains:
    chains = Chains()
    chains.open()
    for link in links:
        chains.add(0, link)
    return chains


def test_P29_the_greater_of_two_that_follow_one_element_counts() -> None:
    first, low, high = Link(5, 0, 0, None, None), Link(6, 0, 0, (5, 0), None), Link(9, 0, 3, (5, 0), None)
    assert chained(first, low, high).winner(0) == chained(first, high, low).winner(0) == (9, 3)
    # Who followed the smaller one comes before the greater one, however great it is itself.
    assert chained(first, low, high, Link(100, 0, 0, (6, 0), None)).winner(0) == (9, 3)
    assert chained(first, low, high, Link(1, 0, 0, (9, 3), None)).winner(0) == (1, 0)
    assert chained(first).winner(0, [high]) == (9, 3)
    assert chained(first).winner(0) == (5, 0)


def test_P29_what_nobody_can_put_in_order_has_no_winner() -> None:
    first = Link(5, 0, 0, None, None)
    assert chained().winner(0) is None
    assert chained(first, Link(6, 0, 0, (5, 0), (5, 0))).winner(0) is None
    assert chained(Link(6, 0, 0, None, (5, 0)), first).winner(0) is None
    assert chained(first, Link(5, 1, 1, None, None)).winner(0) is None
    assert chained(first, Link(5, 1, 1, (5, 0), None), Link(5, 2, 2, (5, 0), None)).winner(0) is None


def test_P29_a_key_that_many_write_in_turn_is_followed_from_its_last_element() -> None:
    links = [Link(1, 0, 0, None, None)]
    for turn in range(1, 3 * SEGMENTS_MAX):
        before = links[-1]
        links.append(Link(1 + turn % 2, turn, turn, (before.client, before.last), None))
    chains = chained(*links)
    assert chains.winner(0) == (links[-1].client, links[-1].last)
    # Somebody who was away all the time may stand behind all of them, or before.
    chains.add(0, Link(9, 0, 0, (1, 0), None))
    assert chains.winner(0) is None


def test_P29_a_run_that_has_grown_goes_on_where_it_was() -> None:
    key = b"\x28" + uint(1) + text("m") + text("k")
    index = index_of(raw(9, key + b"\x01\x7e"), raw(9, key + b"\x02\x7e\x7e"))
    assert index.spot_of((9, 1)) == Spot("m", "k")
    assert index.winner(Spot("m", "k")) == (9, 1)
