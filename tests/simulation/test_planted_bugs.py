"""A simulator that finds nothing proves nothing: bugs that others have shipped are planted, and must be caught.

Each must be noticed by a checker that names the rule it breaks, within a bounded number of seeds.
"""

from __future__ import annotations

import pytest

from tests.simulation import plants
from tests.simulation.batches import first_catch
from tests.simulation.world import Cast

pytestmark = pytest.mark.simulation

CAUGHT_WITHIN_SEEDS = 40


def check_caught(cast: Cast, *rules: str) -> None:
    caught = first_catch(cast, seeds=CAUGHT_WITHIN_SEEDS)
    assert caught is not None, f"{CAUGHT_WITHIN_SEEDS} seeds did not notice it"
    seed, rule = caught
    assert rule in rules, f"seed {seed} says that {rule} is broken"


def test_P2_catches_delivery_before_the_append() -> None:
    check_caught(Cast(host=plants.DeliversBeforeAppend), "P1", "P2")


def test_P1_catches_an_ack_before_the_append() -> None:
    check_caught(Cast(host=plants.AcksBeforeAppend), "P1")


def test_P8_catches_a_relay_without_a_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rooms.room.judge", plants.accept_all)
    check_caught(Cast(), "P3", "P8")


def test_P8_catches_a_peer_without_a_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdt_sync.replica.judge", plants.accept_all)
    # P5: its whole state has a hole, so the relay ends the conversation, again and again.
    check_caught(Cast(), "P1", "P5", "P7", "P8")


def test_P3_catches_a_relay_that_logs_its_observers_diff() -> None:
    check_caught(Cast(host=plants.LogsItsDocsDiff), "P3")


def test_P3_catches_a_peer_that_logs_its_observers_diff() -> None:
    check_caught(Cast(till=plants.TillLogsItsDocsDiff), "P3")


def test_P1_catches_deletes_forgotten_when_trimming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdt_sync.updates.gate.trim", plants.trim_without_deletes)
    check_caught(Cast(), "P1", "P2", "P5", "P7")


def test_P10_catches_deletes_forgotten_when_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rooms.history.join", plants.join_without_deletes)
    check_caught(Cast(), "P7", "P10")


def test_P10_catches_a_shed_member_that_is_not_brought_up_to_date() -> None:
    check_caught(Cast(room=plants.ForgetsTheShed), "P7", "P10")


def test_P9_catches_a_client_id_that_is_used_again() -> None:
    check_caught(Cast(till=plants.TillReusesItsClientId), "P9")


def test_P4_catches_a_room_that_outlives_its_store() -> None:
    check_caught(Cast(host=plants.GoesOnWithoutItsStore), "P1", "P2", "P8", "P12")


def test_P5_catches_a_gap_that_is_dropped_in_silence() -> None:
    check_caught(Cast(room=plants.DropsGaps), "P1", "P5", "P7")


def test_P11_catches_ghosts() -> None:
    check_caught(Cast(room=plants.KeepsGhosts), "P11")


def test_P21_catches_a_relay_that_passes_on_changed_movements() -> None:
    check_caught(Cast(host=plants.KeepsNoOriginals), "P21")


def test_P21_catches_a_relay_that_forgets_the_movements_of_its_log() -> None:
    check_caught(Cast(host=plants.ForgetsItsLog), "P21")


def test_P33_catches_a_relay_that_forgets_whose_client_ids_are() -> None:
    check_caught(Cast(host=plants.ForgetsItsOwners), "P33")


def test_P12_catches_a_snapshot_that_stands_for_more_than_it_holds() -> None:
    check_caught(Cast(host=plants.CompactsPastItsSnapshot), "P12")
