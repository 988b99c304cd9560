"""Stock y-sweet pages and y-sweet's own SDK, unmodified, against the real relay: what their users can rely on."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.peer import OfflinePeer
from crdt_sync.protocol.y_sweet import document_of
from tests.integration.raw_member import Author, content_of
from tests.integration.relay_process import RelayProcess, eventually
from tests.integration.retiring import retire
from tests.interop.node_clients import Page, Pages, backend_of, need_node, open_pages

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
def doc_id(request: pytest.FixtureRequest) -> str:
    """An id of the test's own, with a capital in it, as y-sweet's may have."""
    plain = "".join(char if char.isalnum() else "-" for char in request.node.name).strip("-")
    return f"Y{plain[-60:]}"


async def more(page: Page) -> dict[str, Any]:
    """What y-sweet's provider says of itself, and how its backend was asked."""
    found: dict[str, Any] = await page.call("more")
    return found


async def connected(page: Page) -> None:
    await eventually(lambda: more(page), lambda seen: seen["status"] == "connected", what=f"{page.name} connected")


async def saved(page: Page) -> None:
    await eventually(lambda: more(page), lambda seen: not seen["hasLocalChanges"], what=f"{page.name} saved")


async def shows(page: Page, **wanted: Any) -> None:
    """Wait until the page's map is ``wanted``."""
    await eventually(page.content, lambda content: content["m"] == wanted)


async def saves(page: Page, count: int) -> None:
    """Wait until the relay has said that so many more of its edits are on disk."""
    wanted = (await page.state())["echoed"] + count
    await eventually(page.state, lambda state: state["echoed"] >= wanted, what=f"{page.name} saved more")


async def test_two_pages_edit_one_document_and_agree(relay: RelayProcess, pages: Pages, doc_id: str) -> None:
    one = await pages.open_y_sweet("one", relay, doc_id)
    two = await pages.open_y_sweet("two", relay, doc_id)
    await connected(one)
    await connected(two)
    # Until the first answer it takes its empty document for unsaved, and an edit then changes nothing in that.
    await saved(one)
    await one.edit(["map", "m", "set", "price", 450])
    await two.edit(["text", "t", "insert", 0, ASTRAL], ["map", "m", "set", "ключ", ASTRAL])
    await saved(one)
    await saved(two)
    wanted = {"m": {"price": 450, "ключ": ASTRAL}, "a": [], "t": ASTRAL}
    await eventually(one.content, lambda content: content == wanted)
    await eventually(two.content, lambda content: content == wanted)
    await one.edit(["map", "m", "delete", "price"])
    await shows(two, ключ=ASTRAL)
    await saved(one)
    assert (await more(one))["changes"] == [False, True, False, True, False]


async def test_pages_of_three_kinds_and_a_peer_are_in_one_room(
    relay: RelayProcess, pages: Pages, tmp_path: Path
) -> None:
    """The id is our name of the document, slash and all: the stock client copies it into its URLs."""
    tenant = "mixed"
    async with OfflinePeer.open(
        tmp_path / "till.db", tenant=tenant, name="till", relay=relay.ws, token=relay.token(tenant)
    ) as till:
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.add_product("sock", price=1250)
            docs.inventory.add_location("A")
            docs.inventory.receive("sock", 10, at="A", ref="delivery 1")
        await till.sync()
        sweet = await pages.open_y_sweet("sweet", relay, "inventory/catalog", tenant=tenant)
        stock = await pages.open_y_sweet("stock", relay, f"inventory/{PERIOD}", tenant=tenant)
        plain = await pages.open("plain", relay, "inventory/catalog", tenant=tenant)
        for page in (sweet, stock):
            await connected(page)
        await plain.synced()
        assert await sweet.call("documents", "attribute", "sock", "price") == 1250
        assert await pages.call("stock", ["stock"], "sock", "A") == 10
        await sweet.call("documents", "setPrice", "sock", 990)
        await stock.call("documents", "move", "sale", "sock", "A", 2, "web.1")
        await saved(sweet)
        await saved(stock)

        async def price_in_the_plain_page() -> Any:
            return await plain.call("documents", "attribute", "sock", "price")

        await eventually(price_in_the_plain_page, lambda price: price == 990)
        await plain.call("documents", "setPrice", "sock", 880)
        await plain.saved()
        await till.sync()
        async with till.read() as docs:
            assert docs.inventory.attribute("sock", "price") == 880
            assert docs.inventory.stock_table() == {("sock", "A"): 8}
        assert await sweet.call("documents", "attribute", "sock", "price") == 880
        await sweet.call("setState", {"name": "Ada"})
        ada = (await sweet.state())["client"]
        await eventually(plain.states, lambda states: states.get(ada) == {"name": "Ada"})
        await sweet.call("disconnect")
        await eventually(plain.states, lambda states: ada not in states)


