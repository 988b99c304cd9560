"""What a workload found: readings by case, metric, server and round; as JSON, and compared with each other."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.running import Role

RESULTS = Path(__file__).parents[1] / "results"
LAST = RESULTS / "last.json"

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one round. ``leads``: the workload is judged by it, in ratios to the best peer."""

    case: str
    metric: str
    value: float
    better: Better = "higher"
    leads: bool = False


@dataclass(slots=True)
class Cell:
    """All rounds of one server in one case and metric."""

    case: str
    metric: str
    server: str
    role: Role
    better: Better
    leads: bool
    rounds: dict[int, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds.values())


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours against the best peer, round by round; above 1 is better, whichever way the metric goes."""

    case: str
    metric: str
    rounds: Sequence[float]

    @property
    def key(self) -> str:
        return f"{self.case}: {self.metric}"

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass(slots=True)
class Results:
    """One run of one workload."""

    workload: str
    question: str
    form: str
    at: str
    machine: Mapping[str, str]
    versions: dict[str, str] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, server: str, role: Role, number: int, reading: Reading) -> None:
        wanted = reading.case, reading.metric, server
        cell = next((cell for cell in self.cells if (cell.case, cell.metric, cell.server) == wanted), None)
        if cell is None:
            cell = Cell(reading.case, reading.metric, server, role, reading.better, reading.leads)
            self.cells.append(cell)
        cell.rounds[number] = reading.value

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def rows(self) -> Iterable[tuple[str, str]]:
        """Case and metric of each line of the table, in the order in which they came."""
        return dict.fromkeys((cell.case, cell.metric) for cell in self.cells)

    def row(self, case: str, metric: str) -> Mapping[str, Cell]:
        return {cell.server: cell for cell in self.cells if (cell.case, cell.metric) == (case, metric)}

    def ratios(self) -> list[Ratio]:
        """What this workload is judged by. A case without a peer has none."""
        found = []
        for case, metric in self.rows():
            cells = self.row(case, metric).values()
            ours = next((cell for cell in cells if cell.role == "ours"), None)
            peers = [cell for cell in cells if cell.role == "peer"]
            if ours is None or not ours.leads or not peers:
                continue
            pick = max if ours.better == "higher" else min
            rounds = []
            for number, value in ours.rounds.items():
                theirs = [peer.rounds[number] for peer in peers if number in peer.rounds]
                if theirs and value and pick(theirs):
                    rounds.append(value / pick(theirs) if ours.better == "higher" else pick(theirs) / value)
            if rounds:
                found.append(Ratio(case, metric, rounds))
        return found

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.workload}.json"

    def save(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


def read_results(value: Mapping[str, Any]) -> Results:
    cells = [
        Cell(**{**cell, "rounds": {int(number): reading for number, reading in cell["rounds"].items()}})
        for cell in value["cells"]
    ]
    return Results(**{**value, "cells": cells})


def saved_results() -> list[Results]:
    """Every workload's last run on this machine."""
    paths = [path for path in sorted(RESULTS.glob("w*.json"), key=_number) if path != LAST]
    return [read_results(json.loads(path.read_text("utf-8"))) for path in paths]


def last_results() -> list[Results]:
    """The table that is under version control; empty when there is none."""
    if not LAST.exists():
        return []
    return [read_results(value) for value in json.loads(LAST.read_text("utf-8"))]


def keep_as_last(results: Sequence[Results]) -> None:
    """Put these runs into the table under version control; workloads that were not run stay as they are there."""
    kept = {run.workload: run for run in [*last_results(), *results]}
    runs = sorted(kept.values(), key=lambda run: _number(run.path))
    LAST.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n", "utf-8")


def _number(path: Path) -> int:
    digits = path.stem.partition("_")[0].removeprefix("w")
    return int(digits) if digits.isdigit() else 0
