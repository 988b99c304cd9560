"""Readings become ratios, tables, and a verdict about what was lost."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from benchmarks.measuring.regression import compared, losses
from benchmarks.measuring.results import Better, Reading, Results, read_results
from benchmarks.measuring.tables import table
from benchmarks.peers.running import Role


def results(ours: list[float], theirs: list[float], better: Better = "higher") -> Results:
    found = Results("w0_sample", "How many?", "short", "2026-11-20", {})
    sides: list[tuple[str, Role, list[float]]] = [
        ("ours", "ours", ours),
        ("theirs", "peer", theirs),
        ("slow", "peer", [0.5 * value if better == "higher" else 2 * value for value in theirs]),
        ("C", "reference", [100 * value for value in theirs]),
    ]
    for name, role, values in sides:
        for number, value in enumerate(values):
            found.add(name, role, number, Reading("case", "metric", value, better, leads=True))
    return found


@pytest.mark.parametrize(
    ("ours", "theirs", "better", "ratio"),
    [([200.0], [100.0], "higher", 2.0), ([200.0], [100.0], "lower", 0.5), ([50.0], [100.0], "lower", 2.0)],
)
def test_a_ratio_is_to_the_best_peer_and_above_1_is_better(
    ours: list[float], theirs: list[float], better: Better, ratio: float
) -> None:
    (found,) = results(ours, theirs, better).ratios()
    assert found.rounds == [ratio]


def test_a_ratio_compares_within_a_round() -> None:
    (found,) = results([10.0, 1_000.0, 30.0], [10.0, 1_000.0, 10.0]).ratios()
    assert found.rounds == [1.0, 1.0, 3.0]


def test_what_does_not_lead_has_no_ratio() -> None:
    found = Results("w0_sample", "How many?", "short", "2026-11-20", {})
    found.add("ours", "ours", 0, Reading("case", "metric", 1.0))
    found.add("theirs", "peer", 0, Reading("case", "metric", 1.0))
    assert found.ratios() == []


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_clear_loss_is_one_in_every_round(better: Better) -> None:
    last = [results([100.0] * 3, [100.0] * 3, better)]
    worse, bad = (74.0, 10.0) if better == "higher" else (135.0, 1_000.0)
    assert list(losses([results([worse] * 3, [100.0] * 3, better)], last)) != []
    assert list(losses([results([bad, bad, 100.0], [100.0] * 3, better)], last)) == []
    assert list(losses([results([76.0 if better == "higher" else 130.0] * 3, [100.0] * 3, better)], last)) == []


def test_fewer_than_three_rounds_prove_nothing() -> None:
    last, run = [results([100.0] * 3, [100.0] * 3)], results([1.0] * 2, [100.0] * 2)
    assert list(losses([run], last)) == []
    assert compared([run], last) == 0
    assert compared([results([1.0] * 3, [100.0] * 3)], last) == 1


def test_a_slower_machine_is_no_loss() -> None:
    last = [results([100.0] * 3, [100.0] * 3)]
    assert list(losses([results([10.0] * 3, [10.0] * 3)], last)) == []


def test_results_survive_their_file() -> None:
    run = results([1.0, 2.0], [3.0, 4.0])
    assert read_results(json.loads(json.dumps(asdict(run)))) == run


def test_a_table_has_a_row_for_each_metric_and_says_the_spread() -> None:
    head, _, row = table(results([1_000.0, 3_000.0, 2_000.0], [1_000.0] * 3))
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        "case", "metric", "ours", "theirs", "slow", "C", "ours : best peer",
    ]  # fmt: skip
    assert "2,000 (1,000-3,000)" in row
    assert "2.00 x" in row