async def test_pages_of_every_dialect_are_in_one_room(relay: RelayProcess, pages: Pages, doc_id: str) -> None:
    document = document_of(doc_id)
    opened = [
        await pages.open_y_sweet("sweet", relay, doc_id),
        await pages.open_hocuspocus("hocuspocus", relay, document),
        *[await pages.open(f"plain-{version}", relay, document, version=version) for version in (1, 3, 4)],
    ]
    for page in opened:
        await page.edit(["map", "m", "set", page.name, ASTRAL], ["text", "t", "insert", 0, "é"])
    wanted = {"m": {page.name: ASTRAL for page in opened}, "a": [], "t": "é" * len(opened)}
    for page in opened:
        await eventually(page.content, lambda content: content == wanted, what=f"{page.name} shows all")
        await page.saved()
        await page.call("setState", {"name": page.name})
    for page in opened:

        def knows_all(states: dict[int, Any]) -> bool:
            return {state["name"] for state in states.values() if state} == wanted["m"].keys()  # type: ignore[attr-defined]

        await eventually(page.states, knows_all, what=f"{page.name} sees who is here")
    assert await content_of(relay, document) == wanted["m"]


async def test_P27_edits_made_offline_count_as_local_until_they_are_on_disk(
    relay: RelayProcess, pages: Pages, doc_id: str
) -> None:
    one = await pages.open_y_sweet("one", relay, doc_id)
    await connected(one)
    await saved(one)
    await one.call("disconnect")
    await one.edit(["map", "m", "set", "by", "one"])
    await one.edit(["text", "t", "insert", 0, "offline"])
    assert (await more(one))["hasLocalChanges"]
    await one.call("connect")
    await saved(one)
    # It says so the first time that it says so, whenever that is.
    assert await content_of(relay, document_of(doc_id)) == {"by": "one"}
    assert (await more(one))["changes"] == [False, True, False]


async def test_P27_while_the_store_fails_nothing_is_said_to_be_saved(
    relay: RelayProcess, pages: Pages, doc_id: str
) -> None:
    tenant = "locked"
    one = await pages.open_y_sweet("one", relay, doc_id, tenant=tenant)
    await connected(one)
    await saved(one)
    lock = sqlite3.connect(relay.data / "tenants" / f"{tenant}.db", isolation_level=None)
    try:
        lock.execute("BEGIN IMMEDIATE")
        await one.edit(["map", "m", "set", "k", 1])
        await eventually(one.state, lambda state: len(state["closes"]) >= 2, what="two failed tries")
        assert (await more(one))["changes"] == [False, True]
        lock.execute("ROLLBACK")
    finally:
        lock.close()
    await saved(one)
    assert await content_of(relay, document_of(doc_id), tenant=tenant) == {"k": 1}


async def test_P27_what_was_acked_before_a_kill_is_there_after_it_and_the_rest_comes(tmp_path: Path) -> None:
    need_node()
    document = "load"
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay, open_pages() as pages:
        writers = [await pages.open_y_sweet(f"page-{number}", relay, document) for number in range(2)]
        for writer in writers:
            await connected(writer)
            await writer.call("write", 100_000)
        for kills in range(3):
            for writer in writers:
                await saves(writer, 50)
            await relay.kill()
            promised = {
                f"{writer.name}-{number}" for writer in writers for number in range((await writer.state())["echoed"])
            }
            await relay.start()
            assert promised - (await content_of(relay, document)).keys() == set(), f"after kill {kills + 1}"
            for writer in writers:
                await connected(writer)
        for writer in writers:
            await writer.call("stop")
            await saved(writer)
        edits = {writer.name: (await writer.state())["edits"] for writer in writers}
        wanted = {f"{name}-{number}" for name, count in edits.items() for number in range(count)}
        assert set(await content_of(relay, document)) == wanted
        for writer in writers:
            assert set((await writer.content())["m"]) == wanted


