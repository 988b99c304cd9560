"""Runs the benchmarks, one after the other, each in a process of its own: ``python -m benchmarks [NAME ...]``."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring.page import write_page
from benchmarks.measuring.plots import plot_all
from benchmarks.measuring.regression import compared, losses
from benchmarks.measuring.results import Results, keep_as_last, last_results, saved_results

FOLDER = Path(__file__).parent
WORKLOAD = re.compile(r"w(\d+)_\w+")


def questions() -> dict[str, str]:
    """Every benchmark's name and the question it answers: the first line of its docstring. Workloads come first."""
    found = {}
    for path in sorted(FOLDER.glob("[!_]*.py"), key=_order):
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        found[path.stem] = docstring.partition("\n")[0]
    return found


def _order(path: Path) -> tuple[bool, int, str]:
    workload = WORKLOAD.fullmatch(path.stem)
    return workload is None, int(workload[1]) if workload else 0, path.stem


def read_arguments(known: dict[str, str]) -> tuple[argparse.Namespace, Sequence[str]]:
    """What was asked for, and the names of the benchmarks to run."""
    listing = "\n".join(f"  {name:<18} {question}" for name, question in known.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run benchmarks and print their tables.",
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="just these; all when left out")
    parser.add_argument("--workloads", action="store_true", help="just the workloads that are compared with peers")
    parser.add_argument("--full", action="store_true", help="the workloads in their full form")
    parser.add_argument("--rounds", type=int, help="how often each server has its turn in a workload")
    parser.add_argument("--none", action="store_true", help="run nothing: only what follows")
    parser.add_argument("--check", action="store_true", help="fail when a ratio to the best peer is clearly lost")
    parser.add_argument("--keep", action="store_true", help="make these runs the table, the plots and the page")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    names = asked.names or [name for name in known if WORKLOAD.fullmatch(name) or not asked.workloads]
    return asked, [] if asked.none else names


def run(name: str, asked: argparse.Namespace) -> bool:
    """Run one benchmark; True when it ended well."""
    options: list[str] = []
    if WORKLOAD.fullmatch(name):
        options += ["--full"] if asked.full else []
        options += ["--rounds", str(asked.rounds)] if asked.rounds else []
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    return not subprocess.run(command, cwd=FOLDER.parent, check=False).returncode


def check(runs: Sequence[Results]) -> bool:
    """Compare with the table under version control; True when nothing is clearly lost."""
    lost = list(losses(runs, last_results()))
    print(f"\n{compared(runs, last_results())} ratios compared with the last table, {len(lost)} clearly lost")
    for sentence in lost:
        print(f"  {sentence}", file=sys.stderr)
    return not lost


def keep(runs: Sequence[Results]) -> None:
    keep_as_last(runs)
    try:
        plot_all(last_results())
    except ImportError:
        print("no plots: matplotlib is not installed (the extra `bench`)", file=sys.stderr)
    write_page(last_results())


def main() -> int:
    known = questions()
    asked, names = read_arguments(known)
    failed = []
    for name in names:
        print(f"\n== {name}: {known[name]}", flush=True)
        if not run(name, asked):
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    runs = [run for run in saved_results() if asked.none or run.workload in names]
    well = not asked.check or check(runs)
    if asked.keep:
        keep(runs)
    return 1 if failed or not well else 0


if __name__ == "__main__":
    sys.exit(main())
