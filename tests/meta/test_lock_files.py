"""A lock file pins versions and checksums, not the host that somebody once installed from."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.meta.tree import ROOT, walk

LOCK_FILES = frozenset({"package-lock.json", "npm-shrinkwrap.json", "uv.lock", "poetry.lock", "pylock.toml"})
HOST = re.compile(r"(?:https?|git\+\w+)://[^\s\"']+")
NODE = ROOT / "tests" / "interop" / "node"


def hosts_in_lock(text: str) -> Iterator[str]:
    """Addresses in a lock file. Where a package asks for donations is not where it is installed from."""
    if text.lstrip().startswith("{"):
        text = json.dumps(without_funding(json.loads(text)))
    yield from HOST.findall(text)


def without_funding(value: Any) -> Any:
    match value:
        case dict():
            return {key: without_funding(inner) for key, inner in value.items() if key != "funding"}
        case list():
            return [without_funding(inner) for inner in value]
        case _:
            return value


def test_no_lock_file_holds_a_host() -> None:
    locks = [path for path in (*walk(ROOT / "tests"), *ROOT.glob("*.*")) if path.name in LOCK_FILES]
    assert NODE / "package-lock.json" in locks
    assert [host for path in locks for host in hosts_in_lock(path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        '{"packages": {"yjs": {"resolved": "https://packages.example/yjs.tgz", "funding": {"url": "https://a.example"}}}}',
        'source = { registry = "https://packages.example/simple" }\n',
    ],
)
def test_a_host_in_a_lock_file_is_found(text: str) -> None:
    assert [host.partition("/y")[0].partition("/s")[0] for host in hosts_in_lock(text)] == ["https://packages.example"]


def test_the_javascript_clients_are_pinned_exactly_and_share_one_yjs() -> None:
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
    assert [
        name for name, version in wanted.items() if not re.fullmatch(r"(npm:[a-z-]+@)?\d+\.\d+\.\d+(-\d+)?", version)
    ] == []
    locked = json.loads((NODE / "package-lock.json").read_text())["packages"]
    for shared in ("yjs", "lib0", "y-protocols"):
        # Two copies of yjs would break `instanceof`, and with it every nested type.
        assert [path for path in locked if path.endswith(f"node_modules/{shared}")] == [f"node_modules/{shared}"]
