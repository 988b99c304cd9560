"""What the pages show is run: every block of the tutorial as a reader types it, and the snippets of the other pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.documented_pages import ROOT, Block, page
from tests.integration.documented_shop import Clone, Terminal, install_clients, need_clients

TUTORIAL = "docs/tutorial/two-tills.md"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    with Clone(tmp_path) as clone:
        yield clone


def alike(lines: Sequence[str], role: str) -> Sequence[str]:
    """Lines as they are compared: ``similar`` ones but for figures and the width of columns."""
    if role == "similar":
        return [re.sub(r"\s+", " ", re.sub(r"\d+", "N", line)).strip() for line in lines]
    return sorted(lines) if role == "any order" else lines


class Reader:
    """Follows a page: types its blocks into two terminals and compares what is printed with what the page shows."""

    def __init__(self, clone: Clone, terminal: Terminal) -> None:
        self._clone = clone
        self._terminal = terminal
        self._printed: list[str] = []

    def follow(self, block: Block) -> None:
        match block.cue:
            case "relay: stop":
                self._clone.stop_relay()
            case "relay: start":
                self._clone.start_relay()
        text = self._clone.here(block.text)
        match block.language, block.role:
            case "sh", "relay":
                self._clone.start_relay()
                self._printed = self._clone.announcement.splitlines()
            case "sh", "npm":
                install_clients(self._clone.folder / "page")
            case "sh", "":
                self._printed = self._terminal.run(text)
            case (("python" | "js"), role) if role.startswith("file="):
                (self._clone.folder / role.removeprefix("file=")).write_text(text)
            case "text", role:
                self._compare(text.splitlines(), role)
            case _:
                raise AssertionError(f"nobody knows what to do with a block ```{block.info}")

    def _compare(self, shown: list[str], role: str) -> None:
        printed = self._terminal.more(self._printed, len(shown))
        assert alike(printed, role) == alike(shown, role)


def test_the_tutorial_works_as_it_is_written(clone: Clone) -> None:
    need_clients()
    with Terminal(clone.folder) as terminal:
        reader = Reader(clone, terminal)
        for block in page(TUTORIAL).blocks:
            reader.follow(block)
    assert [path.name for path in clone.folder.iterdir()] == [".venv"], "the last block clears everything away"


def test_the_tutorial_starts_the_relay_as_make_run_does() -> None:
    assert "crdt-sync serve --demo acme" in (ROOT / "Makefile").read_text()
