"""Runs a workload: every server in every round, in turns, so that a slow minute of the machine hits all alike."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.load.generator import LoadFailed
from benchmarks.measuring.machine import machine
from benchmarks.measuring.results import Reading, Results
from benchmarks.measuring.tables import table
from benchmarks.peers.missing import Missing
from benchmarks.peers.running import NotStarted, Running, Server, running

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form:
    """How much of a workload is run: short for a few minutes in all, full for figures to rely on."""

    is_full: bool
    rounds: int

    @property
    def name(self) -> str:
        return "full" if self.is_full else "short"

    @property
    def seconds(self) -> float:
        """How long one case is measured."""
        return 3.0 if self.is_full else 0.7

    def pick(self, short: T, full: T) -> T:
        return full if self.is_full else short


Measure = Callable[[Running, Form], Iterable[Reading]]
"""Measures one server that has just been started. What it has yielded counts, even if it fails after it."""

MeasureFrom = Callable[[Server, Path, Form], Iterable[Reading]]
"""The same for a workload that starts and stops its server itself."""


def read_form(docstring: str | None) -> tuple[Form, Sequence[str]]:
    """The form and the names of servers, from the command line."""
    parser = argparse.ArgumentParser(description=(docstring or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="all cases, five rounds, longer each")
    parser.add_argument("--rounds", type=int, help="how often each server has its turn")
    parser.add_argument("--server", action="append", default=[], metavar="NAME", help="just this one; may be repeated")
    chosen = parser.parse_args()
    return Form(chosen.full, chosen.rounds or (5 if chosen.full else 1)), chosen.server


def run_workload(docstring: str | None, file: str, measure: Measure, servers: Sequence[Server]) -> None:
    """Each server afresh in each round; prints the table and writes the JSON file."""

    def start_and_measure(server: Server, folder: Path, form: Form) -> Iterator[Reading]:
        with running(server, folder) as it:
            yield from measure(it, form)

    run_workload_from(docstring, file, start_and_measure, servers)


def run_workload_from(docstring: str | None, file: str, measure: MeasureFrom, servers: Sequence[Server]) -> None:
    form, names = read_form(docstring)
    if unknown := set(names) - {server.name for server in servers}:
        sys.exit(f"there is no server {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in servers)}")
    chosen = [server for server in servers if not names or server.name in names]
    question = (docstring or "").partition("\n")[0]
    at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    results = Results(Path(file).stem, question, form.name, at, machine())
    missing: set[str] = set()
    for number in range(form.rounds):
        # Who begins changes, so that nobody always has the machine as another has left it.
        for server in [*chosen[number % len(chosen) :], *chosen[: number % len(chosen)]]:
            if server.name not in missing and not _one_turn(results, number, server, form, measure):
                missing.add(server.name)
    _sort_as(results, chosen)
    print("\n".join(table(results)))
    for note in results.notes:
        print(f"- {note}")
    if not names:
        results.save()


def _one_turn(results: Results, number: int, server: Server, form: Form, measure: MeasureFrom) -> bool:
    """One server in one round; False when it can't be had at all."""
    print(f"round {number + 1} of {form.rounds}: {server.name}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="crdt-sync-bench-", ignore_cleanup_errors=True) as folder:
        try:
            for reading in measure(server, Path(folder) / "run", form):
                if reading.leads and not reading.value:
                    raise LoadFailed(f"{reading.case}: nothing came of it in the time that was measured")
                results.add(server.name, server.role, number, reading)
            results.versions[server.name] = server.version()
        except (Missing, NotStarted) as error:
            results.note(f"{server.name} is not in the table: {error}")
            return False
        except LoadFailed as error:
            results.note(f"{server.name} gave no more figures in round {number + 1}: {error}")
    return True


def _sort_as(results: Results, servers: Sequence[Server]) -> None:
    order = {server.name: index for index, server in enumerate(servers)}
    rows = {row: index for index, row in enumerate(results.rows())}
    results.cells.sort(key=lambda cell: (rows[cell.case, cell.metric], order[cell.server]))
