"""Stock HocuspocusProviders, unmodified, against the real relay: what their users can rely on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.peer import OfflinePeer
from tests.integration.raw_member import content_of
from tests.integration.relay_process import RelayProcess, eventually
from tests.integration.retiring import retire
from tests.interop.node_clients import Page, Pages, need_node, open_pages

pytestmark = pytest.mark.interop
ASTRAL = "a😀b🏳️‍🌈c"
PERIOD = "2026-11"


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
    return f"hocuspocus/{plain[:100].strip('-')}/page"


async def more(page: Page) -> dict[str, Any]:
    """What the provider says of itself, and what it has told its page."""
    found: dict[str, Any] = await page.call("more")
    return found


async def told(page: Page, kind: str, count: int = 1) -> list[Any]:
    """What came with the events of a kind, once there are ``count``."""

    async def look() -> list[Any]:
        return [event[1:] for event in (await more(page))["events"] if event[0] == kind]

    return await eventually(look, lambda seen: len(seen) >= count, what=f"{page.name} was told {kind} {count} times")


async def settled(page: Page) -> None:
    """The provider's own number is 0, so that everything is on disk."""
    await eventually(
        lambda: more(page), lambda seen: seen["synced"] and seen["unsyncedChanges"] == 0, what=f"{page.name} settled"
    )


async def agree(*pages: Page) -> dict[str, Any]:
    """Wait until all show the same content, and return it."""

    async def contents() -> list[dict[str, Any]]:
        return [await page.content() for page in pages]

    return (await eventually(contents, lambda seen: all(content == seen[0] for content in seen)))[0]


async def test_two_pages_edit_one_document_and_agree(relay: RelayProcess, pages: Pages, document: str) -> None:
    one = await pages.open_hocuspocus("one", relay, document)
    two = await pages.open_hocuspocus("two", relay, document)
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
    third = await pages.open_hocuspocus("third", relay, document)
    await third.synced()
    assert await third.content() == content
    assert (await more(one))["authorizedScope"] == "read-write"


async def test_pages_of_three_dialects_and_a_python_peer_share_a_room(
    relay: RelayProcess, pages: Pages, tmp_path: Path
) -> None:
    document = f"inventory/{PERIOD}"
    one = await pages.open_hocuspocus("one", relay, document)
    two = await pages.open("two", relay, document)
    three = await pages.open_y_sweet("three", relay, document)
    await one.synced()
    await two.synced()
    await one.call("setState", {"name": "Ada"})
    ada = (await one.state())["client"]
    await eventually(two.states, lambda states: states.get(ada) == {"name": "Ada"})
    async with OfflinePeer.open(
        tmp_path / "till.db", tenant="acme", name="till", relay=relay.ws, token=relay.token()
    ) as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
            docs.inventory.add_location("shop")
            docs.inventory.receive("tea", 3, at="shop", ref="first")
        await peer.sync()
        await one.edit(["map", "m", "set", "by", "one"])
        await two.edit(["text", "t", "insert", 0, ASTRAL])
        await three.edit(["array", "a", "push", [3]])
        for page in (one, two, three):
            await page.saved()
        await peer.sync()
        content = await agree(one, two, three)
        assert (content["m"], content["t"], content["a"]) == ({"by": "one"}, ASTRAL, [3])
        async with peer.read() as docs:
            assert docs.inventory.stock("tea", at="shop") == 3
    assert await pages.call("stock", ["one"], "tea", "shop") == 3


