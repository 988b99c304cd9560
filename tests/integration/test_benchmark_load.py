"""The load generator counts what happened: beside the relay in C, which it is built with, and beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pycrdt import Doc, Map, YMessageType, YSyncMessageType, create_sync_message, handle_sync_message
from websockets.sync.client import connect

from benchmarks.load.generator import LoadFailed, holding, run
from benchmarks.peers.running import Running, Server, running
from benchmarks.peers.servers import C_RELAY, C_RELAY_COALESCING, OURS

WRITERS, READERS, COUNT = 2, 3, 300


@pytest.fixture(params=[C_RELAY, C_RELAY_COALESCING, OURS], ids=lambda server: server.name)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    wanted: Server = request.param
    with running(wanted, tmp_path / "run") as it:
        yield it


def test_every_update_of_every_writer_reaches_everybody_else_once(server: Running) -> None:
    plan = {"writers": WRITERS, "readers": READERS, "count": COUNT, "in_flight": 16}
    load = run(server, "fan", "room-{}", rooms=2, **plan)
    counted = load.counted
    assert counted["sent"] == counted["completed"] == 2 * WRITERS * COUNT
    assert counted["delivered"] == 2 * WRITERS * COUNT * (WRITERS + READERS - 1)
    assert counted["delivery"]["count"] == counted["delivered"]
    assert counted["gaps"] == 0
    assert 0 < load.us("delivery", "p50") <= load.us("delivery", "p99") <= load.us("delivery", "max") * 1.04


def test_a_writer_is_acked_once_for_each_update(server: Running) -> None:
    load = run(server, "fan", "acks-{}", rooms=3, count=COUNT, in_flight=8, until_ack=1)
    assert load.counted["acked"] == load.counted["completed"] == 3 * COUNT


def test_a_cursor_reaches_everybody_else(server: Running) -> None:
    load = run(server, "paced", "cursors", writers=5, presence=1, rate=100, seconds=0.5, warm_s=0.1)
    assert load.counted["delivered"] >= load.counted["sent"] * 4 * 0.9


def test_clients_that_come_and_go_are_counted(server: Running) -> None:
    with holding(server, "door", count=1, until_ack=1):
        assert run(server, "connect", "door", clients=4, seconds=1).counted["served"] > 0


@pytest.mark.parametrize("relay", [C_RELAY, C_RELAY_COALESCING], ids=lambda relay: relay.name)
def test_the_relay_in_c_loses_nothing_when_sockets_are_full(relay: Server, tmp_path: Path) -> None:
    plan = {"readers": 4, "count": 600, "text_bytes": 60_000, "in_flight": 600}
    with running(relay, tmp_path / "run") as it:
        load = run(it, "fan", "full", **plan)
    assert (load.counted["delivered"], load.counted["gaps"]) == (2_400, 0)


def test_what_the_generator_writes_is_the_document_that_a_stock_writer_would_make(tmp_path: Path) -> None:
    count, keys, first_ms = 40, 16, 1_790_000_000_000
    with running(OURS, tmp_path / "run") as it, holding(it, "read", count=count, until_ack=1):
        entries = read_map(it, "read")
    # The n-th write is of key n % 16, and its movement ends with a time that counts writes.
    last_writes = {number % keys: number for number in range(count)}
    found = {int(name.partition("/")[2], 16): movement[4] - first_ms for name, movement in entries.items()}
    assert found == last_writes


def read_map(server: Running, room: str) -> dict[str, list[int]]:
    doc: Doc = Doc()
    with connect(f"ws://127.0.0.1:{server.port}{server.link(room)['path']}", compression=None) as socket:
        socket.send(create_sync_message(doc))
        while True:
            frame = bytes(socket.recv(timeout=30, decode=False))
            if frame[0] == YMessageType.SYNC:
                handle_sync_message(frame[1:], doc)
                if frame[1] == YSyncMessageType.SYNC_STEP2:
                    return doc.get("mv", type=Map).to_py() or {}


def test_a_storm_ends_when_all_have_the_document(tmp_path: Path) -> None:
    texts, text_bytes = 50, 1_000
    with running(OURS, tmp_path / "run") as it:
        with holding(it, "storm", count=texts, text_bytes=text_bytes, until_ack=1):
            load = run(it, "storm", "storm", clients=20, expected_bytes=texts * text_bytes)
        assert load.counted["synced"] == load.counted["sync"]["count"] == 20
        with pytest.raises(LoadFailed):
            run(it, "storm", "nothing-here", clients=2, expected_bytes=100, timeout_s=0.5)
