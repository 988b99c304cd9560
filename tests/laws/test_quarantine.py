"""P34: what is left of a history without some of its updates is exactly the rest that still has what it builds on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from crdt_sync.errors import StoreCorrupted
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import NewUpdate, StateReply
from crdt_sync.stores.update_log import Loaded, Record
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ranges import Ranges
from crdt_sync.values import Id
from server.rooms.history import History as RoomHistory
from server.rooms.quarantine import name_all, serve
from server.storage.quarantine import Fate, SetAside, Ward
from tests.laws.histories import History, content, write_history

STORED = DEFAULT_LIMITS.for_stored()
CHOICES = st.lists(st.integers(0, 24), min_size=1, max_size=4, unique=True)


def loaded_of(updates: Sequence[bytes]) -> Loaded:
    return Loaded(tail=tuple(Record(update, f"user-{number}", number) for number, update in enumerate(updates, 1)))


def ward_of(loaded: Loaded, numbers: Collection[int], ward: Ward | None = None) -> Ward:
    before = ward if ward is not None else Ward()
    named = name_all(loaded, before, {n: loaded.tail[n - 1].update for n in numbers}, "it does harm", 0, DEFAULT_LIMITS)
    return Ward(sorted([*before.kept, *named], key=lambda one: one.number), before.seq + len(named))


def served(loaded: Loaded, ward: Ward) -> RoomHistory:
    return serve(loaded, ward, DEFAULT_LIMITS, document="acme/stock")


def model(updates: Sequence[bytes], without: Collection[int]) -> tuple[set[Id], dict[int, Ranges]]:
    """The elements that are left, found one by one and again and again, and what is deleted of them."""
    decoded = [decode_update(update, STORED) for number, update in enumerate(updates, 1) if number not in without]
    needs: dict[Id, list[Id]] = {}
    for update in decoded:
        for client, structs in update.sections:
            for struct in structs:
                for clock in range(struct.clock, struct.clock + struct.length):
                    needs[client, clock] = [(client, clock - 1)] if clock else []
                needs[client, struct.clock] += [
                    one for one in (struct.origin, struct.right, struct.parent) if isinstance(one, tuple)
                ]
    left: set[Id] = set()
    while more := {one for one, wanted in needs.items() if one not in left and left.issuperset(wanted)}:
        left |= more
    deleted: dict[int, Ranges] = {}
    for update in decoded:
        for client, ranges in update.deletes.items():
            for start, end in ranges:
                for clock in range(start, end):
                    if (client, clock) in left:
                        deleted.setdefault(client, Ranges()).add(clock, clock + 1)
    return left, deleted


def shown(history: RoomHistory) -> object:
    doc: Doc = Doc()
    for message in history.answer({}):
        assert isinstance(message, NewUpdate | StateReply)
        doc.apply_update(message.update)
    roots = (doc.get("m", type=Map), doc.get("l", type=Array), doc.get("t", type=Text))
    assert roots
    return content(doc)


def chosen(history: History, choices: Sequence[int]) -> list[int]:
    return sorted({choice % len(history.updates) + 1 for choice in choices})


@given(st.integers(0, 2**32), CHOICES)
def test_P34_a_quarantine_leaves_the_rest_that_still_has_what_it_builds_on(seed: int, choices: list[int]) -> None:
    history = write_history(Random(seed))
    numbers = chosen(history, choices)
    loaded = loaded_of(history.updates)
    found = served(loaded, ward_of(loaded, numbers))
    left, deleted = model(history.updates, numbers)
    assert {(client, clock) for client, end in found.ledger.clocks.items() for clock in range(end)} == left
    assert {client: ranges for client, ranges in found.ledger.deleted.items() if len(ranges)} == deleted
    assert found.seq == len(history.updates)
    doc: Doc = Doc()
    for update in found.tail():
        doc.apply_update(update)
    assert shown(found) == content(doc)


@given(st.integers(0, 2**32), CHOICES)
def test_P34_one_after_the_other_or_at_once_comes_to_the_same(seed: int, choices: list[int]) -> None:
    history = write_history(Random(seed))
    numbers = chosen(history, choices)
    loaded = loaded_of(history.updates)
    ward = Ward()
    for number in numbers:
        before = {one.number: one for one in ward.kept}
        if number in before:
            continue
        ward = ward_of(loaded, [number], ward)
    one_by_one, at_once = served(loaded, ward), served(loaded, ward_of(loaded, numbers))
    assert one_by_one.ledger.clocks.keys() >= at_once.ledger.clocks.keys()
    if all(number in {one.number for one in ward.kept if not one.builds_on_others} for number in numbers):
        assert one_by_one.tail() == at_once.tail()


@given(st.integers(0, 2**32), CHOICES)
def test_P34_a_page_in_good_faith_brings_nothing_of_it_back_and_is_not_in_the_way(
    seed: int, choices: list[int]
) -> None:
    history = write_history(Random(seed))
    numbers = chosen(history, choices)
    loaded = loaded_of(history.updates)
    found = served(loaded, ward_of(loaded, numbers))
    state = decode_update(history.end.doc.get_update(), STORED)
    verdict = judge(found.withheld.without(state, STORED), found.ledger, STORED, keep_ready_part=True)
    assert not verdict.gap
    assert not verdict.runs


@given(st.integers(0, 2**32), CHOICES)
def test_P34_a_hole_that_no_quarantine_explains_is_still_found(seed: int, choices: list[int]) -> None:
    history = write_history(Random(seed))
    numbers = chosen(history, choices)
    loaded = loaded_of(history.updates)
    ward = ward_of(loaded, numbers)
    unexplained = [one for one in ward.kept if one.builds_on_others]
    for one in unexplained:
        rest = Ward([other for other in ward.kept if other is not one])
        try:
            served(loaded, rest)
        except StoreCorrupted:
            continue
        raise AssertionError(f"number {one.number} was taken as it stands")


def test_P34_another_record_of_the_same_number_is_served() -> None:
    history = write_history(Random(3))
    loaded = loaded_of(history.updates)
    ward = ward_of(loaded, [1])
    others = loaded_of(write_history(Random(4)).updates)
    assert served(others, ward).tail() == [record.update for record in others.tail]


def test_P34_what_was_restored_may_come_again_and_its_old_place_stays_empty() -> None:
    history = write_history(Random(5))
    loaded = loaded_of(history.updates)
    ward = ward_of(loaded, [1])
    back = Ward([_with(one, Fate.RESTORED) for one in ward.kept], ward.seq + 1)
    found = served(loaded, back)
    assert found.tail()[0] == b"\x00\x00"
    assert not found.withheld


def _with(one: SetAside, fate: Fate) -> SetAside:
    from dataclasses import replace

    return replace(one, fate=fate)
