"""I6, the bytes' half: a key has several heads if and only if two of its writes were concurrent."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import pytest
from pycrdt import Doc, Map

from crdt_sync.updates import forks
from crdt_sync.updates.content import GONE
from crdt_sync.updates.decode import Deletes, Struct, decode_update
from crdt_sync.updates.forks import ForkIndex
from tests.laws.key_histories import (
    KEYS,
    ROOT,
    KeyHistory,
    Listener,
    Page,
    contradictions,
    false_bases,
    same_heads,
    write_key_history,
)

HISTORIES = int(os.environ.get("CRDT_SYNC_HISTORIES", "300"))


@pytest.fixture(scope="module")
def histories() -> list[KeyHistory]:
    return [write_key_history(Random(seed)) for seed in range(HISTORIES)]


def test_I6_several_heads_if_and_only_if_two_writes_were_concurrent(histories: list[KeyHistory]) -> None:
    forked = 0
    for seed, history in enumerate(histories):
        index = Listener().hear_all(history.updates).index
        assert contradictions(history, index) == [], f"seed {seed}"
        heads = [head for key in history.keys for head in index.heads(ROOT, key)]
        assert {head.dot for head in heads if not head.is_known} <= history.stillborn, f"seed {seed}"
        forked += len(index.forked(ROOT))
    assert forked > HISTORIES / 2, "the histories reach what they are about"


def test_I6_a_collected_state_has_the_same_heads(histories: list[KeyHistory]) -> None:
    collected = 0
    for seed, history in enumerate(histories):
        live = Listener().hear_all(history.updates).index
        for state in history.states:
            rebuilt = ForkIndex.of_state([ROOT], state)
            assert same_heads(history.keys, live, rebuilt), f"seed {seed}"
            assert contradictions(history, rebuilt) == [], f"seed {seed}"
            collected += sum(not head.is_known for heads in rebuilt.forked(ROOT).values() for head in heads)
    assert collected, "what lost was collected, so that its value is not known any more"


def test_I6_shuffled_and_repeated_deliveries_that_are_healed_by_a_state_give_the_same_heads(
    histories: list[KeyHistory],
) -> None:
    gaps = 0
    for seed, history in enumerate(histories):
        random = Random(seed)
        live = Listener().hear_all(history.updates).index
        listener = Listener()
        arriving = history.updates * 2
        random.shuffle(arriving)
        for raw in arriving:
            if not listener.hear(raw):
                gaps += 1
                if random.random() < 0.2:
                    listener.hear(random.choice(history.states), whole_state=True)
        listener.hear(history.states[0], whole_state=True)
        assert same_heads(history.keys, live, listener.index), f"seed {seed}"
        assert contradictions(history, listener.index) == [], f"seed {seed}"
    assert gaps


def test_I6_the_base_of_a_head_is_what_its_writer_saw(histories: list[KeyHistory]) -> None:
    known = unknown = forked = 0
    for seed, history in enumerate(histories):
        index = Listener().hear_all(history.updates).index
        assert false_bases(history, index) == [], f"seed {seed}"
        saw = {(write.key, write.dot): write.saw for write in history.writes}
        for key in history.keys:
            heads = index.heads(ROOT, key)
            known += sum(head.base is not None for head in heads)
            unknown += sum(head.base is None and saw[key, head.dot] is not GONE for head in heads)
            forked += len(heads) > 1 and all(head.base is not None for head in heads)
        for state in history.states:
            assert false_bases(history, ForkIndex.of_state([ROOT], state)) == [], f"seed {seed}"
    # Not known is what a transaction wrote and overwrote itself, and what was overwritten twice before the other came.
    assert known > 3 * unknown
    assert forked > HISTORIES / 10


@pytest.mark.parametrize("is_collecting", [True, False])
def test_I6_who_comes_late_still_shares_the_base_of_the_one_before(is_collecting: bool) -> None:
    docs: list[Doc[Map[str]]] = [Doc(client_id=client, skip_gc=not is_collecting) for client in (1, 2, 3)]
    till, office, page = docs
    till.get(ROOT, type=Map)[KEYS[0]] = "b"
    for other in (office, page):
        other.apply_update(till.get_update())
    office.get(ROOT, type=Map)[KEYS[0]] = "w1"
    page.get(ROOT, type=Map)[KEYS[0]] = "w2"
    listener = Listener().hear_all([till.get_update()])
    for raw in (office.get_update(), page.get_update()):
        listener.hear(raw)
    assert [(head.value(), head.base_value()) for head in listener.index.heads(ROOT, KEYS[0])] == [
        ("w1", "b"),
        ("w2", "b"),
    ]
    page.get(ROOT, type=Map)[KEYS[0]] = "w3"
    listener.hear(page.get_update())
    assert [(head.value(), head.base_value()) for head in listener.index.heads(ROOT, KEYS[0])] == [
        ("w1", "b"),
        ("w3", "w2"),
    ]


def test_I6_a_base_is_the_value_before_the_last_one_of_a_run() -> None:
    # As a page without collection sends three writes of its own that it has deleted: one struct.
    run = bytes([1, 1, 5, 0, 0x28, 1, 4, *ROOT.encode(), 1, *b"k", 3, 119, 1, *b"a", 119, 1, *b"b", 119, 1, *b"c", 0])
    [head] = Listener().hear_all([run]).index.heads(ROOT, "k")
    assert (head.dot, head.value(), head.base_value()) == ("5.2", "c", "b")


def test_I6_feeding_twice_is_feeding_once(histories: list[KeyHistory]) -> None:
    for history in histories[:50]:
        once = Listener().hear_all(history.updates)
        again = Listener(lambda once=once: once.index).hear_all(history.updates)  # type: ignore[misc]
        assert same_heads(history.keys, Listener().hear_all(history.updates).index, again.index)


class EveryOverwriteForks(ForkIndex):
    def _enter(self, raw: bytes, client: int, struct: Struct, number: int) -> forks._Element | None:
        return super()._enter(raw, client, struct._replace(origin=None), number)


class OneElementARun(ForkIndex):
    def _enter(self, raw: bytes, client: int, struct: Struct, number: int) -> forks._Element | None:
        return super()._enter(raw, client, struct._replace(length=1), number)


class LastOneWins(ForkIndex):
    def _enter(self, raw: bytes, client: int, struct: Struct, number: int) -> forks._Element | None:
        only = self._registers[number].only
        origin = struct.origin if only is None else (only.client, only.clock)
        return super()._enter(raw, client, struct._replace(origin=origin), number)


class TheBaseIsTheLastHead(ForkIndex):
    def _enter(self, raw: bytes, client: int, struct: Struct, number: int) -> forks._Element | None:
        register = self._registers[number]
        before = register.only or (max(register.heads.values()).element if register.heads else None)
        element = super()._enter(raw, client, struct, number)
        if element is not None and register.only is None:
            register.heads[element[:2]] = register.heads[element[:2]]._replace(base=before)
        return element


class ADeleteIsNoReason(ForkIndex):
    def _note_deletes(self, deletes: Deletes) -> None:
        """Whoever writes next is thought to have seen the value."""


class FollowersOfTheLostAreForgotten(ForkIndex):
    def _number(self, struct: Struct) -> int:
        number = super()._number(struct)
        if struct.parent is None and number >= 0 and self._registers[number].only is None:
            heads = self._registers[number].heads
            return number if struct.origin == max(heads) else -1
        return number


@pytest.mark.parametrize("mutant", [EveryOverwriteForks, OneElementARun, LastOneWins, FollowersOfTheLostAreForgotten])
def test_I6_kills(mutant: Callable[[list[str]], ForkIndex]) -> None:
    def is_killed(history: KeyHistory) -> bool:
        live = Listener(lambda: mutant([ROOT])).hear_all(history.updates).index
        rebuilt = Listener(lambda: mutant([ROOT])).hear_all(history.states[:1]).index
        return any(contradictions(history, index) for index in (live, rebuilt))

    assert any(is_killed(write_key_history(Random(seed))) for seed in range(50))


@pytest.mark.parametrize("mutant", [TheBaseIsTheLastHead, ADeleteIsNoReason])
def test_I6_kills_false_bases(mutant: Callable[[list[str]], ForkIndex]) -> None:
    histories = (write_key_history(Random(seed)) for seed in range(50))
    assert any(
        false_bases(history, Listener(lambda: mutant([ROOT])).hear_all(history.updates).index) for history in histories
    )


def test_roots_that_are_not_watched_leave_no_trace() -> None:
    index = Listener(lambda: ForkIndex(["other"])).hear_all(write_key_history(Random(1)).updates).index
    assert index._registers == []
    assert index._trails == {}


def test_a_delete_that_the_next_writer_had_not_seen_is_told_from_one_that_it_had() -> None:
    history = KeyHistory()
    till, office, page = (Page(client, history) for client in (1, 2, 3))

    def act(who: Page, value: object) -> bytes:
        with who.doc.transaction():
            if value is None:
                del who.map[KEYS[0]]
            else:
                who.map[KEYS[0]] = value
        return who.doc.get_update(before[who])

    before = {who: who.doc.get_state() for who in (till, office, page)}
    first = act(till, 1)
    office.learn(till)
    page.learn(till)
    seen_by_page = decode_update(page.doc.get_update())
    before = {who: who.doc.get_state() for who in (till, office, page)}
    deleted = act(office, None)
    blind = act(page, 2)
    listener = Listener()
    for raw in (first, deleted, blind):
        listener.hear(raw)
    assert seen_by_page.sections
    assert [(found.key, found.head.value()) for found in listener.overruled] == [(KEYS[0], 2.0)]
    # In a state all deletes are listed, whoever made them: nothing can be said.
    silent = Listener()
    silent.hear(first)
    silent.hear(deleted)
    silent.hear(blind, whole_state=True)
    assert silent.overruled == []
    # Who knows of the delete overwrites what is deleted already, and lists nothing.
    till.learn(office)
    knowing: list[bytes] = []
    till.doc.observe(lambda event: knowing.append(event.update))
    till.map[KEYS[0]] = 3
    aware = Listener()
    for raw in (first, deleted, *knowing):
        aware.hear(raw)
    assert aware.overruled == []
