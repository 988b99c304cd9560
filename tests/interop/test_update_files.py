"""Files of updates between the relay and real Yjs, and pages that heal a relay which was restored to an older state."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Array, Doc

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.legacy import convert_legacy
from tests.integration.documented_pages import page
from tests.integration.raw_member import content_of
from tests.integration.relay_process import RelayProcess, eventually, run_command
from tests.integration.test_exports import JSON_CONTENT
from tests.interop.node_clients import NODE_FOLDER, need_node, open_pages

pytestmark = pytest.mark.interop

LEGACY = json.loads((NODE_FOLDER / "legacy_updates.json").read_text())
"""Whole states that Yjs 13.0.0-88 wrote, of two clients each that set, pushed, typed, deleted and merged."""


def node(script: Path | str, *arguments: object) -> str:
    ran = subprocess.run(
        ["node", str(script), *map(str, arguments)], cwd=NODE_FOLDER, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def node_lines(script: str, lines: str) -> list[Any]:
    need_node()
    ran = subprocess.run(["node", script], cwd=NODE_FOLDER, input=lines, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def told(data: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_command(*map(str, arguments), "--data", str(data))


def test_real_yjs_reads_what_is_exported_and_what_it_writes_is_imported(tmp_path: Path) -> None:
    need_node()
    data, file, out = tmp_path / "data", tmp_path / "given.yjs", tmp_path / "out"
    node("update_files.mjs", "write", file)
    assert told(data, "import", "acme", "shop", file, "--create").returncode == 0
    assert told(data, "export", "acme", out).returncode == 0
    expected = {"m": {"tea": 450, "nested": {"deep": [1, "two", None]}}, "t": "🐈 world"}
    assert json.loads(node("update_files.mjs", "read", out / "shop.yjs")) == expected
    assert told(data, "import", "acme", "shop", file).stdout == "acme/shop holds all of it already\n"


@pytest.mark.parametrize("number", range(len(LEGACY)))
def test_what_old_yjs_wrote_reads_alike_after_the_conversion(number: int) -> None:
    """Yjs 13.6 still reads content of kind JSON, so it is the judge of both."""
    old = base64.b64decode(LEGACY[number])
    converted = convert_legacy(old, DEFAULT_LIMITS)
    assert converted.elements
    lines = "".join(json.dumps([base64.b64encode(update).decode()]) + "\n" for update in (old, converted.update))
    before, after = node_lines("legacy_read.mjs", lines)
    assert after == before
    assert before["a"]
    doc: Doc[Any] = Doc()
    doc.apply_update(converted.update)
    assert doc.get("a", type=Array).to_py() == before["a"]


def test_a_legacy_document_is_imported_and_the_command_says_what_it_converted(tmp_path: Path) -> None:
    need_node()
    data, old = tmp_path / "data", tmp_path / "old.yjs"
    old.write_bytes(base64.b64decode(LEGACY[0]))
    imported = told(data, "import", "acme", "shop", old, "--create")
    assert (imported.returncode, imported.stderr) == (0, "")
    assert "elements of a kind that Yjs wrote before 13.0 are converted\n" in imported.stdout
    assert told(data, "import", "acme", "shop", old).stdout.endswith("acme/shop holds all of it already\n")
    assert told(data, "export", "acme", tmp_path / "out").returncode == 0
    (before,) = node_lines("legacy_read.mjs", json.dumps([LEGACY[0]]) + "\n")
    assert json.loads((tmp_path / "out" / "shop.json").read_text())["a"] == before["a"]


def test_a_legacy_document_without_counterpart_is_refused_and_goes_in_after_the_documented_conversion(
    tmp_path: Path,
) -> None:
    need_node()
    data, old, new = tmp_path / "data", tmp_path / "old.yjs", tmp_path / "new.yjs"
    old.write_bytes(JSON_CONTENT)
    refused = told(data, "import", "acme", "shop", old, "--create")
    assert (refused.returncode, "docs/how-to/back-up-and-restore.md" in refused.stderr) == (1, True)
    assert "half of a surrogate pair" in refused.stderr
    (script,) = page("docs/how-to/back-up-and-restore.md").blocks_of("js", "convert")
    (tmp_path / "convert.mjs").write_text(script)
    (tmp_path / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    node(tmp_path / "convert.mjs", old, new, "a:array")
    assert told(data, "import", "acme", "shop", new, "--create").returncode == 0
    assert told(data, "export", "acme", tmp_path / "out").returncode == 0
    assert json.loads((tmp_path / "out" / "shop.json").read_text())["a"] == ["\ufffd"]


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_page_that_stays_open_heals_a_relay_restored_to_an_older_state(tmp_path: Path, version: int) -> None:
    need_node()
    async with RelayProcess(tmp_path / "relay", free_space_bytes_min=0) as relay, open_pages() as pages:
        shop = await pages.open("shop", relay, "shop", version=version)
        await shop.synced()
        await shop.edit(["map", "m", "set", "before", 1], ["map", "m", "set", "deleted", 1])
        await shop.saved()
        backup, data = tmp_path / "backup", tmp_path / "restored"
        assert (await relay.run_command("backup", "acme", str(backup))).returncode == 0
        await shop.edit(["map", "m", "set", "acked after", 2])
        await shop.edit(["map", "m", "delete", "deleted"])
        await shop.saved()
        await relay.stop()
        assert told(data, "restore", backup).returncode == 0
        shutil.copy(relay.data / "secret.key", data)
        relay.data = data
        await relay.start()
        expected = {"before": 1, "acked after": 2}
        await eventually(lambda: content_of(relay, "shop"), lambda found: found == expected)
        await shop.edit(["map", "m", "set", "later", 3])
        await eventually(lambda: content_of(relay, "shop"), lambda found: found == {**expected, "later": 3})
        assert (await shop.content())["m"] == {**expected, "later": 3}
        await relay.kill()
        assert "0 damaged" in told(data, "verify").stdout
