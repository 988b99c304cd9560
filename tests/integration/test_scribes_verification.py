"""A snapshot replaces its log only when both say the same: rules S1 to S7 of docs/explanation/scribes.md."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map, Text

from crdt_sync.errors import ReplicaBroken, SnapshotMismatch
from crdt_sync.replica import replay
from crdt_sync.updates.decode import STRING, decode_update
from crdt_sync.updates.encode import write_update
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.ranges import Ranges
from server.scribes.history import History
from server.scribes.tasks import compact
from server.scribes.verification import check_snapshot
from tests.integration.scribe_logs import Writer, map_log, random_log, shown


def snapshot_of(updates: list[bytes]) -> bytes:
    return replay(updates).snapshot()


def deleting(client: int, start: int, end: int) -> bytes:
    return write_update([], {client: [(start, end)]})


def concurrent_writes(*, key: str = "a") -> list[bytes]:
    """Clients 1 and 2 set one key without knowing of each other; 2 wins."""
    log: list[bytes] = []
    for client in (1, 2):
        Writer(client, log).doc.get("stock", type=Map)[key] = f"from {client}"
    return log


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_a_compacted_history_shows_what_its_log_shows(seed: int, writers: int) -> None:
    log = random_log(seed, writers=writers)
    state, ledger = compact(log)
    assert shown([state]) == shown(log)
    assert Ledger.decode(ledger) == History([state]).ledger
    assert Ledger.decode(ledger).clocks == History(log).ledger.clocks


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_a_snapshot_and_the_log_after_it_compact_to_what_the_whole_log_does(seed: int, where: float) -> None:
    log = random_log(seed)
    cut = int(where * len(log))
    first, _ = compact(log[:cut])
    second, _ = compact([first, *log[cut:]])
    check_snapshot(History(log), second)
    assert shown([second]) == shown(log)


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_S2_S3_whatever_update_is_forgotten_is_noticed(seed: int) -> None:
    log = random_log(seed)
    without = snapshot_of(log[:-1])
    if History([without]).ledger == History([snapshot_of(log)]).ledger:
        return  # The last update deleted only what merging had deleted already.
    with pytest.raises(SnapshotMismatch, match="S2|S3"):
        check_snapshot(History(log), without)


def test_S1_bytes_that_are_no_update_are_no_snapshot() -> None:
    with pytest.raises(SnapshotMismatch, match="S1"):
        check_snapshot(History(map_log(1, 1)), b"\x01")


def test_S1_a_snapshot_with_a_hole_is_refused() -> None:
    log = map_log(2, 2)
    with pytest.raises(SnapshotMismatch, match="S1"):
        check_snapshot(History(log), log[1])


def test_S2_a_forgotten_insertion_is_noticed() -> None:
    log = map_log(3, 3)
    with pytest.raises(SnapshotMismatch, match="S2.*client 7 at 2 instead of 3"):
        check_snapshot(History(log), snapshot_of(log[:-1]))


def test_S3_the_forgotten_delete_set_of_one_update_is_noticed() -> None:
    log: list[bytes] = []
    writer = Writer(7, log)
    stock = writer.doc.get("stock", type=Map)
    stock["a"] = 1
    stock["b"] = 2
    del stock["a"]
    forgetful = decode_update(log[-1])
    assert not forgetful.sections
    with pytest.raises(SnapshotMismatch, match="S3.*client 7, clocks 0 to 0"):
        check_snapshot(History(log), snapshot_of(log[:-1]))


def test_S4_changed_content_is_noticed() -> None:
    log: list[bytes] = []
    Writer(7, log).doc.get("notes", type=Text).insert(0, "PAY 100")
    state = snapshot_of(log).replace(b"PAY 100", b"PAY 999")
    with pytest.raises(SnapshotMismatch, match="S4.*clocks 0 to 6"):
        check_snapshot(History(log), state)


def test_S4_runs_that_were_cut_or_joined_on_the_way_are_compared_letter_by_letter() -> None:
    log: list[bytes] = []
    notes = Writer(7, log).doc.get("notes", type=Text)
    notes.insert(0, "one long run of letters")
    for letter in "ab":
        notes.insert(len(str(notes)), letter)
    del notes[4:9]
    state = snapshot_of(log)
    check_snapshot(History(log), state)
    with pytest.raises(SnapshotMismatch, match="S4"):
        check_snapshot(History(log), state.replace(b"lettersab", b"lettersac"))


def test_S5_an_element_under_another_root_is_noticed() -> None:
    log = map_log(1, 1)
    with pytest.raises(SnapshotMismatch, match="S5"):
        check_snapshot(History(log), snapshot_of(log).replace(b"stock", b"stick"))


def test_S5_a_collected_element_beside_living_ones_is_noticed() -> None:
    log: list[bytes] = []
    notes = Writer(7, log).doc.get("notes", type=Text)
    notes.insert(0, "abc")
    del notes[1:2]
    state = snapshot_of(log)
    deleted = next(s for s in decode_update(state).sections[0].structs if s.kind != STRING)
    collected = state[: deleted.start] + b"\x00\x01" + state[deleted.end :]
    with pytest.raises(SnapshotMismatch, match="S5.*lost its place"):
        check_snapshot(History(log), collected)


def test_S6_a_delete_that_nobody_made_is_noticed() -> None:
    log = map_log(2, 2)
    with pytest.raises(SnapshotMismatch, match="S6.*client 7, clock 1"):
        check_snapshot(History(log), snapshot_of([*log, deleting(7, 1, 2)]))


def test_S6_the_loser_of_two_concurrent_writes_may_be_deleted() -> None:
    log = concurrent_writes()
    ledger = check_snapshot(History(log), snapshot_of(log))
    assert ledger.deleted == {1: Ranges([(0, 1)])}
    assert History(log).ledger.deleted == {}


def test_S6_the_winner_of_two_concurrent_writes_may_not_be_deleted() -> None:
    log = concurrent_writes()
    with pytest.raises(SnapshotMismatch, match="S6.*client 2, clock 0"):
        check_snapshot(History(log), snapshot_of([*log, deleting(2, 0, 1)]))


def test_S6_what_was_written_into_a_map_while_another_deleted_it_is_gone_with_it() -> None:
    log: list[bytes] = []
    one, two = Writer(1, log), Writer(2, log)
    one.doc.get("stock", type=Map)["a"] = Map({"in": 1})
    two.hear(one)
    two.doc.get("stock", type=Map)["a"]["out"] = 2
    del one.doc.get("stock", type=Map)["a"]
    ledger = check_snapshot(History(log), snapshot_of(log))
    assert ledger.deleted == {1: Ranges([(0, 2)]), 2: Ranges([(0, 1)])}
    assert 2 not in History(log).ledger.deleted


def test_S2_half_an_emoji_deleted_as_a_browser_can_do_it_keeps_its_log() -> None:
    log: list[bytes] = []
    Writer(7, log).doc.get("notes", type=Text).insert(0, "a😀b")
    with pytest.raises(SnapshotMismatch, match="S2.*client 7 at 3 instead of 4"):
        compact([*log, deleting(7, 1, 2)])


def test_a_log_with_a_hole_is_named_as_such() -> None:
    with pytest.raises(ReplicaBroken, match="update 1 of the log builds on something"):
        History(map_log(2, 2)[1:])


def test_an_empty_log_compacts_to_the_empty_update() -> None:
    state, ledger = compact([])
    assert state == b"\x00\x00"
    assert Ledger.decode(ledger) == Ledger()


def test_not_a_number_equals_itself() -> None:
    doc: Doc = Doc(client_id=7)
    doc.get("stock", type=Map)["a"] = [float("nan"), {"b": float("nan")}]
    compact([doc.get_update()])


def test_S6_elements_that_came_collected_cost_nothing_by_their_number() -> None:
    log = [b"\x01\x01\x07\x00\x00\x80\x80\x80\x08\x00"]
    ledger = check_snapshot(History(log), snapshot_of(log))
    assert ledger.clocks == {7: 1 << 24}
    assert ledger.deleted == {7: Ranges([(0, 1 << 24)])}
    assert History(log).ledger.deleted == {}
