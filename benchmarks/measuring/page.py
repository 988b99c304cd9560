"""Puts the tables and figures of ``last.json`` into docs/explanation/performance.md, between its markers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring.plots import FIGURES
from benchmarks.measuring.results import Results
from benchmarks.measuring.tables import table

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "performance.md"
MARKED = re.compile(r"<!-- (w\d+_\w+) -->\n.*?<!-- end -->", re.DOTALL)


def section(run: Results) -> Iterator[str]:
    """What stands between a workload's markers."""
    rounds = max((len(cell.rounds) for cell in run.cells), default=0)
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    load = run.machine["load before the run"]
    yield f"Run of {run.at}, {run.form} form, {rounds} rounds, median (least-most); load before it {load}."
    yield ""
    yield from table(run)
    yield ""
    yield from (f"- {note}" for note in run.notes)
    yield f"- {versions}."
    if (FIGURES / f"{run.workload}.svg").exists():
        yield ""
        yield f"![{run.workload}](figures/{run.workload}.svg)"


def write_page(runs: list[Results]) -> None:
    """Replace the sections of these workloads; what has no marker in the page is not written."""
    found = {run.workload: run for run in runs}

    def replaced(match: re.Match[str]) -> str:
        run = found.get(match[1])
        return match[0] if run is None else f"<!-- {match[1]} -->\n" + "\n".join(section(run)) + "\n<!-- end -->"

    PAGE.write_text(MARKED.sub(replaced, PAGE.read_text("utf-8")), "utf-8")