async def test_P27_a_reader_is_warned_keeps_its_edits_and_its_connection(
    relay: RelayProcess, pages: Pages, doc_id: str
) -> None:
    """Its marks never come back, and a client that hears nothing for 3 s would leave."""
    writer = await pages.open_y_sweet("writer", relay, doc_id)
    await connected(writer)
    await writer.edit(["map", "m", "set", "k", 1])
    await saved(writer)
    reader = await pages.open_y_sweet("reader", relay, doc_id, authorization="read-only")
    await connected(reader)
    await saved(reader)
    assert (await more(reader))["clientToken"]["authorization"] == "read-only"
    await reader.edit(["map", "m", "set", "mine", 2])
    await writer.edit(["map", "m", "set", "later", True])
    await shows(reader, k=1, mine=2, later=True)
    await eventually(reader.state, lambda state: state["empties"] >= 3, what="signs of life")
    state = await reader.state()
    assert (state["opens"], state["closes"]) == (1, [])
    assert (await more(reader))["hasLocalChanges"]
    assert any("read-only" in text for text in await pages.call("warnings"))
    assert await content_of(relay, document_of(doc_id)) == {"k": 1, "later": True}


async def test_a_quiet_page_stays_connected(relay: RelayProcess, pages: Pages, doc_id: str) -> None:
    """It asks every 2 s, and is answered."""
    one = await pages.open_y_sweet("one", relay, doc_id)
    await connected(one)
    await one.call("setState", None)
    asked = await relay.meter("turns_total")
    await eventually(lambda: relay.meter("turns_total"), lambda turns: turns >= asked + 3)
    assert (await one.state())["opens"] == 1


async def test_P28_an_expired_client_token_is_replaced_by_the_backend(
    relay: RelayProcess, pages: Pages, doc_id: str
) -> None:
    one = await pages.open_y_sweet("one", relay, doc_id, validForSeconds=2)
    await connected(one)
    first = (await more(one))["clientToken"]["token"]
    await one.call("setAuth", {"validForSeconds": 600})
    await eventually(one.state, lambda state: bool(state["closes"]), what="the connection ends with its token")
    await one.edit(["map", "m", "set", "meanwhile", True])
    await eventually(lambda: more(one), lambda seen: seen["tokens"] == 2 and not seen["hasLocalChanges"])
    state = await one.state()
    assert state["closes"][0] == [4401, "unauthenticated: the token has expired"]
    assert state["refusals"] >= 3
    assert await content_of(relay, document_of(doc_id)) == {"meanwhile": True}
    assert first not in relay.log
    assert (await more(one))["clientToken"]["token"] not in relay.log


@pytest.mark.parametrize("token", ["forged", "expired", "of other documents"])
async def test_P28_without_a_good_token_of_its_backend_a_page_gets_none(
    relay: RelayProcess, pages: Pages, doc_id: str, token: str
) -> None:
    given = {
        "forged": relay.token()[:-6] + "AAAAAA",
        "expired": relay.token(ttl_s=1, now_s=1_000_000_000),
        "of other documents": relay.token(documents=["other/*"]),
    }[token]
    page = await pages.open_y_sweet("page", relay, doc_id, token=given)
    await eventually(lambda: more(page), lambda seen: seen["status"] == "error")
    assert (await page.state())["opens"] == (await page.state())["refusals"] == 0
    warned = [text for text in await pages.call("warnings") if "Failed to get client token" in text]
    assert warned
    assert ("403" in warned[0]) == (token == "of other documents")


async def test_P28_a_client_token_is_good_for_its_document_and_for_no_more_than_its_backends(
    relay: RelayProcess, pages: Pages, doc_id: str
) -> None:
    viewer = backend_of(relay, token=relay.token(role="viewer"))
    given = await pages.backend("token", viewer, doc_id, {})
    assert given["authorization"] == "read-only"
    assert "403" in (await pages.backend("token", viewer, doc_id, {"authorization": "full"}))["refused"]
    own = await pages.backend("token", backend_of(relay), doc_id, {"userId": "ada"})
    other = {**own, "docId": "other", "baseUrl": own["baseUrl"].replace(doc_id, "other")}
    empty = base64.b64encode(b"\x00\x00").decode()
    assert "403" in (await pages.backend("writeAs", other, empty))["refused"]
    # With its own token a page gets no more of them than that one lives.
    as_backend = backend_of(relay, token=own["token"])
    assert "refused" in await pages.backend("token", as_backend, "other", {})
    assert "403" in (await pages.backend("token", as_backend, doc_id, {"role": "manager"}))["refused"]
    assert "403" in (await pages.backend("token", backend_of(relay), doc_id, {"role": "admin"}))["refused"]


