"""Stock y-websocket clients, unmodified, against the real relay: what their users can rely on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.integration.relay_process import RelayProcess, eventually
from tests.interop.node_clients import Page, Pages, need_node, open_pages

pytestmark = pytest.mark.interop
VERSIONS = pytest.mark.parametrize("version", [1, 2, 3, 4], ids=["1.5", "2.1", "3.1", "@y 4.0"])
ASTRAL = "a😀b🏳️‍🌈c"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    need_node()
    with RelayProcess(tmp_path_factory.mktemp("relay"), log_level="debug", free_space_bytes_min=0) as process:
        yield process


@pytest.fixture
async def pages() -> AsyncIterator[Pages]:
    need_node()
    async with open_pages() as opened:
        yield opened


@pytest.fixture
def document(request: pytest.FixtureRequest) -> str:
    """A document of the test's own, with slashes in its name."""
    plain = "".join(char if char.isalnum() else "-" for char in request.node.name.lower()).strip("-")
    return f"interop/{plain}/page"


async def agree(*pages: Page) -> dict[str, Any]:
    """Wait until all show the same content, and return it."""

    async def contents() -> list[dict[str, Any]]:
        return [await page.content() for page in pages]

    return (await eventually(contents, lambda seen: all(content == seen[0] for content in seen)))[0]


