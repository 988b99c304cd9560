"""What the gate lets through is everything, once, in an order in which it can be applied."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, merge_updates

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import state_vector
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import join
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import Piece
from crdt_sync.updates.split import cut
from tests.laws.histories import History, admit, content, judged, ledger_of, replayed, write_history

seeds = st.integers(0, 2**32).map(Random)


def log_of(history: History) -> tuple[list[Piece], Ledger]:
    ledger = Ledger(remembers=True)
    return [piece for raw in history.updates if (piece := admit(raw, ledger))], ledger


def holds_all_deletes_of(ledger: Ledger, other: Ledger) -> bool:
    return all(not ledger.deleted[client].missing(*r) for client, known in other.deleted.items() for r in known)


@settings(max_examples=300)
@given(seeds)
def test_every_update_in_order_is_accepted_with_its_bytes_unchanged(random: Random) -> None:
    history = write_history(random)
    ledger = Ledger(remembers=True)
    for raw in history.updates:
        deletes = decode_update(raw).deletes
        repeats_deletes = ledger.new_deletes(deletes) != deletes
        verdict = judged(raw, ledger)
        assert not verdict.gap
        if not repeats_deletes:
            assert verdict.fresh is not None
            assert verdict.fresh.raw == raw
        if verdict.fresh is not None:
            ledger.admit(verdict.fresh)
    assert dict(ledger.state) == state_vector.decode(history.end.doc.get_state(), 10)
    # A document also deletes what loses a race or lies in something deleted; nobody has to say so.
    assert holds_all_deletes_of(ledger_of(history.end.doc.get_update()), ledger)


def mixed_deliveries(history: History, random: Random) -> list[bytes]:
    """The updates in any order, some twice, some merged, with state diffs of any age among them."""
    deliveries = list(history.updates)
    for _ in range(random.randint(0, 10)):
        deliveries.append(random.choice(history.updates))
    for _ in range(random.randint(0, 5)):
        deliveries.append(merge_updates(*random.sample(history.updates, random.randint(2, 6))))
    for _ in range(random.randint(0, 5)):
        knows: Doc = Doc()
        for raw in history.updates[: random.randrange(len(history.updates))]:
            knows.apply_update(raw)
        deliveries.append(random.choice(history.writers).doc.get_update(knows.get_state()))
        deliveries.append(knows.get_update())
    random.shuffle(deliveries)
    return deliveries


@settings(max_examples=300)
@given(seeds)
def test_any_order_with_duplicates_merges_and_diffs_is_healed_by_the_senders_state(random: Random) -> None:
    history = write_history(random)
    deliveries = mixed_deliveries(history, random)
    whole = history.end.doc.get_update()
    ledger, log = Ledger(remembers=True), []
    for raw in deliveries:
        clocks, deleted = dict(ledger.clocks), ledger.encode()
        verdict = judged(raw, ledger)
        assert (ledger.clocks, ledger.encode()) == (clocks, deleted), "judging must not move the ledger"
        if verdict.gap:
            assert verdict.fresh is None
            if random.random() < 0.1:
                verdict = judged(history.end.doc.get_update(state_vector.encode(ledger.state)), ledger)
                assert not verdict.gap
        if verdict.fresh is not None:
            ledger.admit(verdict.fresh)
            log.append(verdict.fresh)
    healed = admit(history.end.doc.get_update(state_vector.encode(ledger.state)), ledger)
    log += [healed] if healed else []
    assert ledger == ledger_of(whole)
    assert judged(whole, ledger) == (None, False, ()) == judged(merge_updates(*history.updates), ledger)
    for form in ([piece.raw for piece in log], list(join(log))):
        doc = replayed(form)
        assert content(doc) == history.end.content()
        assert ledger_of(doc.get_update()) == ledger


@settings(max_examples=150)
@given(seeds, st.integers(1, 7), st.integers(1, 200))
def test_an_update_cut_into_parts_gives_the_same_content_part_by_part(
    random: Random, structs_max: int, bytes_max: int
) -> None:
    history = write_history(random)
    log, _ = log_of(history)
    start = random.randrange(len(log))
    base = [piece.raw for piece in log[:start]]
    for raw in (merge_updates(*history.updates), history.end.doc.get_update(), *join(log)):
        ledger = Ledger(remembers=True)
        for known in base:
            admit(known, ledger)
        decoded = decode_update(raw)
        verdict = judge(decoded, ledger, DEFAULT_LIMITS)
        assert verdict.fresh is not None
        doc = replayed(base)
        parts = cut(decoded, verdict.runs, verdict.fresh.deletes, structs_max=structs_max, bytes_max=bytes_max)
        for part in parts:
            structs = [struct for section in decode_update(part).sections for struct in section.structs]
            assert len(structs) <= structs_max
            assert len(structs) == 1 or sum(struct.end - struct.start for struct in structs) <= bytes_max
            judgement = judged(part, ledger)
            assert not judgement.gap
            assert judgement.fresh is not None
            assert judgement.fresh.raw == part
            ledger.admit(judgement.fresh)
            doc.apply_update(part)
        assert content(doc) == history.end.content()
        assert dict(ledger.state) == state_vector.decode(history.end.doc.get_state(), 10)


@settings(max_examples=300)
@given(seeds)
def test_of_a_state_with_holes_the_ready_part_is_kept_and_the_rest_is_a_gap(random: Random) -> None:
    history = write_history(random)
    ledger, log = Ledger(remembers=True), []
    for _ in range(6):
        some = sorted(random.sample(range(len(history.updates)), random.randint(2, len(history.updates))))
        holed = merge_updates(*(history.updates[i] for i in some))
        whole_or_nothing = judged(holed, ledger)
        verdict = judged(holed, ledger, keep_ready_part=True)
        assert verdict.gap == whole_or_nothing.gap
        if not verdict.gap:
            assert verdict.fresh == whole_or_nothing.fresh
        if verdict.fresh is not None:
            assert not judged(verdict.fresh.raw, ledger).gap
            ledger.admit(verdict.fresh)
            log.append(verdict.fresh)
    rest = admit(history.end.doc.get_update(), ledger)
    log += [rest] if rest else []
    assert content(replayed([piece.raw for piece in log])) == history.end.content()
    assert content(replayed(list(join(log)))) == history.end.content()


@settings(max_examples=300)
@given(seeds)
def test_trimming_overlapping_states_of_any_age_loses_nothing_and_repeats_no_clock(random: Random) -> None:
    history = write_history(random)
    states = [history.end.doc.get_update()]
    for _ in range(5):
        states.append(replayed(history.updates[: random.randrange(len(history.updates))]).get_update())
    random.shuffle(states)
    ledger, log = Ledger(remembers=True), []
    for state in states:
        before = dict(ledger.clocks)
        fresh = admit(state, ledger)
        if fresh is None:
            continue
        log.append(fresh)
        for span in fresh.spans:
            assert span.clock <= before.get(span.client, 0) < span.end_clock
            assert fresh.raw[span.start : span.end] in state
    assert ledger == ledger_of(history.end.doc.get_update())
    assert content(replayed([piece.raw for piece in log])) == history.end.content()
    assert content(replayed(list(join(log)))) == history.end.content()
