"""Whatever arrives: only ProtocolErrors come out, work is bounded by bytes, what is let through is safe to apply."""

import json
import os
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import LimitExceeded, MalformedUpdate, ProtocolError, StoreCorrupted
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.protocol.wire import uint
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import join, write_deletes
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.ranges import Ranges
from tests.laws.histories import admit, write_history
from tests.laws.mutants import mutant

MUTANTS = int(os.environ.get("CRDT_SYNC_MUTANTS", "20000"))
HISTORIES = 40


@given(st.binary(max_size=200))
def test_any_bytes_are_an_update_or_a_protocol_error(raw: bytes) -> None:
    try:
        update = decode_update(raw)
        judge(update, Ledger(remembers=True), DEFAULT_LIMITS, keep_ready_part=True)
    except ProtocolError:
        return
    assert update.raw == raw


@given(st.binary(max_size=60))
def test_any_bytes_are_a_ledger_or_a_corrupted_store(raw: bytes) -> None:
    try:
        ledger = Ledger.decode(raw)
    except StoreCorrupted:
        return
    assert Ledger.decode(ledger.encode()) == ledger


COUNT_BOMBS = {
    "clients": "ffffffff07",
    "structs": "01ffffffff0701",
    "elements of a value": "010101000801017" + "2ffffffff07",
    "items of a list": "0101010008010172" + "0175ffffffff07",
    "entries of a dictionary": "0101010008010172" + "0176ffffffff07",
    "bytes of a text": "0101010004010172ffffffff07",
    "clients that delete": "00ffffffff07",
    "ranges": "000101ffffffff07",
    "an integer without end": "ff" * 200_000,
}


@pytest.mark.parametrize("bomb", COUNT_BOMBS)
def test_a_count_is_refused_before_anything_is_made_for_it(bomb: str) -> None:
    with pytest.raises(MalformedUpdate):
        decode_update(bytes.fromhex(COUNT_BOMBS[bomb]))


@pytest.mark.parametrize(("tag", "count"), [(b"\x75\x01", b""), (b"\x76\x01\x01k", b"")])
def test_values_nested_deeper_than_the_limit_are_refused_wherever_they_end(tag: bytes, count: bytes) -> None:
    for depth in (33, 5_000, 100_000):
        with pytest.raises(LimitExceeded):
            decode_update(b"\x01\x01\x01\x00\x08\x01\x01r\x01" + tag * depth + b"\x7e\x00")
    decode_update(b"\x01\x01\x01\x00\x08\x01\x01r\x01" + tag * 32 + b"\x7e\x00")


def test_more_structs_or_clients_than_agreed_are_refused() -> None:
    many = b"\x01" + uint(20) + b"\x01\x00" + b"\x00\x01" * 20 + b"\x00"
    with pytest.raises(LimitExceeded):
        decode_update(many, Limits(update_structs_max=19))
    sections = b"".join(b"\x01" + uint(client) + b"\x00\x00\x01" for client in range(20))
    with pytest.raises(LimitExceeded):
        decode_update(uint(20) + sections + b"\x00", Limits(clients_max=19))
    ledger = Ledger()
    assert admit(uint(20) + sections + b"\x00", ledger)
    newcomer = decode_update(b"\x01\x01" + uint(20) + b"\x00\x00\x01\x00")
    with pytest.raises(LimitExceeded):
        judge(newcomer, ledger, Limits(clients_max=20))
    known_client = decode_update(b"\x01\x01\x01\x01\x00\x01\x00")
    assert judge(known_client, ledger, Limits(clients_max=1)).fresh


def test_delete_ranges_listed_backwards_are_merged_in_one_pass() -> None:
    ledger = Ledger()
    ledger.clocks[1] = 1 << 21
    ranges = [(clock, clock + 1) for clock in range(0, 1 << 20, 2)]
    backwards = b"\x00" + write_deletes({1: ranges[::-1]})
    assert len(backwards) < DEFAULT_LIMITS.frame_bytes_max
    piece = admit(backwards, ledger)
    assert piece is not None
    assert list(piece.deletes[1]) == ranges
    assert ledger.deleted[1] == Ranges(ranges)


def accepted_mutants(random: Random, wanted: int) -> tuple[list[list[bytes]], int]:
    """Documents of which each ends in a mutant that the gate let through, and how many mutants it took."""
    histories = [write_history(random, steps=random.randint(2, 12)).updates for _ in range(HISTORIES)]
    others = [raw for history in histories for raw in history]
    documents = []
    for number in range(wanted):
        history = histories[number % HISTORIES]
        known, victim = history[: random.randrange(len(history))], random.choice(history)
        ledger = Ledger(remembers=True)
        base = [piece for raw in known if (piece := admit(raw, ledger))]
        mutated = mutant(victim, others, random)
        try:
            update = decode_update(mutated)
            fresh = judge(update, ledger, DEFAULT_LIMITS, keep_ready_part=random.random() < 0.3).fresh
        except ProtocolError:
            continue
        if fresh is not None and fresh.raw not in known:
            documents.append([*join(base), fresh.raw] if random.random() < 0.5 else [p.raw for p in (*base, fresh)])
    return documents, wanted


def test_what_the_gate_lets_through_never_ends_the_process_that_applies_it() -> None:
    documents, tried = accepted_mutants(Random(20261120), MUTANTS)
    assert len(documents) > tried / 50, "the mutants must reach beyond the gate to prove anything"
    lines = "".join(json.dumps([update.hex() for update in document]) + "\n" for document in documents)
    command = [sys.executable, "-m", "tests.laws.apply_worker"]
    outcome = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=300, check=False)
    numbers = [int(line) for line in outcome.stdout.split("\n") if line.isdecimal()]
    last = documents[numbers[-1]] if numbers else []
    ended_at = [update.hex() for update in last]
    assert outcome.returncode == 0, f"{outcome.stderr[-2000:]}\nended at: {ended_at}"
    assert len(numbers) == len(documents)
