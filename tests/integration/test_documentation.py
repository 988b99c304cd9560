"""The pages say what is so: links lead somewhere, commands and meters exist, trees and tables are the real ones."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache

import pytest
import typer.testing

from crdt_sync import errors
from crdt_sync.errors import SyncError
from server.commands.application import application
from server.telemetry.meters import Meters
from server.web.problems import PROBLEMS
from tests.integration.documented_pages import FENCED, ROOT, Page, all_pages, page

PAGES = pytest.mark.parametrize("shown", all_pages(), ids=str)
ARCHITECTURE = page("docs/architecture.md")
GLOSSARY = page("docs/glossary.md")
COMMAND = re.compile(
    r"(?:(?<![\w/])|(?<=bin/))crdt-sync (?P<command>[a-z][a-z-]*)(?P<rest>(?:[ \t]+(?:\\\n)?[^\s`|>&;)]+)*)"
)
OPTION = re.compile(r"(?<=\s)--[a-z][a-z-]*")


# Links


@PAGES
def test_every_relative_link_leads_somewhere(shown: Page) -> None:
    broken = []
    for link in shown.links:
        target, _, anchor = link.partition("#")
        led_to = Page((shown.path.parent / target).resolve() if target else shown.path)
        if not led_to.path.exists() or (anchor and anchor not in led_to.anchors):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (shown.path.parent / link.partition("#")[0]).resolve()
        for shown in all_pages()
        for link in shown.links
        if not link.startswith("#")
    }
    assert [str(shown) for shown in all_pages() if shown.path not in linked and shown.path.name != "README.md"] == []


# Commands


@cache
def options_of(*command: str) -> frozenset[str]:
    """The options that ``--help`` of a command names; fails where there is no such command."""
    told = typer.testing.CliRunner().invoke(application, [*command, "--help"], env={"COLUMNS": "250"})
    assert told.exit_code == 0, f"there is no command crdt-sync {' '.join(command)}"
    return frozenset(re.findall(r"--[a-z][a-z-]*", told.output))


def commands_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of ours in code, blocks and inline, with the options that they are given."""
    inline = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    for code in [*(found["text"] for found in FENCED.finditer(text)), *inline]:
        for found in COMMAND.finditer(code):
            words = found["rest"].split()
            has_more = found["command"] in {"replay", "token", "api-key", "quarantine"}
            subcommand = words[:1] if has_more and found["rest"].strip()[:1].isalpha() else []
            yield " ".join([found["command"], *subcommand]), OPTION.findall(found["rest"])


def test_commands_are_found_with_their_options() -> None:
    text = (
        "see `crdt-sync serve --host` and\n```sh\nx=$(.venv/bin/crdt-sync token --ttl 1h) --no\n```\ncrdt-sync bogus\n"
    )
    assert sorted(commands_in(text)) == [("serve", ["--host"]), ("token", ["--ttl"])]


@PAGES
def test_every_command_shown_exists_with_these_options(shown: Page) -> None:
    for command, options in commands_in(shown.text):
        # The announcement of the relay, `crdt-sync relay on ...`, and the first line of a store's sidecar.
        if command not in {"relay", "store"}:
            assert set(options) <= options_of(*command.split()), f"crdt-sync {command} has no {options}"


def test_the_readme_names_every_command() -> None:
    told = typer.testing.CliRunner().invoke(application, ["--help"], env={"COLUMNS": "250"}).output
    commands = set(re.findall(r"^[^\w-]*([a-z][a-z-]+) {2,}[A-Z]", told, re.MULTILINE))
    assert {"serve", "verify"} <= commands
    named = {command.split()[0] for command, _ in commands_in(page("README.md").text)}
    assert commands - named == set()


@PAGES
def test_every_make_target_shown_exists(shown: Page) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    blocks = "\n".join(block.text for block in shown.blocks if block.language == "sh")
    inline = re.findall(r"`make ([a-z-]+)", shown.text)
    assert {*re.findall(r"^make ([a-z-]+)", blocks, re.MULTILINE), *inline} <= targets


@PAGES
def test_every_meter_shown_exists(shown: Page) -> None:
    rendered, _ = Meters().render()
    there = set(re.findall(r"^# TYPE (\w+)", rendered.decode(), re.MULTILINE))
    assert set(re.findall(r"`(crdt_sync_\w+?)(?:\{[^`]*)?`", shown.text)) <= there


