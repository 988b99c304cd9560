"""Peers whose documents have ended: their copies go, their own edits are carried over or reported as lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crdt_sync.documents.stock.books import FoldStep
from crdt_sync.errors import DocumentRetired, InvalidName, InvalidValue, NotSynced, PeriodClosed
from tests.integration.raw_member import open_raw
from tests.integration.relay_process import RelayProcess, eventually
from tests.integration.retiring import Opening, opener, places_of, retire

SECRET = "token-of-mrs-miller"
SUBJECT, PII = "customer-1042", "pii/customer-1042"
PERIOD = "2026-11"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0, steward="off") as process:
        yield process


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    return "".join(char if char.isalnum() else "-" for char in request.node.name.lower()).strip("-")[-50:].strip("-")


@pytest.fixture
def opening(relay: RelayProcess, tmp_path: Path, tenant: str) -> Opening:
    return opener(relay, tmp_path, tenant)


async def test_P24_a_peer_that_hears_of_the_end_drops_its_copy_and_syncs_on(
    relay: RelayProcess, opening: Opening, tmp_path: Path, tenant: str
) -> None:
    async with opening("till-1") as peer:
        async with peer.personal(SUBJECT) as person:
            person.set("name", SECRET)
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea", price=450)
        await peer.sync()
        assert places_of(SECRET, tmp_path / "till-1") != []
        assert (await retire(relay, tenant, PII))[0] == 200
        await peer.sync()
        assert peer.status().ended == (f"{PII}: ended for good; asked for",)
        assert peer.status().refused == ()
        assert peer.status().unsynced == 0
        assert places_of(SECRET, tmp_path / "till-1") == []
        with pytest.raises(DocumentRetired):
            async with peer.personal(SUBJECT):
                pass
        await peer.sync()
    async with opening("till-1") as peer:
        await peer.sync()
        assert peer.status().ended == (f"{PII}: ended for good; asked for",)
        async with peer.read() as docs:
            assert docs.inventory.attribute("tea", "price") == 450
    assert places_of(SECRET, tmp_path) == []
    assert places_of(SECRET, relay.data) == []


async def test_P24_edits_that_no_relay_had_are_lost_with_the_document_and_counted(
    relay: RelayProcess, opening: Opening, tmp_path: Path, tenant: str
) -> None:
    async with opening("till-1") as peer:
        for number in range(3):
            async with peer.personal(SUBJECT) as person:
                person.set("name", f"{SECRET} {number}")
        assert (await retire(relay, tenant, PII))[0] == 200
        await peer.sync()
        (told,) = peer.status().ended
        assert told == f"{PII}: ended for good; asked for; edits of this peer that no relay had, and that are lost: 3"
        assert peer.status().unsynced == 0
    assert places_of(SECRET, tmp_path) == []


async def test_P24_nothing_is_dropped_while_the_successor_can_not_be_entered(
    relay: RelayProcess, opening: Opening, tmp_path: Path, tenant: str
) -> None:
    narrow = relay.token(tenant, documents=["inventory/*", "metrics/*", "pii/*"])
    async with opening("till-1", token=narrow) as peer:
        async with peer.personal(SUBJECT) as person:
            person.set("name", "kept")
        assert (await retire(relay, tenant, PII, successor="elsewhere/1042"))[0] == 200
        with pytest.raises(NotSynced, match="elsewhere/1042 was refused"):
            await peer.sync()
        assert peer.status().ended == ()
        assert peer.status().unsynced == 1
        async with peer.personal(SUBJECT) as person:
            assert person.get("name") == "kept"
    async with opening("till-1") as peer:
        await peer.sync()
        (told,) = peer.status().ended
        assert told == f"{PII}: succeeded by elsewhere/1042; asked for; entries carried over: 1"


async def test_work_goes_on_when_the_documents_of_a_past_period_were_dropped(
    relay: RelayProcess, opening: Opening, tenant: str
) -> None:
    first_of_december_ms = 1_796_083_200_000
    async with opening("till-1", now_ms=lambda: first_of_december_ms + 3_600_000) as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
            docs.inventory.add_location("shop")
            docs.inventory.receive("tea", 5, at="shop")
            docs.metrics.count("sales", "shop")
        await peer.follow(f"metrics/{PERIOD}")
        await peer.sync()
        for document in (f"metrics/{PERIOD}", f"inventory/{PERIOD}"):
            assert (await retire(relay, tenant, document, why="past its time"))[0] == 200
        await peer.sync()
        assert len(peer.status().ended) == 2
        async with peer.edit() as docs:
            docs.inventory.receive("tea", 2, at="shop")
            docs.metrics.count("sales", "shop")
            # Nor does anything wait for what will never come: rights, reports, the fold of the next period.
            docs.inventory.set_location_attribute("shop", "escrow", "refuse")
            docs.inventory.sell("tea", 1, at="shop")
            assert docs.inventory.inconsistencies() == []
        await peer.sync()
        async with peer.edit(period="2026-12") as docs:
            assert docs.inventory.books.unfolded() == ["2026-12"]
            assert docs.inventory.books.close()
        async with peer.edit(also=["2026-12"]) as docs:
            assert docs.inventory.books.fold("2026-12") is FoldStep.WRITTEN
        async with peer.read() as docs:
            assert docs.inventory.stock("tea", "shop") == 1


async def test_the_movements_of_a_period_can_be_edited_and_read_when_its_metrics_were_dropped(
    relay: RelayProcess, opening: Opening, tenant: str
) -> None:
    async with opening("till-1") as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
            docs.inventory.add_location("shop")
            docs.inventory.receive("tea", 5, at="shop")
            docs.metrics.count("sales", "shop")
        await peer.sync()
        assert (await retire(relay, tenant, f"metrics/{PERIOD}", why="past its time"))[0] == 200
        await peer.sync()
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.sell("tea", 2, at="shop")
            with pytest.raises(PeriodClosed):
                docs.metrics.count("sales", "shop")
        for periods in (None, [PERIOD]):
            async with peer.read(periods=periods) as docs:
                assert docs.inventory.stock("tea", "shop") == 3
                assert docs.metrics.counter("sales", "shop") == 0
                assert docs.metrics.faults() == []
        await peer.sync()


async def test_P23_a_peer_that_is_online_is_told_at_once(
    relay: RelayProcess, opening: Opening, tmp_path: Path, tenant: str
) -> None:
    async with opening("till-1") as peer, peer.online():
        async with peer.personal(SUBJECT) as person:
            person.set("name", SECRET)
        await peer.settled()
        assert (await retire(relay, tenant, PII))[0] == 200

        async def ended() -> tuple[str, ...]:
            return peer.status().ended

        await eventually(ended, bool)
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea", price=450)
        await peer.settled()
        assert peer.status().is_online
    assert places_of(SECRET, tmp_path) == []


async def test_P23_an_old_peer_can_not_bring_a_document_back(
    relay: RelayProcess, opening: Opening, tmp_path: Path, tenant: str
) -> None:
    for name in ("old", "newer"):
        async with opening(name) as peer:
            async with peer.personal(SUBJECT) as person:
                person.set(name, SECRET)
            await peer.sync()
    assert (await retire(relay, tenant, PII))[0] == 200
    for name in ("newer", "old", "newcomer"):
        async with opening(name) as peer:
            await peer.follow("inventory/catalog")
            await peer.sync()
    assert places_of(SECRET, tmp_path) == []
    assert places_of(SECRET, relay.data) == []
    async with open_raw(relay, PII, tenant=tenant) as page:
        assert (await page.closed())[0] == 4410


async def test_personal_data_is_read_by_other_peers_that_open_it(
    relay: RelayProcess, opening: Opening, tenant: str
) -> None:
    async with opening("till-1") as till, opening("office") as office:
        async with till.personal(SUBJECT) as person:
            person.set("name", "Miller")
            person.set("age", 41)
            person.set("gone", "x")
            person.set("gone", None)
        await till.sync()
        async with office.personal(SUBJECT) as person:
            assert person.fields() == {}
        await office.sync()
        async with office.personal(SUBJECT) as person:
            assert person.fields() == {"name": "Miller", "age": 41}
            assert (person.get("age"), person.get("gone")) == (41, None)
        with pytest.raises(InvalidName):
            async with office.personal("Mrs. Miller"):
                pass
        with pytest.raises(InvalidValue):  # noqa: PT012  the block is what is tested
            async with office.personal(SUBJECT) as person:
                person.set("name", "nobody")
                person.set("photo", b"bytes")
        async with office.personal(SUBJECT) as person:
            assert person.get("name") == "Miller"