async def test_P25_the_number_reaches_0_when_all_is_on_disk_and_not_before(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    """Offline edits are queued by the provider and not counted; an ack for each would bring 0 too early."""
    one = await pages.open_hocuspocus("one", relay, document, offline=True)
    for number in range(20):
        await one.edit(["map", "m", "set", f"k{number}", number])
    assert (await more(one))["unsyncedChanges"] == 20
    await one.call("connect")
    await settled(one)
    assert (await more(one))["acks"] == 1
    for _ in range(3):
        await one.edit(["map", "m", "set", "more", 1], ["text", "t", "insert", 0, "x"])
        await one.edit(["text", "t", "delete", 0, 1])
        await one.saved()
    assert (await more(one))["acks"] == 7
    await one.call("disconnect")
    for number in range(20):
        await one.edit(["map", "m", "set", f"q{number}", number], ["text", "t", "insert", 0, "x"])
        await one.edit(["text", "t", "delete", 0, 1])
    await one.call("connect")
    await settled(one)
    await one.saved()
    assert (await more(one))["acks"] == 8
    assert (await one.state())["opens"] == 2
    found = await content_of(relay, document)
    assert {f"k{n}" for n in range(20)} | {f"q{n}" for n in range(20)} <= found.keys()


async def test_P25_a_sync_that_is_forced_is_settled_too(relay: RelayProcess, pages: Pages, document: str) -> None:
    one = await pages.open_hocuspocus("one", relay, document)
    await settled(one)
    for number in range(3):
        await one.edit(["map", "m", "set", "k", number])
        await one.saved()
        await one.call("hocuspocus", "forceSync")
        assert (await more(one))["unsyncedChanges"] in (0, 1)
        await settled(one)


async def test_P25_batched_updates_are_settled(relay: RelayProcess, pages: Pages, document: str) -> None:
    one = await pages.open_hocuspocus("one", relay, document, flushDelay=20)
    await settled(one)
    for number in range(50):
        await one.edit(["map", "m", "set", f"k{number}", number])
    await settled(one)
    assert len(await content_of(relay, document)) == 50


async def test_many_documents_share_one_socket_and_one_may_leave(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    await pages.call("openSocket", "socket", f"{relay.ws}/hocuspocus/acme")
    names = [f"{document}/{number}" for number in range(30)]
    many = [await pages.open_hocuspocus(name, relay, name, socket="socket") for name in names]
    for number, page in enumerate(many):
        await page.synced()
        await page.edit(["map", "m", "set", "number", number])
    for number, page in enumerate(many):
        await page.saved()
        assert await content_of(relay, page.name) == {"number": number}
    await many[0].call("destroy")
    await many[1].edit(["map", "m", "set", "more", True])
    await many[1].saved()
    assert (await pages.call("more", "socket"))["opens"] == 1


async def test_providers_of_one_document_on_one_socket_are_told_apart_by_their_session(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    await pages.call("openSocket", "socket", f"{relay.ws}/hocuspocus/acme")
    one = await pages.open_hocuspocus("one", relay, document, socket="socket", sessionAwareness=True)
    two = await pages.open_hocuspocus("two", relay, document, socket="socket", sessionAwareness=True)
    await one.synced()
    await two.synced()
    await one.edit(["map", "m", "set", "by", "one"])
    await one.saved()
    assert (await agree(one, two))["m"] == {"by": "one"}
    await one.call("setState", {"name": "Ada"})
    ada = (await one.state())["client"]
    await eventually(two.states, lambda states: ada in states)
    await one.call("destroy")
    await eventually(two.states, lambda states: ada not in states)


async def test_P26_a_wrong_token_keeps_one_document_shut_and_leaves_the_others_open(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    await pages.call("openSocket", "socket", f"{relay.ws}/hocuspocus/acme")
    good = await pages.open_hocuspocus("good", relay, document, socket="socket")
    await good.synced()
    expired = relay.token(ttl_s=1, now_s=1_000_000_000)
    foreign = relay.token("beta")
    narrow = relay.token(documents=["elsewhere/*"])
    bad = good
    for number, token in enumerate([expired, foreign, narrow, "nonsense", ""]):
        bad = await pages.open_hocuspocus(
            f"bad-{number}", relay, f"{document}-{number}", socket="socket", tokens=[token]
        )
        ((reason,),) = await told(bad, "failed")
        assert reason.split(":")[0] in ("unauthenticated", "forbidden")
        assert not (await more(bad))["synced"]
        assert not token or token not in relay.log
    await good.edit(["map", "m", "set", "k", 1])
    await good.saved()
    # A good token after all: what the provider said before it is not lost.
    await bad.edit(["map", "m", "set", "late", True])
    await bad.call("hocuspocus", "sendToken", relay.token())
    await bad.synced()
    await settled(bad)
    assert await content_of(relay, f"{document}-4") == {"late": True}
    assert (await pages.call("more", "socket"))["opens"] == 1


async def test_P26_updates_that_come_before_their_token_are_kept_in_the_end(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    one = await pages.open_hocuspocus("one", relay, document, offline=True, tokens=[300, relay.token()])
    for number in range(20):
        await one.edit(["map", "m", "set", f"k{number}", number])
    await one.call("connect")
    await settled(one)
    assert len(await content_of(relay, document)) == 20


async def test_P26_a_fresh_token_is_asked_for_and_the_connection_goes_on(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    one = await pages.open_hocuspocus("one", relay, document, tokens=[relay.token(ttl_s=3), relay.token()])
    await told(one, "authenticated", 2)
    begun_s = time.time()
    await one.edit(["map", "m", "set", "k", 1])
    await one.saved()

    async def elapsed() -> float:
        return time.time() - begun_s

    await eventually(elapsed, lambda seen: seen > 3)
    await one.edit(["map", "m", "set", "later", 1])
    await one.saved()
    assert (await one.state())["opens"] == 1


async def test_P26_without_a_fresh_token_the_document_is_closed_and_the_others_stay(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    await pages.call("openSocket", "socket", f"{relay.ws}/hocuspocus/acme")
    stays = await pages.open_hocuspocus("stays", relay, f"{document}/stays", socket="socket")
    brief = await pages.open_hocuspocus("brief", relay, document, socket="socket", tokens=[relay.token(ttl_s=2)])
    await brief.synced()
    ((reason,),) = await told(brief, "closed")
    assert reason == "unauthenticated: the token has expired"
    # Another one after all: what was edited meanwhile arrives, and the number is right.
    await brief.edit(["map", "m", "set", "late", 1])
    await brief.call("hocuspocus", "sendToken", relay.token())
    await settled(brief)
    await brief.edit(["map", "m", "set", "later", 2])
    await brief.saved()
    assert await content_of(relay, document) == {"late": 1, "later": 2}
    await stays.edit(["map", "m", "set", "k", 1])
    await stays.saved()
    assert (await pages.call("more", "socket"))["closes"] == []


async def test_P26_a_fresh_token_may_bring_other_rights(relay: RelayProcess, pages: Pages, document: str) -> None:
    one = await pages.open_hocuspocus("one", relay, document, tokens=[relay.token(role="viewer")])
    await settled(one)
    await one.edit(["map", "m", "set", "k", 1])
    await told(one, "failed")
    await one.call("hocuspocus", "sendToken", relay.token())
    await settled(one)
    assert await content_of(relay, document) == {"k": 1}
    assert await told(one, "authenticated", 2) == [["readonly"], ["read-write"]]
    await one.call("hocuspocus", "sendToken", relay.token(subject="somebody-else"))
    await told(one, "failed", 2)
    assert (await told(one, "closed"))[0][0].startswith("forbidden: ")


async def test_a_viewer_reads_and_is_told_once_that_its_edits_are_refused(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    writer = await pages.open_hocuspocus("writer", relay, document)
    await writer.edit(["map", "m", "set", "k", "from the writer"])
    await writer.saved()
    viewer = await pages.open_hocuspocus("viewer", relay, document, tokens=[relay.token(role="viewer")])
    await settled(viewer)
    assert (await more(viewer))["authorizedScope"] == "readonly"
    assert (await viewer.content())["m"] == {"k": "from the writer"}
    for number in range(3):
        await viewer.edit(["map", "m", "set", f"v{number}", number])
    await writer.edit(["map", "m", "set", "later", True])
    await eventually(viewer.content, lambda content: content["m"].get("later") is True)
    refused = await told(viewer, "failed")
    assert len(refused) == 1
    assert refused[0][0].startswith("forbidden: ")
    assert (await more(viewer))["unsyncedChanges"] == 3
    assert (await viewer.state())["opens"] == 1
    assert await content_of(relay, document) == {"k": "from the writer", "later": True}


async def test_stateless_messages_reach_who_is_here(relay: RelayProcess, pages: Pages, document: str) -> None:
    one = await pages.open_hocuspocus("one", relay, document)
    two = await pages.open_hocuspocus("two", relay, document)
    other = await pages.open("other", relay, document)
    for page in (one, two, other):
        await page.synced()
    await one.call("hocuspocus", "sendStateless", ASTRAL)
    assert await told(two, "stateless") == [[ASTRAL]]
    await two.edit(["map", "m", "set", "k", 1])
    assert (await agree(one, two, other))["m"] == {"k": 1}
    assert [event for event in (await more(one))["events"] if event[0] == "stateless"] == []


async def test_a_newcomer_sees_who_is_here_and_presence_goes_with_its_connection(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    one = await pages.open_hocuspocus("one", relay, document)
    await one.call("setState", {"name": "Ada 😀"})
    await one.synced()
    two = await pages.open_hocuspocus("two", relay, document)
    ada = (await one.state())["client"]
    await eventually(two.states, lambda states: states.get(ada) == {"name": "Ada 😀"})
    await one.call("cut")
    await eventually(two.states, lambda states: ada not in states)


async def test_a_document_that_has_ended_is_closed_and_the_others_stay(
    relay: RelayProcess, pages: Pages, document: str
) -> None:
    await pages.call("openSocket", "socket", f"{relay.ws}/hocuspocus/acme")
    stays = await pages.open_hocuspocus("stays", relay, f"{document}/stays", socket="socket")
    ends = await pages.open_hocuspocus("ends", relay, document, socket="socket")
    await ends.edit(["map", "m", "set", "k", 1])
    await ends.saved()
    assert (await retire(relay, "acme", document))[0] == 200
    assert (await told(ends, "closed"))[0][0].startswith("document-retired: ended for good;")
    late = await pages.open_hocuspocus("late", relay, document, socket="socket", sessionAwareness=True)
    assert (await told(late, "closed"))[0][0].startswith("document-retired: ended for good;")
    await stays.edit(["map", "m", "set", "k", 1])
    await stays.saved()
    assert (await pages.call("more", "socket"))["closes"] == []
