"""``export`` and ``import``: documents as Yjs v1 updates, through the gate."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pycrdt import Doc, Map

from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import RelayProcess, run_command

JSON_CONTENT = b'\x01\x01\x05\x00\x02\x01\x01a\x01\x08"\\ud800"\x00'
"""One array element of the kind that Yjs wrote before version 13: client 5 pushes half a character to the array "a"."""


def ran(data: Path, *arguments: str) -> CompletedProcess[str]:
    return run_command(*arguments, "--data", str(data))


def update_of(**entries: object) -> bytes:
    doc: Doc = Doc()
    doc.get("m", type=Map).update(entries)
    return doc.get_update()


def read(update: bytes) -> dict[str, object]:
    doc: Doc = Doc()
    doc.apply_update(update)
    content: dict[str, object] = doc.get("m", type=Map).to_py() or {}
    return content


def imported(data: Path, update: bytes, *options: str, document: str = "shop") -> CompletedProcess[str]:
    file = data.with_name("given.yjs")
    file.write_bytes(update)
    return ran(data, "import", "acme", document, str(file), *options)


async def test_documents_of_a_relay_go_out_and_into_another(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path / "relay", free_space_bytes_min=0) as relay:
        for document in ("shop", "shop/notes", "inventory/catalog.2"):
            author = Author()
            async with open_raw(relay, document) as page:
                await page.join()
                await page.save(author.put("name", document))
                await page.save(author.put("gone", 1))
                del author.root["gone"]
                await page.save(author._update)
        assert (await relay.run_command("export", "acme", str(tmp_path / "out"))).returncode == 1, "the relay runs"
        await relay.stop()
        told = await relay.run_command("export", "acme", str(tmp_path / "out"))
        assert (told.returncode, told.stdout) == (0, f"3 documents exported to {tmp_path / 'out'}\n")
        files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
        assert files == [
            "inventory/catalog.2.json",
            "inventory/catalog.2.yjs",
            "shop.json",
            "shop.yjs",
            "shop/notes.json",
            "shop/notes.yjs",
        ]
        assert read((tmp_path / "out" / "shop" / "notes.yjs").read_bytes()) == {"name": "shop/notes"}
        assert "shop" in json.dumps(json.loads((tmp_path / "out" / "shop.json").read_text()))
        told = await relay.run_command("export", "acme", "shop", str(tmp_path / "one"))
        assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["shop.json", "shop.yjs"]
        relay.data = tmp_path / "other"
        for document in ("shop", "shop/notes"):
            file = str(tmp_path / "out" / f"{document}.yjs")
            assert (await relay.run_command("import", "acme", document, file, "--create")).returncode == 0
        await relay.start()
        assert await content_of(relay, "shop/notes") == {"name": "shop/notes"}
        assert await content_of(relay, "shop") == {"name": "shop"}
        assert (await relay.stop(), "0 damaged" in (await relay.run_command("verify")).stdout) == (0, True)


def test_a_document_that_is_there_is_merged_only_when_that_is_asked_for(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = update_of(tea=1), update_of(milk=2)
    assert imported(data, first).returncode == 2, "there is no tenant"
    assert imported(data, first, "--create").returncode == 0
    told = imported(data, first)
    assert (told.returncode, told.stdout) == (0, "acme/shop holds all of it already\n")
    told = imported(data, second)
    assert (told.returncode, "--merge merges" in told.stderr) == (1, True)
    assert imported(data, second, "--merge").returncode == 0
    assert ran(data, "export", "acme", str(tmp_path / "out")).returncode == 0
    assert read((tmp_path / "out" / "shop.yjs").read_bytes()) == {"tea": 1.0, "milk": 2.0}


def test_what_the_gate_refuses_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    data = tmp_path / "data"
    whole = update_of(tea=1, milk=2)
    assert imported(data, whole, "--create", document="other").returncode == 0
    continued = Author(7)
    continued.put("first", 1)
    for update, words in (
        (whole[:-3], "is no update"),
        (whole + b"\0", "is no update"),
        (b"not an update at all", "is no update"),
        (JSON_CONTENT, "half of a surrogate pair"),
        (continued.put("second", 2), "builds on something that is not in it"),
        (b"", "it must have 1 to"),
    ):
        told = imported(data, update)
        assert told.returncode != 0
        assert words in told.stderr, told.stderr
        assert "Traceback" not in told.stderr
    assert "copy its contents into a new Y.Doc" in imported(data, JSON_CONTENT).stderr
    other = tmp_path / "other" / "data"
    other.parent.mkdir()
    assert imported(other, whole[:-3], "--create").returncode == 1
    assert not other.exists(), "a tenant was made for nothing"
    assert ran(data, "rooms", "--plain").stdout.split("\t")[0] == "acme/other"


@pytest.mark.parametrize("name", ["../shop", "Shop", "/shop"])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    assert imported(data, update_of(tea=1), "--create", document=name).returncode == 1
    assert not list(tmp_path.rglob("*.db"))


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert imported(data, update_of(tea=1), "--create").returncode == 0
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep me")
    assert "not empty" in ran(data, "export", "acme", str(tmp_path / "out")).stderr
    assert "has no document nothing" in ran(data, "export", "acme", "nothing", str(tmp_path / "o")).stderr