# Tables


def codes_that_travel() -> dict[str, tuple[int, int]]:
    """Close code and HTTP status of every kind of error that ends a connection or a request."""
    branches = (errors.ProtocolError, errors.AccessError, errors.StoreError, errors.RoomError)
    leaves = (errors.InvalidName, errors.DocumentRetired)
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, (*branches, *leaves)) and kind not in branches
    ]
    return {kind.code: problem_of_kind(kind) for kind in kinds}


def problem_of_kind(kind: type[SyncError]) -> tuple[int, int]:
    return next((problem.close_code, problem.http_status) for above, problem in PROBLEMS if issubclass(kind, above))


def test_the_close_codes_of_the_protocol_are_those_that_are_sent() -> None:
    rows = re.findall(
        r"^\| (\d{4}) \| (\d{3}) \| ([a-z, -]+) \|", page("docs/reference/protocol.md").text, re.MULTILINE
    )
    shown = {code: (int(close), int(http)) for close, http, codes in rows for code in codes.split(", ")}
    assert shown == codes_that_travel()


def test_the_error_classes_of_the_how_to_exist() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \|", page("docs/how-to/write-an-offline-peer.md").text, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert {"DocumentError", "NotSynced", "StoreCorrupted"} <= set(names)
    assert [name for name in names if not issubclass(getattr(errors, name), SyncError)] == []


# Architecture


def drawn_files() -> set[str]:
    """The files that the tree in architecture.md draws, as paths."""
    (tree,) = ARCHITECTURE.blocks_of("tree")
    files, folders = set(), [""]
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        # Behind two blanks stands what it is for.
        names = re.split(r" {2,}", line.strip())[0].split(" ")
        if names[0].endswith("/"):
            folders[depth + 1 :] = [folders[depth] + names[0]]
        else:
            files |= {folders[depth] + name for name in names}
    return files


def files_of_a_clone() -> set[str]:
    """Every module of both packages that is checked in: what somebody has just begun is not drawn yet."""
    listed = subprocess.run(
        ["git", "ls-files", "crdt_sync/*.py", "server/*.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("the tree is compared in a clone: install git, and run this in a checkout")
    return {path for path in listed.stdout.split() if not path.endswith("/__init__.py")}


def test_the_tree_of_the_architecture_is_the_real_one() -> None:
    assert sorted(drawn_files() ^ files_of_a_clone()) == []


def test_the_floors_of_the_architecture_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {contract["containers"][0]: contract["layers"] for contract in contracts if contract["type"] == "layers"}
    (drawn,) = ARCHITECTURE.blocks_of("floors")
    for line in drawn.splitlines():
        package, _, floors = line.partition(":")
        # Names in parentheses are of modules to come.
        checked = [floor for floor in layers[package] if floor != "(feed)"]
        assert floors.strip().split(" > ") == [floor.strip("()") for floor in checked]


@PAGES
def test_every_source_file_named_in_a_page_exists(shown: Page) -> None:
    named = re.findall(r"`((?:crdt_sync|server|tests|benchmarks)/[\w./-]+)`", shown.text)
    assert [path for path in named if not (ROOT / path).exists()] == []


# Glossary


def glossary_words() -> set[str]:
    return set(re.findall(r"^\| \*\*([a-z ]+)\*\* \|", GLOSSARY.text, re.MULTILINE))


def test_the_glossary_explains_the_words_of_the_house() -> None:
    house = """member peer replica relay turn update edit room tail snapshot ledger gate gap verdict piece outbox inbox
        shed scribe store log mark grant ticket host record compaction presence dialect ack echo seal link token
        draft"""
    assert set(house.split()) - glossary_words() == set()


def test_every_word_of_the_glossary_is_one_of_the_code() -> None:
    sources = [path for package in ("crdt_sync", "server") for path in (ROOT / package).rglob("*.py")]
    code = re.sub(r"[_\s]+", " ", " ".join(path.read_text("utf-8") for path in sources)).lower()
    assert [word for word in sorted(glossary_words()) if not re.search(rf"\b{word}", code)] == []
