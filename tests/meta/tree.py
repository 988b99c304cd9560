"""What the house-rule tests look at: our own files, read from the checkout, never what a tool installed beside them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("crdt_sync", "server")
PYTHON = (*PRODUCT, "tests", "benchmarks")
TEXT_SUFFIXES = frozenset({"", ".cfg", ".css", ".html", ".ini", ".js", ".json", ".md", ".mjs", ".py", ".toml", ".yaml"})
INSTALLED = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text under its path from the top of the checkout, e.g. ``server/app.py``."""

    path: str
    text: str

    @property
    def folders(self) -> list[str]:
        return self.path.split("/")[:-1]

    def syntax(self) -> ast.Module:
        return ast.parse(self.text, self.path)


def read(path: Path) -> Source:
    return Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def python_sources(*folders: str) -> list[Source]:
    """All Python files in ``folders``."""
    return [read(path) for folder in folders for path in walk(ROOT / folder) if path.suffix == ".py"]


def text_sources() -> list[Source]:
    """All text files of the project: the fixed folders, and the files beside them."""
    inside = [path for folder in (*PYTHON, "docs", ".ci") for path in walk(ROOT / folder)]
    beside = [path for path in sorted(ROOT.iterdir()) if path.is_file()]
    return [read(path) for path in inside + beside if path.suffix in TEXT_SUFFIXES and path.name != ".git"]


def walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not INSTALLED.intersection(path.relative_to(ROOT).parts):
            yield path
