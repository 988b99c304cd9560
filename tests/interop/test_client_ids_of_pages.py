"""P33 with stock pages: tabs of one browser that carry each other's edits, and a page whose user changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.integration.raw_member import content_of
from tests.integration.relay_process import RelayProcess, eventually
from tests.interop.node_clients import Page, Pages, need_node, open_pages

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    need_node()
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


@pytest.fixture
async def pages() -> AsyncIterator[Pages]:
    need_node()
    async with open_pages() as opened:
        yield opened


async def holds(page: Page, content: dict[str, Any]) -> None:
    await eventually(page.content, lambda seen: seen["m"] == content, what=f"{page.name} holds {content}")


async def stores(relay: RelayProcess, document: str, content: dict[str, Any]) -> None:
    await eventually(lambda: content_of(relay, document), lambda seen: seen == content, what=f"{content} on disk")


async def come_again(page: Page) -> None:
    """Connect anew, so that the relay asks what this page holds."""
    await page.call("disconnect")
    await page.call("connect")
    await page.synced()


async def test_P33_tabs_of_two_users_carry_each_others_edits_and_both_go_on(relay: RelayProcess, pages: Pages) -> None:
    document, expired = "tabs/shared", relay.token(subject="ada", ttl_s=1, now_s=1_000_000_000)
    ada = await pages.open("ada", relay, document, tabs=True, token=expired)
    bob = await pages.open("bob", relay, document, tabs=True, token=relay.token(subject="bob"))
    await bob.synced()
    await ada.edit(["map", "m", "set", "ada", 1])
    await holds(bob, {"ada": 1})
    # Bob's page has it from Ada's, and says so when it is asked.
    await come_again(bob)
    await stores(relay, document, {"ada": 1})
    assert await relay.meter("structs_carried_total") == 0

    # Bob's page has told the relay of Ada's presence, too; her id is hers all the same.
    await ada.call("setParams", {"token": relay.token(subject="ada")})
    await ada.synced()
    await ada.edit(["map", "m", "set", "ada", 2])
    await ada.saved()
    await bob.edit(["map", "m", "set", "bob", 1])
    await bob.saved()

    await ada.call("cut")
    await ada.edit(["map", "m", "set", "ada", 3])
    await holds(bob, {"ada": 3, "bob": 1})
    await come_again(bob)
    await stores(relay, document, {"ada": 3, "bob": 1})
    assert await relay.meter("structs_carried_total") > 0
    assert any("bringer=bob" in line and "owner=ada" in line for line in relay.log.splitlines())

    await ada.call("connect")
    await ada.synced()
    await ada.edit(["map", "m", "set", "ada", 4])
    await ada.saved()
    await stores(relay, document, {"ada": 4, "bob": 1})
    for page in (ada, bob):
        assert all(code != 4403 for code, _ in (await page.state())["closes"])


async def test_P33_a_page_that_changes_its_user_and_keeps_its_document_is_refused(
    relay: RelayProcess, pages: Pages
) -> None:
    document = "tabs/user-change"
    page = await pages.open("page", relay, document, token=relay.token(subject="ada"))
    await page.synced()
    await page.edit(["map", "m", "set", "ada", 1])
    await page.saved()
    await page.call("setParams", {"token": relay.token(subject="bob")})
    await come_again(page)
    await page.edit(["map", "m", "set", "bob", 1])
    state = await eventually(page.state, lambda state: any(code == 4403 for code, _ in state["closes"]))
    (reason,) = {reason for code, reason in state["closes"] if code == 4403}
    assert reason.startswith(f"client-id-taken: client id {state['client']} is somebody else's")
    # A new document, as after a reload, is all that it takes.
    fresh = await pages.open("fresh", relay, document, token=relay.token(subject="bob"))
    await fresh.synced()
    await fresh.edit(["map", "m", "set", "bob", 2])
    await fresh.saved()
