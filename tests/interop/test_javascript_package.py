"""The npm package in the tree: its types, its files, its size, and what it needs of others."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from tests.integration.documented_pages import page
from tests.interop.node_clients import NODE_FOLDER, need_node

pytestmark = pytest.mark.interop
ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "crdt_sync" / "javascript"
MODULES = sorted(PACKAGE.glob("*.mjs"))
IMPORT = re.compile(r"^(?:import .*|export .*|}| ) ?from '([^']+)'$", re.MULTILINE)
LINES_MAX, COLUMNS_MAX = 399, 120


def test_a_typed_page_compiles_against_the_types(tmp_path: Path) -> None:
    need_node()
    compiler = NODE_FOLDER / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.is_file():
        pytest.skip("TypeScript is not installed: run make test")
    settings = {
        "compilerOptions": {
            "strict": True, "noEmit": True, "module": "nodenext", "target": "es2022", "lib": ["es2023", "dom"],
            "skipLibCheck": False, "types": [], "preserveSymlinks": True,
        },
        "files": ["typed_page.mts"],
    }  # fmt: skip
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
    (tmp_path / "typed_page.mts").write_text((NODE_FOLDER / "typed_page.mts").read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    link_packages(tmp_path)
    done = subprocess.run(
        ["node", str(compiler), "--project", str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["shop.mjs", "conflict.mjs"])
def test_the_examples_of_the_reference_print_what_it_says(name: str, tmp_path: Path) -> None:
    need_node()
    reference = page("docs/reference/javascript.md")
    (example,) = reference.blocks_of("js", f"file={name}")
    after = reference.text.partition(example)[2]
    promised = re.search(r"^It prints (.*?)[:.]$", after, re.MULTILINE)
    assert promised is not None
    (tmp_path / name).write_text(example)
    link_packages(tmp_path)
    done = subprocess.run(
        ["node", "--preserve-symlinks", name], cwd=tmp_path, capture_output=True, timeout=60, check=True
    )
    printed = done.stdout.decode().splitlines()
    assert printed == re.findall(r"`([^`]+)`", promised[1])[: len(printed)]


def link_packages(folder: Path) -> None:
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "crdt-sync-documents").symlink_to(PACKAGE)
    for name in ("yjs", "lib0", "isomorphic.js"):
        (modules / name).symlink_to(NODE_FOLDER / "node_modules" / name)


def test_the_types_name_what_the_modules_offer() -> None:
    need_node()
    script = (
        "const face = await import(process.argv[1]);"
        "const { Inventory } = await import(process.argv[2]); const { Metrics } = await import(process.argv[3]);"
        "const of = made => { const names = new Set(); for (let at = made.prototype; at !== Object.prototype;"
        " at = Object.getPrototypeOf(at)) Object.getOwnPropertyNames(at).forEach(name => names.add(name));"
        " return [...names] };"
        "console.log(JSON.stringify([Object.keys(face), of(Inventory), of(Metrics)]))"
    )
    paths = [(PACKAGE / name).as_uri() for name in ("crdt-sync-documents.mjs", "inventory.mjs", "metrics.mjs")]
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script, *paths], capture_output=True, timeout=60, check=True
    )
    exports, *methods = map(set, json.loads(done.stdout))
    types = (PACKAGE / "crdt-sync-documents.d.mts").read_text()
    assert exports == set(re.findall(r"^export (?:function|class) (\w+)", types, re.MULTILINE))
    for name, found in zip(("Inventory", "Metrics"), methods, strict=True):
        body = re.search(rf"^export interface {name} {{\n(.*?)^}}", types, re.MULTILINE | re.DOTALL)
        assert body is not None
        declared = set(re.findall(r"^  (\w+)\(", body[1], re.MULTILINE))
        assert declared - found == set()


def test_the_package_depends_on_nothing_and_has_the_version_of_the_library() -> None:
    manifest = json.loads((PACKAGE / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert manifest["version"] == project["version"]
    assert manifest["license"] == project["license"]
    assert "dependencies" not in manifest
    imported = {name for path in MODULES for name in IMPORT.findall(path.read_text())}
    assert {name for name in imported if not name.startswith("./")} == set()
    assert {name.removeprefix("./") for name in imported} <= {path.name for path in MODULES}


def test_the_library_brings_the_package_along() -> None:
    inside = files("crdt_sync") / "javascript"
    for name in ("crdt-sync-documents.mjs", "crdt-sync-documents.d.mts", "package.json", "README.md"):
        assert (inside / name).is_file()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_keep_to_the_sizes_of_the_house(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= LINES_MAX
    assert [number for number, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX] == []
