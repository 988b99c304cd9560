"""The reference of the Python face is run: each block, in order, and each line gives what its comment says."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.peer import OfflinePeer
from tests.integration.documented_pages import page
from tests.integration.documented_shop import Clone
from tests.integration.relay_process import RelayProcess
from tests.integration.test_documentation_runs import fill, run_till

PAGE = "docs/reference/python.md"
SHOWN = re.compile(r"^(?P<indent> *)(?P<line>.+?) +# -> (?P<shown>.+)$", re.MULTILINE)


def checked(block: str) -> str:
    """The block with every line that shows what it gives made a check of it."""
    return SHOWN.sub(lambda m: f"{m['indent']}shows(({m['line']}), {m['shown']!r})", block)


async def run(blocks: list[str], relay: RelayProcess, shows: Callable[[object, str], None]) -> None:
    token = relay.token("acme")
    async with OfflinePeer.open("till.db", tenant="acme", name="till-1", relay=relay.ws, token=token) as till:
        names: dict[str, Any] = {"till": till, "token": token, "shows": shows, "OfflinePeer": OfflinePeer}
        for block in blocks:
            source = checked(block).replace("ws://127.0.0.1:1234", relay.ws)
            awaited = eval(compile(source, PAGE, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307  our page
            if awaited is not None:
                await awaited


async def test_every_line_of_the_python_page_gives_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = list(page(PAGE).blocks_of("python"))
    seen: list[str] = []

    def shows(value: object, text: str) -> None:
        assert repr(value) == text
        seen.append(text)

    with RelayProcess(tmp_path / "relay", free_space_bytes_min=0) as relay:
        monkeypatch.chdir(tmp_path)
        await run(blocks, relay, shows)
    shown = sum(len(SHOWN.findall(block)) for block in blocks)
    assert len(seen) == shown > 30


def public(face: type) -> set[str]:
    return {name for name in dir(face) if not name.startswith("_")}


def test_the_python_page_names_every_public_method() -> None:
    text = page(PAGE).text
    named = set(re.findall(r"\w+", text))
    documents = public(OfflinePeer) | public(InventoryDocument) | public(MetricsDocument)
    assert documents - named == set()


def test_a_line_is_checked_where_it_stands() -> None:
    assert checked("if True:\n    a, b   # -> (1, 2)\n") == "if True:\n    shows((a, b), '(1, 2)')\n"


async def test_the_till_of_the_how_to_takes_a_sale_back(tmp_path: Path) -> None:
    with Clone(tmp_path) as clone:
        clone.start_relay()
        await fill(clone, clone.token())
        (program,) = page("docs/how-to/write-an-offline-peer.md").blocks_of("python", "file=till.py")
        (clone.folder / "till.py").write_text(clone.here(program))
        (clone.folder / "token").write_text(clone.token() + "\n")
        printed = run_till(clone, "tea 3\nundo\nundo\ntea 2\n")
    assert printed.splitlines() == [
        "sold 3 tea, 7 left",
        "undone, by 1 movements",
        "not undone: this peer has no edit to take back since it was opened",
        "sold 2 tea, 8 left",
    ]
