"""What the pages show is run: every block of the tutorial as a reader types it, and the snippets of the other pages."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.errors import NotSynced
from crdt_sync.peer import OfflinePeer
from tests.integration.documented_pages import ROOT, Block, page
from tests.integration.documented_shop import (
    DEADLINE_S,
    Clone,
    Program,
    Terminal,
    environment,
    install_clients,
    need_clients,
)

README = "README.md"
TUTORIAL = "docs/tutorial/two-tills.md"
OFFLINE_PEER = "docs/how-to/write-an-offline-peer.md"
YJS_PAGE = "docs/how-to/connect-a-yjs-page.md"
RUN_THE_RELAY = "docs/how-to/run-the-relay.md"


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
        if role == "excerpt":
            lines = iter(printed)
            # Each is looked for behind the one before.
            assert [line for line in shown if line.strip() != "..." and line not in lines] == []
        else:
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


@pytest.fixture
def open_shop(clone: Clone) -> Clone:
    """A clone whose relay runs."""
    clone.start_relay()
    return clone


async def fill(clone: Clone, token: str) -> None:
    """What the snippets take for granted: ten packets of tea in the shop."""
    async with OfflinePeer.open(
        clone.folder / "filler.db", tenant="acme", name="filler", relay=clone.url, token=token
    ) as peer:
        async with peer.edit() as docs:
            docs.inventory.add_product("tea", price=450)
            docs.inventory.add_location("shop")
            docs.inventory.receive("tea", 10, at="shop")
        await peer.sync()


def test_make_run_says_what_the_readme_shows(open_shop: Clone) -> None:
    (shown,) = page(README).blocks_of("text", "announcement")
    assert open_shop.announcement == open_shop.here(shown)


async def test_the_python_lines_of_the_readme_sell_and_sync(
    open_shop: Clone, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = open_shop.token()
    await fill(open_shop, token)
    monkeypatch.chdir(open_shop.folder)
    async with OfflinePeer.open("till-1.db", tenant="acme", name="till-1", relay=open_shop.url, token=token) as peer:
        await peer.sync()
    (lines,) = page(README).blocks_of("python")
    code = compile(open_shop.here(lines), README, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {"OfflinePeer": OfflinePeer, "token": token}
    await eval(code, names)  # noqa: S307  a page of ours
    assert capsys.readouterr().out == "0\n"
    async with OfflinePeer.open("filler.db", tenant="acme", name="filler", relay=open_shop.url, token=token) as peer:
        await peer.sync()
        async with peer.read() as docs:
            assert docs.inventory.stock("tea", "shop") == 7


async def test_the_page_of_the_readme_shows_the_catalog(open_shop: Clone) -> None:
    need_clients()
    token = open_shop.token()
    await fill(open_shop, token)
    install_clients(open_shop.folder)
    (lines,) = page(README).blocks_of("js")
    program = f"import {{ WebSocket }} from 'ws'\nglobalThis.WebSocket ??= WebSocket\nconst token = '{token}'\n"
    (open_shop.folder / "page.mjs").write_text(program + open_shop.here(lines))
    with Program(open_shop.folder, "node", "page.mjs") as shown:
        shown.says("'tea/$life': 'active'")


async def test_the_till_of_the_how_to_sells_refuses_and_syncs(open_shop: Clone) -> None:
    await fill(open_shop, open_shop.token())
    (program,) = page(OFFLINE_PEER).blocks_of("python", "file=till.py")
    (open_shop.folder / "till.py").write_text(open_shop.here(program))
    (open_shop.folder / "token").write_text(open_shop.token() + "\n")
    printed = run_till(open_shop, "tea 3\nbread 1\ntea 2\n")
    assert printed.splitlines() == [
        "sold 3 tea, 7 left",
        "not sold: the catalog has no product 'bread'",
        "sold 2 tea, 5 left",
    ]
    # All of it had reached the relay before the program ended.
    async with OfflinePeer.open(
        open_shop.folder / "filler.db", tenant="acme", name="filler", relay=open_shop.url, token=open_shop.token()
    ) as peer:
        await peer.sync()
        async with peer.read() as docs:
            assert docs.inventory.stock("tea", "shop") == 5


async def test_a_token_callable_may_say_that_it_has_none(open_shop: Clone) -> None:
    def no_token() -> str:
        raise NotSynced("no token")

    path = open_shop.folder / "till.db"
    async with OfflinePeer.open(path, tenant="acme", name="till-1", relay=open_shop.url, token=no_token) as till:
        with pytest.raises(NotSynced, match="no token"):
            await till.sync()


def run_till(clone: Clone, sales: str) -> str:
    done = subprocess.run(
        [sys.executable, "till.py"],
        cwd=clone.folder,
        env=environment(),
        input=sales,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def yjs_page(clone: Clone, command: str, role: str = "operator") -> Iterator[Program]:
    """The JavaScript of the how-to, driven through ``command`` of page_driver.mjs."""
    need_clients()
    if not (clone.folder / "node_modules").exists():
        install_clients(clone.folder)
        (clone.folder / "package.json").write_text('{"type": "module"}')
        shutil.copy(Path(__file__).parent / "page_driver.mjs", clone.folder)
        for block in page(YJS_PAGE).blocks:
            if block.language == "js":
                (clone.folder / block.role.removeprefix("file=")).write_text(block.text)
    token = clone.token(role)
    bad = token[:-8] + "AAAAAAAA"
    driven = ("node", "page_driver.mjs", command)
    with Program(clone.folder, *driven, RELAY=clone.url, TOKEN=token, BAD_TOKEN=bad) as driver:
        yield driver


def test_the_page_of_the_how_to_renews_its_token(open_shop: Clone) -> None:
    with yjs_page(open_shop, "page") as driver:
        driver.says("connected", "expired", "connected again")


def test_the_hocuspocus_page_of_the_how_to_says_saved_when_it_is(open_shop: Clone) -> None:
    with yjs_page(open_shop, "hocuspocus") as driver:
        driver.says("nothing to save", "not saved", "saved", "a fresh token", "two on one socket")


def test_the_y_sweet_page_of_the_how_to_says_saved_when_it_is(open_shop: Clone) -> None:
    with yjs_page(open_shop, "sweet") as driver:
        driver.says("nothing to save", "not saved", "saved", "read")


def test_a_ticket_is_got_as_the_how_to_shows(open_shop: Clone) -> None:
    with yjs_page(open_shop, "ticket") as driver:
        driver.says("a ticket", "refused: ")


def test_saved_is_shown_when_it_is_true_and_not_before(open_shop: Clone) -> None:
    with yjs_page(open_shop, "saved") as driver:
        driver.says("not saved", "saved", "delete saved")
        open_shop.stop_relay()
        driver.go_on()
        driver.says("not saved offline")
        open_shop.start_relay()
        driver.go_on()
        driver.says("saved after the return")
    with yjs_page(open_shop, "viewer", role="viewer") as driver:
        driver.says("reads {}", "refused and not saved")


def test_the_settings_of_the_how_to_hold(clone: Clone) -> None:
    (settings,) = page(RUN_THE_RELAY).blocks_of("toml")
    (clone.folder / "crdt-sync.toml").write_text(settings)
    shown = clone.command("check-config", "--config", "crdt-sync.toml")
    assert "https://shop.example" in shown
