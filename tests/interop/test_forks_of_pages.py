"""Plain Yjs pages that just call ``map.set``: which of their writes were concurrent is told from their bytes alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.updates.forks import ForkIndex
from tests.laws.key_histories import ROOT, KeyHistory, KeyWrite, Listener, contradictions, same_heads

NODE_FOLDER = Path(__file__).parent / "node"
HISTORIES = int(os.environ.get("CRDT_SYNC_HISTORIES", "400"))
OPERATIONS = 30
pytestmark = pytest.mark.interop


def as_read(value: Any) -> Any:
    """Numbers as the bytes give them."""
    if isinstance(value, list):
        return [as_read(item) for item in value]
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    return float(value) if type(value) is int else value


def parsed(line: str) -> tuple[KeyHistory, dict[str, set[str]]]:
    told = json.loads(line)
    writes = [
        KeyWrite(
            write["key"],
            write["client"],
            write["clock"],
            as_read(write["value"]),
            {int(client): clock for client, clock in write["knew"].items()},
        )
        for write in told["writes"]
    ]
    updates, states = ([base64.b64decode(raw) for raw in told[name]] for name in ("updates", "states"))
    return KeyHistory(updates, writes, states), {key: set(dots) for key, dots in told["heads"].items()}


@pytest.fixture(scope="module")
def histories() -> list[tuple[KeyHistory, dict[str, set[str]]]]:
    program = shutil.which("node")
    if program is None or not (NODE_FOLDER / "node_modules" / "yjs").is_dir():
        pytest.skip("install Node 20 or later and run `npm ci` in tests/interop/node")
    command = [program, "concurrent_pages.mjs", "1", str(HISTORIES), str(OPERATIONS)]
    outcome = subprocess.run(command, cwd=NODE_FOLDER, capture_output=True, text=True, timeout=600, check=False)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    return [parsed(line) for line in outcome.stdout.splitlines()]


def test_I6_concurrent_writes_of_plain_pages_are_found_exactly(
    histories: list[tuple[KeyHistory, dict[str, set[str]]]],
) -> None:
    keys = forked = 0
    for number, (history, heads_on_page) in enumerate(histories, 1):
        live = Listener().hear_all(history.updates)
        assert contradictions(history, live.index) == [], f"seed {number}"
        for key in history.keys:
            assert live.dots(key) == heads_on_page[key], f"seed {number}: what a page sees of {key!r}"
        keys += len(history.keys)
        forked += len(live.index.forked(ROOT))
    assert keys > 4 * HISTORIES
    assert forked > HISTORIES / 4


def test_I6_the_collected_state_of_a_page_has_the_same_heads(
    histories: list[tuple[KeyHistory, dict[str, set[str]]]],
) -> None:
    for number, (history, _) in enumerate(histories, 1):
        live = Listener().hear_all(history.updates).index
        for state in history.states:
            rebuilt = ForkIndex.of_state([ROOT], state)
            assert same_heads(history.keys, live, rebuilt), f"seed {number}"
            assert contradictions(history, rebuilt) == [], f"seed {number}"
