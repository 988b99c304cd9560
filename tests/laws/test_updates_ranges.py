"""Ranges behave as a set of clocks; ledgers come back from their bytes as they were."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.ranges import Range, Ranges

ranges = st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda pair: (pair[0], sum(pair)))
lists = st.lists(ranges, max_size=12)
ids = st.integers(0, 2**53 - 1)


def clocks(of: list[Range]) -> set[int]:
    return {clock for start, end in of for clock in range(start, end)}


def is_canonical(of: list[Range]) -> bool:
    return all(start < end for start, end in of) and all(a[1] < b[0] for a, b in pairwise(of))


@given(lists, lists)
def test_adding_ranges_is_the_union_of_their_clocks(first: list[Range], then: list[Range]) -> None:
    one_by_one, at_once = Ranges(first), Ranges(first)
    for start, end in then:
        one_by_one.add(start, end)
    at_once.update(then)
    assert clocks(list(one_by_one)) == clocks(first) | clocks(then)
    assert is_canonical(list(one_by_one))
    assert one_by_one == at_once == Ranges([*then, *first])
    assert len(at_once) == len(list(at_once))


@given(st.lists(ranges, min_size=101, max_size=130), lists)
def test_many_ranges_at_once_give_the_same_as_one_by_one(many: list[Range], before: list[Range]) -> None:
    at_once, one_by_one = Ranges(before), Ranges(before)
    at_once.update(many)
    for start, end in many:
        one_by_one.add(start, end)
    assert at_once == one_by_one


@given(lists, ranges)
def test_what_is_missing_is_the_difference(known: list[Range], wanted: Range) -> None:
    missing = list(Ranges(known).missing(*wanted))
    assert clocks(missing) == clocks([wanted]) - clocks(known)
    assert is_canonical(missing)


@given(st.dictionaries(ids, st.integers(0, 2**31 - 1), max_size=5), st.dictionaries(ids, st.lists(ranges, min_size=1)))
def test_a_ledger_comes_back_from_its_bytes(state: dict[int, int], deleted: dict[int, list[Range]]) -> None:
    ledger = Ledger()
    ledger.clocks.update(state)
    ledger.deleted.update({client: Ranges(of) for client, of in deleted.items()})
    assert Ledger.decode(ledger.encode()) == ledger


def test_a_ledger_of_more_clients_than_any_limit_can_still_be_read() -> None:
    ledger = Ledger()
    ledger.deleted.update({client: Ranges([(0, 1)]) for client in range(10_001)})
    ledger.clocks.update(dict.fromkeys(range(10_001), 1))
    assert Ledger.decode(ledger.encode()) == ledger
