"""Long runs that are no tests, each in a process of its own: ``python -m tests.soak [NAME ...]``, see ``--help``."""

from __future__ import annotations

import argparse
import ast
import random
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


def questions() -> dict[str, str]:
    """Every run's name and its question: a module whose docstring begins with one is a run."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        first_line, _, _ = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")
        if first_line.endswith("?"):
            found[path.stem] = first_line
    return found


def main() -> int:
    known = questions()
    listing = "\n".join(f"  {name:<16} {question}" for name, question in known.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Try many times more than the tests do, and print what was tried and reached.",
        epilog=f"runs:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="just these; all when left out")
    parser.add_argument("--scale", type=float, default=1.0, help="how many times as much as the usual amount")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="a new one when left out")
    options = parser.parse_args()
    names = options.names or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no run {', '.join(unknown)}; there are {', '.join(known)}")
    failed = []
    for name in names:
        print(f"\n== {name}: {known[name]}", flush=True)
        command = [sys.executable, "-m", f"tests.soak.{name}", f"--scale={options.scale}", f"--seed={options.seed}"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nbroken: {', '.join(failed)}; again with --seed={options.seed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
