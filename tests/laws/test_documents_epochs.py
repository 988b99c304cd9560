"""A new epoch shows what the old one did, and what a peer adds to it from the old one is never hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt_sync.documents import epochs
from crdt_sync.documents.catalog.audit_trail import RESOLUTIONS
from crdt_sync.documents.catalog.conflicts import Conflict, open_conflicts
from crdt_sync.documents.catalog.siblings import EDITS, VAULT
from crdt_sync.documents.epochs import CarriedOver, Leftover, carried_over, whole_numbers
from crdt_sync.documents.schema import ATTRIBUTES, META, MOVEMENTS, PERIODS
from crdt_sync.errors import WrongKind
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer.leftovers import leftovers_of
from crdt_sync.peer.local_document import ACKED
from crdt_sync.replica import Replica, Write, replay
from crdt_sync.stores.update_log import Loaded, Record
from server.commands.renewal import begun_anew

NOW_MS = 1_793_491_200_000
KEYS = ["tea/$life", "tea/price", "tea/note", "milk/price", "@shop/escrow"]
VALUES = st.one_of(st.integers(0, 3), st.none(), st.sampled_from(["active", "a", True, 1.5, ["x", 2]]))
ENTRIES = st.one_of(
    st.tuples(st.just(ATTRIBUTES), st.sampled_from(KEYS), VALUES),
    st.tuples(st.just(PERIODS), st.sampled_from(["2026-11", "2026-12"]), st.just(1)),
    st.tuples(st.just("rules"), st.sampled_from(["merge/price", "rights/keep"]), st.sampled_from(["max", "min"])),
)
EDIT = st.lists(ENTRIES, min_size=1, max_size=3, unique_by=lambda entry: entry[:2])
STEPS = st.lists(st.tuples(st.integers(0, 2), st.one_of(EDIT, st.none())), max_size=14)
"""A replica writes, or, where there is nothing to write, gets what the next one has."""

Shown: TypeAlias = tuple[Mapping[str, Any], Mapping[str, Sequence[str]]]


def watching() -> Replica:
    replica = Replica()
    replica.watch((ATTRIBUTES,))
    return replica


def signed(replica: Replica, entries: Sequence[tuple[str, str, Any]], name: str) -> bytes:
    dot = f"{replica.client_id}.{replica.state.get(replica.client_id, 0)}"
    update = replica.write([Write(EDITS, dot, [name, 7]), *(Write(*entry) for entry in entries)])
    assert update is not None
    return update


def grown(steps: Sequence[tuple[int, Any]]) -> list[bytes]:
    """The log of a relay that three replicas have brought everything to."""
    replicas = [watching() for _ in range(3)]
    log: list[bytes] = []
    held = [0, 0, 0]
    for number, entries in steps:
        if entries is not None:
            log.append(signed(replicas[number], entries, f"till-{number}"))
        else:
            for update in log[held[number] :]:
                replicas[number].merge(update)
            held[number] = len(log)
    return log


def loaded(log: Sequence[bytes], *, author: str = "", acked: int = 0) -> Loaded:
    return Loaded(tail=tuple(Record(update, author) for update in log), marks={ACKED: acked})


def shown(replica: Replica) -> Shown:
    def never(conflict: Conflict, accept: str | None, value: object, merge: str | None, base: object) -> None:
        raise AssertionError

    alive = {
        f"{root}/{key}": repr(value)
        for root in (ATTRIBUTES, PERIODS, "rules", MOVEMENTS)
        for key in replica.keys(root)
        if (value := whole_numbers(replica.get(root, key))) is not None
    }
    conflicts = {
        conflict.key: sorted(repr((sibling.value, sibling.device)) for sibling in conflict.siblings)
        for conflict in open_conflicts(replica, replica, never)
    }
    return alive, conflicts


def renewed(log: Sequence[bytes], epoch: int = 2) -> Replica:
    renewal = begun_anew(loaded(log), epoch, DEFAULT_LIMITS, NOW_MS)
    return replay(renewal.updates, onto=watching())


@settings(max_examples=50, deadline=None)
@given(steps=STEPS)
def test_a_new_epoch_shows_the_values_and_the_open_conflicts_of_the_old_one(steps: list[tuple[int, Any]]) -> None:
    log = grown(steps)
    old, new = replay(log, onto=watching()), renewed(log)
    assert shown(new) == shown(old)
    assert whole_numbers(new.get(META, "epoch")) == 2
    assert len(new.state) <= 1


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_an_epoch_of_an_epoch_shows_the_same_again(steps: list[tuple[int, Any]]) -> None:
    log = grown(steps)
    second = begun_anew(loaded(log), 2, DEFAULT_LIMITS, NOW_MS)
    third = begun_anew(loaded(second.updates), 3, DEFAULT_LIMITS, NOW_MS)
    assert shown(replay(third.updates, onto=watching())) == shown(replay(log, onto=watching()))
    assert third.entries <= second.entries


Carrying: TypeAlias = Callable[..., CarriedOver]


def check_carrying(steps: Sequence[tuple[int, Any]], late: Sequence[Any], later: Sequence[Any]) -> None:
    """A peer has all that the relay had, edits on, and meets a new epoch in which somebody else has edited, too."""
    log = grown(steps)
    heir = renewed(log)
    begun, _ = shown(heir)
    for entries in later:
        signed(heir, entries, "other")
    peer = replay(log, onto=watching())
    own = [signed(peer, entries, "till-9") for entries in late]
    records = (*(Record(update) for update in log), *(Record(update, "till-9") for update in own))
    left = leftovers_of(Loaded(tail=records, marks={ACKED: len(log)}), DEFAULT_LIMITS)
    before, conflicts_before = shown(heir)
    carried = epochs.carried_over(left, heir, rid="till-9")
    if carried.entries:
        signed(heir, carried.entries, "till-9")
    after, conflicts = shown(heir)
    ours = {(root, key): value for entries in late for root, key, value in entries}
    theirs = {f"{root}/{key}" for entries in later for root, key, _ in entries}
    for (root, key), value in ours.items():
        place = f"{root}/{key}"
        if after.get(place) == repr(value) or (value is None and place not in after) or root != ATTRIBUTES:
            continue
        assert any(repr((value, "till-9")) == sibling for sibling in conflicts.get(key, ())), (key, value, conflicts)
    # What somebody else has written in the new epoch is not overwritten.
    for place in theirs:
        assert after.get(place) == before.get(place) or before.get(place) == begun.get(place), place
    assert conflicts_before.keys() <= conflicts.keys() | {key for _, key in ours}


@settings(max_examples=50, deadline=None)
@given(steps=STEPS, late=st.lists(EDIT, max_size=3), later=st.lists(EDIT, max_size=2))
def test_what_a_peer_adds_from_the_old_epoch_is_shown_and_overwrites_nobody(
    steps: list[tuple[int, Any]], late: list[Any], later: list[Any]
) -> None:
    check_carrying(steps, late, later)


RICH = ([(0, [(ATTRIBUTES, "tea/price", 1)])], [[(ATTRIBUTES, "tea/price", 2)]], [[(ATTRIBUTES, "tea/price", 3)]])


def overwrites(left: Sequence[Leftover], heir: Replica, *, rid: str) -> CarriedOver:
    return CarriedOver([(one.root, one.key, one.value) for one in left if one.root == ATTRIBUTES])


def gives_up(left: Sequence[Leftover], heir: Replica, *, rid: str) -> CarriedOver:
    carried = carried_over(left, heir, rid=rid)
    carried.entries = [entry for entry in carried.entries if entry[0] != VAULT]
    return carried


@pytest.mark.parametrize("mutant", [overwrites, gives_up])
def test_the_law_of_carrying_over_kills_one_who(mutant: Carrying, monkeypatch: pytest.MonkeyPatch) -> None:
    check_carrying(*RICH)
    monkeypatch.setattr(epochs, "carried_over", mutant)
    with pytest.raises(AssertionError):
        check_carrying(*RICH)


def test_movements_that_no_relay_had_keep_their_ids_and_rows() -> None:
    relay = Replica()
    first = signed(relay, [(MOVEMENTS, "a.0", ["rcv", "tea", "shop", 10, "till-1", 5])], "till-1")
    peer = replay([first])
    row = ["sale", "tea", "shop", 3, "till-9", 6, "invoice 7", {"to": "x"}]
    own = signed(peer, [(MOVEMENTS, "b.0", row)], "till-9")
    records = (Record(first), Record(own, "till-9"))
    left = leftovers_of(Loaded(tail=records, marks={ACKED: 1}), DEFAULT_LIMITS)
    heir = renewed([first])
    carried = carried_over(left, heir, rid="till-9")
    assert carried.entries == [(MOVEMENTS, "b.0", row)]
    signed(heir, carried.entries, "till-9")
    again = carried_over(left, heir, rid="till-9")
    assert (again.entries, again.present, again.lost) == ([], 1, 0)


def test_a_resolution_that_no_relay_had_closes_the_conflict_in_the_next_epoch() -> None:
    log = grown([(0, [(ATTRIBUTES, "tea/price", 1)]), (1, [(ATTRIBUTES, "tea/price", 2)])])
    heir = renewed(log)
    assert shown(heir)[1]
    peer = replay(log, onto=watching())
    tips = [head.dot for head in peer.heads(ATTRIBUTES, "tea/price")]
    resolution = {"tips": tips, "how": "merge", "v": 9, "by": "till-9", "t": 8}
    own = signed(peer, [(ATTRIBUTES, "tea/price", 9), (RESOLUTIONS, "tea/price|b.8", resolution)], "till-9")
    records = (*(Record(update) for update in log), Record(own, "till-9"))
    left = leftovers_of(Loaded(tail=records, marks={ACKED: 2}), DEFAULT_LIMITS)
    signed(heir, carried_over(left, heir, rid="till-9").entries, "till-9")
    assert shown(heir) == ({"attr/tea/price": "9"}, {})


def test_nested_types_are_refused() -> None:
    from pycrdt import Doc, Map

    doc: Doc[Any] = Doc()
    doc.get(ATTRIBUTES, type=Map)["tea/price"] = Map({"amount": 1})
    with pytest.raises(WrongKind):
        begun_anew(loaded([doc.get_update()]), 2, DEFAULT_LIMITS, NOW_MS)


def test_a_log_in_which_nothing_waits_leaves_nothing() -> None:
    assert leftovers_of(loaded(grown([(0, [(ATTRIBUTES, "tea/price", 1)])])), DEFAULT_LIMITS) == ()
