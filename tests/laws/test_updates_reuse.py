"""A client id that two documents share is noticed as soon as their contents differ, however their runs are cut."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map, Text

from crdt_sync.errors import ClientIdReused
from crdt_sync.updates.ledger import Ledger
from tests.laws.histories import History, Writer, admit, judged, replayed, write_history

letters = st.text("ab", min_size=1, max_size=6)
runs = st.lists(letters, min_size=1, max_size=6)


def typed(chunks: list[str]) -> list[bytes]:
    """The updates of one client that types ``chunks`` one behind the other."""
    doc: Doc = Doc(client_id=7)
    made: list[bytes] = []
    text = doc.get("t", type=Text)
    doc.observe(lambda event: made.append(event.update))
    for chunk in chunks:
        text += chunk
    return made


def remembering(updates: list[bytes]) -> Ledger:
    ledger = Ledger(remembers=True)
    for raw in updates:
        admit(raw, ledger)
    return ledger


@settings(max_examples=300)
@given(runs, runs)
def test_two_texts_under_one_id_are_told_apart_at_the_first_letter_that_differs(one: list[str], two: list[str]) -> None:
    first, second = "".join(one), "".join(two)
    differing = [clock for clock, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]]
    whole = replayed(typed(two)).get_update()
    ledger = remembering(typed(one))
    if differing:
        with pytest.raises(ClientIdReused) as caught:
            judged(whole, ledger)
        assert (caught.value.client, caught.value.clock) == (7, differing[0])
    else:
        fresh = judged(whole, ledger).fresh
        assert (fresh is not None) == (len(second) > len(first))


@settings(max_examples=200)
@given(st.lists(st.sampled_from([1, 1.5, "1", True, None, [1], {"a": 1}]), min_size=1, max_size=5), st.data())
def test_two_values_under_one_id_are_told_apart(values: list[object], data: st.DataObject) -> None:
    others = data.draw(st.permutations(values))
    states = []
    for written in (values, others):
        doc: Doc = Doc(client_id=7)
        target = doc.get("m", type=Map)
        for number, value in enumerate(written):
            target[str(number)] = value
        states.append(doc.get_update())
    ledger = remembering(states[:1])
    if [*map(repr, values)] == [*map(repr, others)]:
        assert judged(states[1], ledger).fresh is None
    else:
        with pytest.raises(ClientIdReused):
            judged(states[1], ledger)


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_honest_histories_never_raise_an_alarm_in_any_encoding_or_age(seed: int) -> None:
    random = Random(seed)
    history: History = write_history(random)
    ledger = remembering(history.updates)
    ages = [history.updates[: random.randrange(len(history.updates))] for _ in range(4)]
    again = [writer.doc.get_update() for writer in history.writers] + [replayed(age).get_update() for age in ages]
    for raw in [*again, *history.updates]:
        verdict = judged(raw, ledger)
        assert not verdict.gap
        assert verdict.fresh is None or not verdict.fresh.spans


def test_a_copied_document_that_goes_on_under_its_old_id_is_noticed() -> None:
    made: list[bytes] = []
    original = Writer(7, made)
    original.edit(Random(1))
    copy = Writer(7, made)
    copy.learn(original)
    ledger = remembering(list(made))
    for writer, word in ((original, "sold one"), (copy, "sold two")):
        writer.text.insert(0, word)
    admit(original.doc.get_update(), ledger)
    with pytest.raises(ClientIdReused):
        judged(copy.doc.get_update(), ledger)