async def test_a_whole_document_goes_in_and_out_over_http(relay: RelayProcess, pages: Pages, doc_id: str) -> None:
    server = backend_of(relay)
    assert await pages.backend("create", server, doc_id) == {"docId": doc_id}
    page = await pages.open_y_sweet("page", relay, doc_id)
    await connected(page)
    author = Author()
    for number in range(3):
        author.put(f"k{number}", ASTRAL)
    whole = base64.b64encode(author.doc.get_update()).decode()
    assert await pages.backend("write", server, doc_id, whole) is None
    assert await pages.backend("write", server, doc_id, whole) is None
    await shows(page, k0=ASTRAL, k1=ASTRAL, k2=ASTRAL)
    await page.edit(["map", "m", "delete", "k1"], ["text", "t", "insert", 0, "page"])
    await saved(page)
    read = await pages.backend("read", server, doc_id)
    wanted = {"m": {"k0": ASTRAL, "k2": ASTRAL}, "t": "page"}
    assert await pages.backend("contentOf", read) == wanted
    # And once more, through another document.
    copy = (await pages.backend("create", server, None))["docId"]
    assert await pages.backend("write", server, copy, read) is None
    assert await pages.backend("contentOf", await pages.backend("read", server, copy)) == wanted


async def test_P1_what_came_over_http_survives_a_kill_and_a_compaction(tmp_path: Path) -> None:
    need_node()
    async with (
        RelayProcess(tmp_path, free_space_bytes_min=0, compact_log_records_max=5) as relay,
        open_pages() as pages,
    ):
        server, author = backend_of(relay), Author()
        assert await pages.backend("check", server) == {"ok": True}
        wanted = {}
        for number in range(20):
            update = author.put(f"k{number}", number)
            assert await pages.backend("write", server, "load", base64.b64encode(update).decode()) is None
            wanted[f"k{number}"] = number
        await eventually(lambda: relay.meter("compactions_total"), lambda count: count > 0)
        update = author.put("last", True)
        assert await pages.backend("write", server, "load", base64.b64encode(update).decode()) is None
        # A snapshot and what came after it are one update for whoever asks.
        for _ in range(2):
            read = await pages.backend("contentOf", await pages.backend("read", server, "load"))
            assert read["m"] == {**wanted, "last": True}
            await relay.kill()
            await relay.start()


async def test_a_backend_is_told_that_nothing_can_be_kept(tmp_path: Path) -> None:
    need_node()
    async with RelayProcess(tmp_path, free_space_bytes_min=1 << 60) as relay, open_pages() as pages:
        checked = await pages.backend("check", backend_of(relay))
        assert not checked["ok"]
        assert "free_space_bytes_min" in checked["error"]


async def test_P28_over_http_a_reader_reads_and_a_bad_update_is_refused(
    relay: RelayProcess, pages: Pages, doc_id: str
) -> None:
    server = backend_of(relay)
    author = Author()
    author.put("k", 1)
    beyond = base64.b64encode(author.put("k", 2)).decode()
    assert "409" in (await pages.backend("write", server, doc_id, beyond))["refused"]
    bad = base64.b64encode(b"\x01\x01\x01\x00\x00").decode()
    assert "400" in (await pages.backend("write", server, doc_id, bad))["refused"]
    whole = base64.b64encode(author.doc.get_update()).decode()
    assert await pages.backend("write", server, doc_id, whole) is None
    reader = await pages.backend("token", server, doc_id, {"authorization": "read-only"})
    assert "403" in (await pages.backend("writeAs", reader, whole))["refused"]
    assert (await pages.backend("contentOf", await pages.backend("readAs", reader)))["m"] == {"k": 2}


async def test_P23_a_backend_is_told_that_a_document_has_ended(relay: RelayProcess, pages: Pages, doc_id: str) -> None:
    server = backend_of(relay)
    page = await pages.open_y_sweet("page", relay, doc_id)
    await connected(page)
    assert (await retire(relay, "acme", document_of(doc_id)))[0] == 200
    await eventually(page.state, lambda state: bool(state["closes"]))
    code, reason = (await page.state())["closes"][0]
    assert (code, reason.split(":")[0]) == (4410, "document-retired")
    assert "410" in (await pages.backend("token", server, doc_id, {}))["refused"]
    await page.call("disconnect")