@VERSIONS
async def test_two_pages_edit_one_document_and_agree(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    one = await pages.open("one", relay, document, version=version)
    two = await pages.open("two", relay, document, version=version)
    await one.synced()
    await two.synced()
    await one.edit(["map", "m", "set", "price", 450], ["array", "a", "push", [1, {"k": [None]}]])
    await two.edit(["text", "t", "insert", 0, ASTRAL], ["map", "m", "set", "ключ", ASTRAL])
    await one.saved()
    await two.saved()
    assert await agree(one, two) == {"m": {"price": 450, "ключ": ASTRAL}, "a": [1, {"k": [None]}], "t": ASTRAL}
    await one.edit(["text", "t", "insert", 3, "é"], ["array", "a", "delete", 0, 1])
    await two.edit(["text", "t", "delete", 0, 1], ["map", "m", "delete", "price"])
    await one.saved()
    await two.saved()
    content = await agree(one, two)
    assert content["m"] == {"ключ": ASTRAL}
    assert content["t"] == "😀éb🏳️‍🌈c"
    third = await pages.open("third", relay, document, version=version)
    await third.synced()
    assert await third.content() == content


async def test_pages_of_all_versions_agree(relay: RelayProcess, pages: Pages, document: str) -> None:
    """The last of them with Yjs 14, the others with Yjs 13."""
    opened = [await pages.open(f"page-{version}", relay, document, version=version) for version in (1, 2, 3, 4)]
    for page in opened:
        await page.synced()
    for page in opened:
        await page.edit(["map", "m", "set", page.name, ASTRAL], ["text", "t", "insert", 0, "é"])
    for page in opened:
        await page.saved()
    wanted = {page.name: ASTRAL for page in opened}
    assert await agree(*opened) == {"m": wanted, "a": [], "t": "éééé"}
    await opened[-1].edit(["map", "m", "delete", "page-1"], ["text", "t", "delete", 1, 2])
    await opened[-1].saved()
    assert (await agree(*opened))["t"] == "éé"


@VERSIONS
async def test_edits_made_offline_arrive_on_reconnect(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    one = await pages.open("one", relay, document, version=version)
    two = await pages.open("two", relay, document, version=version)
    await one.synced()
    await two.synced()
    await one.call("disconnect")
    await one.edit(["text", "t", "insert", 0, "offline "])
    await one.edit(["map", "m", "set", "by", "one"])
    await two.edit(["text", "t", "insert", 0, "online "])
    await two.saved()
    assert (await one.state())["echoed"] == 0
    await one.call("connect")
    await one.synced()
    await one.saved()
    content = await agree(one, two)
    assert sorted(content["t"].split()) == ["offline", "online"]
    assert content["m"] == {"by": "one"}


@VERSIONS
async def test_a_deletion_reaches_a_page_that_was_away(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    """No state vector tells that it lacks one."""
    one = await pages.open("one", relay, document, version=version)
    two = await pages.open("two", relay, document, version=version)
    await one.synced()
    await two.synced()
    await one.edit(["map", "m", "set", "k", 1], ["text", "t", "insert", 0, ASTRAL])
    await agree(one, two)
    await one.saved()
    await one.call("disconnect")
    await two.edit(["map", "m", "delete", "k"], ["text", "t", "delete", 0, 3])
    await two.saved()
    await one.call("connect")
    await one.synced()
    assert (await agree(one, two)) == {"m": {}, "a": [], "t": ASTRAL[2:]}


@VERSIONS
async def test_a_page_that_starts_offline_brings_all_its_edits(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    one = await pages.open("one", relay, document, version=version, offline=True)
    for number in range(20):
        await one.edit(["map", "m", "set", f"k{number}", number])
    await one.call("connect")
    await one.synced()
    await one.saved()
    two = await pages.open("two", relay, document, version=version)
    await two.synced()
    assert (await two.content())["m"] == {f"k{number}": number for number in range(20)}


@VERSIONS
@pytest.mark.parametrize("end", ["destroy", "cut"])
async def test_a_newcomer_sees_who_is_here_at_once_and_presence_goes_with_its_connection(
    relay: RelayProcess, pages: Pages, document: str, version: int, end: str
) -> None:
    one = await pages.open("one", relay, document, version=version)
    await one.call("setState", {"name": "Ada 😀"})
    await one.synced()
    two = await pages.open("two", relay, document, version=version)
    ada = (await one.state())["client"]
    await eventually(two.states, lambda states: states.get(ada) == {"name": "Ada 😀"})
    await one.call(end)
    # Its own clock would forget a silent neighbour only after 30 s.
    await eventually(two.states, lambda states: ada not in states)


@VERSIONS
async def test_a_page_that_comes_back_is_seen_again(relay: RelayProcess, document: str, version: int) -> None:
    """With its next renewal, after 15 s of its clock: others do not take the same presence clock twice."""
    async with open_pages(speed=60) as pages:
        one = await pages.open("one", relay, document, version=version)
        two = await pages.open("two", relay, document, version=version)
        await one.call("setState", {"name": "Ada"})
        ada = (await one.state())["client"]
        await eventually(two.states, lambda states: ada in states)
        await one.call("cut")
        await eventually(two.states, lambda states: ada not in states)
        await one.call("connect")
        await eventually(two.states, lambda states: states.get(ada) == {"name": "Ada"})


@VERSIONS
async def test_the_room_may_stand_in_the_url_or_in_the_name(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    one = await pages.open("one", relay, document, version=version, serverUrl=f"{relay.ws}/ws/acme/")
    two = await pages.open("two", relay, f"acme/{document}", version=version, serverUrl=f"{relay.ws}/ws")
    await one.synced()
    await two.synced()
    await one.edit(["map", "m", "set", "k", 1])
    assert (await agree(one, two))["m"] == {"k": 1}


@pytest.mark.parametrize("version", [2, 3, 4], ids=["2.1", "3.1", "@y 4.0"])
async def test_a_token_may_come_as_a_subprotocol(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    """1.5 has no option for it."""
    protocols = ["crdt-sync", f"bearer.{relay.token()}"]
    page = await pages.open("one", relay, document, version=version, params={}, protocols=protocols)
    await page.synced()
    assert (await page.state())["protocol"] == "crdt-sync"


@VERSIONS
async def test_a_ticket_lets_a_page_in_once(relay: RelayProcess, pages: Pages, document: str, version: int) -> None:
    status, body = await relay.post("/api/v1/tickets", Authorization=f"Bearer {relay.token()}")
    assert status == 201
    ticket = json.loads(body)["ticket"]
    first = await pages.open("first", relay, document, version=version, params={"ticket": ticket})
    await first.synced()
    second = await pages.open("second", relay, document, version=version, params={"ticket": ticket})
    await eventually(second.state, lambda state: state["refusals"] > 0)
    assert (await second.state())["opens"] == 0
    await second.call("destroy")
    assert ticket not in relay.log


@VERSIONS
async def test_a_viewer_reads_and_its_edits_are_refused_once_and_never_stored(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    writer = await pages.open("writer", relay, document, version=version)
    await writer.edit(["map", "m", "set", "k", "from the writer"])
    await writer.synced()
    await writer.saved()
    viewer = await pages.open("viewer", relay, document, version=version, token=relay.token(role="viewer"))
    await viewer.synced()
    assert (await viewer.content())["m"] == {"k": "from the writer"}
    for number in range(3):
        await viewer.edit(["map", "m", "set", f"v{number}", number])
    await writer.edit(["map", "m", "set", "later", True])
    await eventually(viewer.content, lambda content: content["m"].get("later") is True)
    warnings = [text for text in await pages.call("warnings") if "Permission denied" in text]
    assert len(warnings) == 1
    assert (await viewer.state())["echoed"] == 0
    assert (await viewer.state())["opens"] == 1
    fresh = await pages.open("fresh", relay, document, version=version)
    await fresh.synced()
    assert (await fresh.content())["m"] == {"k": "from the writer", "later": True} == (await writer.content())["m"]


@VERSIONS
async def test_an_invalid_token_keeps_a_page_out(
    relay: RelayProcess, pages: Pages, document: str, version: int
) -> None:
    token = relay.token(ttl_s=1, now_s=1_000_000_000)
    page = await pages.open("one", relay, document, version=version, token=token)
    await eventually(page.state, lambda state: state["refusals"] > 0)
    assert (await page.state())["opens"] == 0
    assert token not in relay.log
