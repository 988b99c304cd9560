"""Structs are taken in an order in which they can be applied; circles are refused; the work is linear."""

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import MalformedUpdate
from crdt_sync.protocol.wire import text, uint
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.order import causal_runs


def update(sections: dict[int, list[bytes]]) -> bytes:
    written = [uint(len(structs)) + uint(client) + b"\x00" + b"".join(structs) for client, structs in sections.items()]
    return uint(len(sections)) + b"".join(written) + b"\x00"


def first() -> bytes:
    return b"\x04\x01" + text("t") + text("x")


def after(client: int, clock: int) -> bytes:
    return b"\x84" + uint(client) + uint(clock) + text("x")


def ping_pong(rounds: int) -> bytes:
    """Two clients, each of whose letters was typed behind the other's last one."""
    one = [first(), *(after(2, clock) for clock in range(rounds - 1))]
    two = [after(1, clock) for clock in range(rounds)]
    return update({2: two, 1: one})


def chain(clients: int) -> bytes:
    """Each client typed behind the next one, and the last one first."""
    return update({client: [after(client + 1, 0)] for client in range(1, clients)} | {clients: [first()]})


@given(st.integers(2, 12), st.randoms(use_true_random=False), st.data())
def test_a_circle_through_any_number_of_clients_is_refused(length: int, random: Any, data: st.DataObject) -> None:
    clients = random.sample(range(1, 100), length)
    circle = {
        client: [first()] * random.randrange(3) + [after(clients[(place + 1) % length], 3)] + [first()] * 4
        for place, client in enumerate(clients)
    }
    with pytest.raises(MalformedUpdate, match="circle"):
        causal_runs(decode_update(update(circle)).sections, {})


@pytest.mark.parametrize("back", [1, 2, 3])
def test_a_struct_that_leans_on_its_own_section_further_on_is_a_circle(back: int) -> None:
    lean = update({1: [first(), after(1, back), first(), first()]})
    with pytest.raises(MalformedUpdate, match="circle"):
        causal_runs(decode_update(lean).sections, {})


def test_a_long_honest_exchange_is_ready_whatever_the_order_of_its_sections() -> None:
    order = causal_runs(decode_update(ping_pong(5_000)).sections, {})
    assert not order.blocked
    assert order.reached == {1: 5_000, 2: 5_000}
    assert [run.end - run.first for run in order.runs] == [1] * 10_000


def lines_run(raw: bytes) -> int:
    """How many lines of the walk run for ``raw``: work that does not depend on the machine."""
    sections = decode_update(raw).sections
    lines = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.endswith("order.py"):
            return None
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        assert not causal_runs(sections, {}).blocked
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("make", [ping_pong, chain])
def test_the_walk_costs_the_same_for_each_struct_however_many_there_are(make: Any) -> None:
    few, many = lines_run(make(100)), lines_run(make(2_000))
    assert few > 0
    assert many < few * 20 * 1.2


def test_what_waits_for_something_unknown_blocks_only_its_own_followers() -> None:
    raw = update({1: [first(), after(9, 0), first()], 2: [first(), after(1, 0), after(1, 1)], 3: [after(2, 1)]})
    order = causal_runs(decode_update(raw).sections, {})
    assert order.blocked
    assert order.reached == {1: 1, 2: 2, 3: 1}
    healed = causal_runs(decode_update(raw).sections, order.reached | {9: 1})
    assert not healed.blocked
    assert healed.reached == {1: 3, 2: 3}
