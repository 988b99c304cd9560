"""Peers whose documents have ended: their copies go, their own edits are carried over or reported as lost."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Text

from crdt_sync.errors import DocumentRetired, InvalidName, InvalidValue, NotSynced
from crdt_sync.peer import OfflinePeer
from tests.integration.raw_member import Author, open_raw
from tests.integration.relay_process import ROOT, RelayProcess, eventually
from tests.integration.retiring import places_of, retire

SECRET = "token-of-mrs-miller"
SUBJECT, PII = "customer-1042", "pii/customer-1042"
PERIOD = "2026-11"

Opening = Callable[..., AbstractAsyncContextManager[OfflinePeer]]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0, steward="off") as process:
        yield process


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    return "".join(char if char.isalnum() else "-" for char in request.node.name.lower()).strip("-")[-50:].strip("-")


def opener(relay: RelayProcess, folder: Path, tenant: str) -> Opening:
    def open_peer(name: str, **options: Any) -> AbstractAsyncContextManager[OfflinePeer]:
        (folder / name).mkdir(exist_ok=True)
        wanted = {"tenant": tenant, "name": name, "relay": relay.ws, "token": relay.token(tenant), **options}
        return OfflinePeer.open(folder / name / "peer.db", **wanted)

    return open_peer


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
            person.set("name", SECRET)
        assert (await retire(relay, tenant, PII, successor="elsewhere/1042"))[0] == 200
        with pytest.raises(NotSynced, match="elsewhere/1042 was refused"):
            await peer.sync()
        assert peer.status().ended == ()
        assert peer.status().unsynced == 1
        async with peer.personal(SUBJECT) as person:
            assert person.get("name") == SECRET
    async with opening("till-1") as peer:
        await peer.sync()
        (told,) = peer.status().ended
        assert told == f"{PII}: succeeded by elsewhere/1042; asked for; entries carried over: 1"


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


async def begin(opening: Opening) -> None:
    """A catalog with a history: what two tills agree on before its next epoch."""
    async with opening("till-1") as till, opening("till-2") as other:
        async with till.edit(period=PERIOD) as docs:
            for sku in ("tea", "milk", "jam", "salt"):
                docs.inventory.add_product(sku, price=100, note="old")
            docs.inventory.add_location("shop")
            docs.inventory.receive("tea", 10, at="shop")
        await till.sync()
        await other.sync()
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.set_attribute("milk", "price", 110)
            docs.inventory.set_attribute("salt", "note", None)
        async with other.edit(period=PERIOD) as docs:
            docs.inventory.set_attribute("milk", "price", 120)
        for peer in (till, other, till):
            await peer.sync()


async def renewed(relay: RelayProcess, tenant: str, document: str = "inventory/catalog") -> str:
    assert await relay.stop() == 0
    done = await relay.run_command("epoch", tenant, document)
    assert done.returncode == 0, done.stderr
    await relay.start()
    return done.stdout


@pytest.fixture
async def own(tmp_path: Path) -> Any:
    async with RelayProcess(tmp_path / "relay", free_space_bytes_min=0, steward="off") as process:
        yield process


async def test_P24_a_catalog_goes_on_in_its_next_epoch_with_all_that_peers_have_to_add(
    own: RelayProcess, tmp_path: Path
) -> None:
    opening = opener(own, tmp_path, "acme")
    await begin(opening)
    # Offline, before anybody knows of the new epoch.
    async with opening("till-1") as till, till.edit(period=PERIOD) as docs:
        docs.inventory.set_attribute("tea", "price", 130)
        docs.inventory.set_attribute("jam", "price", 140)
        docs.inventory.add_product("honey", price=900)
        sold = docs.inventory.sell("tea", 3, at="shop")
    said = await renewed(own, "acme")
    assert "acme/inventory/catalog goes on as acme/inventory/catalog.2" in said
    assert "open conflicts taken over: 1" in said
    assert "left out: 1 cleared fields" in said
    async with opening("till-2") as other:
        await other.sync()
        async with other.edit(period=PERIOD) as docs:
            (conflict,) = docs.inventory.conflicts()
            assert {sibling.value: sibling.device for sibling in conflict.siblings} == {110: "till-1", 120: "till-2"}
            docs.inventory.set_attribute("jam", "price", 150)
        await other.sync()
    async with opening("till-1") as till:
        await till.sync()
        (told,) = till.status().ended
        assert told.startswith("inventory/catalog: succeeded by inventory/catalog.2; begun anew; entries carried over:")
        assert "lost" not in told
        assert till.status().unsynced == 0
        async with till.read() as docs:
            products = docs.inventory.products()
            assert docs.inventory.find(sold) is not None
            assert docs.inventory.stock("tea", "shop") == 7
        assert products["tea"] == {"price": 130, "note": "old"}
        assert products["honey"] == {"price": 900}
        assert products["salt"] == {"price": 100}
        await till.sync()
    async with opening("till-2") as other, opening("newcomer") as newcomer:
        await other.sync()
        await newcomer.sync()
        for peer in (other, newcomer):
            async with peer.read() as docs:
                found = {
                    conflict.product: {sibling.value for sibling in conflict.siblings}
                    for conflict in docs.inventory.conflicts()
                }
                assert found == {"milk": {110, 120}, "jam": {140, 150}}
                assert docs.inventory.products() == {**products, "jam": docs.inventory.product("jam")}
                assert docs.inventory.faults() == []
        async with other.edit(period=PERIOD) as docs:
            for conflict in docs.inventory.conflicts():
                conflict.resolve(value=199)
        await other.sync()
        await newcomer.sync()
        async with newcomer.read() as docs:
            assert docs.inventory.conflicts() == []
            assert docs.inventory.attribute("jam", "price") == 199


async def test_P23_a_page_of_the_old_epoch_learns_the_name_of_the_new_one(own: RelayProcess, tmp_path: Path) -> None:
    await begin(opener(own, tmp_path, "acme"))
    await renewed(own, "acme")
    async with open_raw(own, "inventory/catalog") as page:
        assert await page.closed() == (4410, "document-retired: succeeded by inventory/catalog.2; begun anew")
    async with open_raw(own, "inventory/catalog.2") as page:
        await page.join()


async def test_P24_movements_of_an_old_epoch_arrive_in_the_next_one_once(own: RelayProcess, tmp_path: Path) -> None:
    opening = opener(own, tmp_path, "acme")
    await begin(opening)
    async with opening("till-1") as till, opening("till-2") as other:
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.sell("tea", 2, at="shop")
        await renewed(own, "acme", f"inventory/{PERIOD}")
        await other.sync()
        async with other.edit(period=PERIOD) as docs:
            docs.inventory.sell("tea", 1, at="shop")
        await other.sync()
        await till.sync()
        await other.sync()
        for peer in (till, other):
            async with peer.read() as docs:
                assert docs.inventory.stock("tea", "shop") == 7
                assert len(list(docs.inventory.movements("tea"))) == 3
        await renewed(own, "acme", f"inventory/{PERIOD}.2")
        for peer in (till, other):
            await peer.sync()
            async with peer.read() as docs:
                assert docs.inventory.stock("tea", "shop") == 7
    async with opening("till-3") as newcomer:
        await newcomer.sync()
        async with newcomer.read() as docs:
            assert docs.inventory.stock("tea", "shop") == 7


async def test_an_old_peer_follows_over_two_epochs_at_once(own: RelayProcess, tmp_path: Path) -> None:
    opening = opener(own, tmp_path, "acme")
    await begin(opening)
    async with opening("till-1") as till, till.edit(period=PERIOD) as docs:
        docs.inventory.set_attribute("tea", "price", 777)
    await renewed(own, "acme")
    await renewed(own, "acme", "inventory/catalog.2")
    async with opening("till-1") as till, opening("till-2") as other:
        await till.sync()
        await other.sync()
        (told,) = [told for told in till.status().ended if told.startswith("inventory/catalog:")]
        assert "succeeded by inventory/catalog.3" in told
        async with other.read() as docs:
            assert docs.inventory.attribute("tea", "price") == 777
        async with other.edit(period=PERIOD) as docs:
            docs.inventory.set_attribute("tea", "price", 778)
        await other.sync()
        await till.sync()
        async with till.read() as docs:
            assert docs.inventory.attribute("tea", "price") == 778


async def test_a_document_that_a_new_epoch_could_not_take_over_stays_as_it_is(
    own: RelayProcess, tmp_path: Path
) -> None:
    author = Author()
    async with open_raw(own, "inventory/catalog") as page:
        await page.join()
        author.doc.get("notes", type=Text).insert(0, "free text")
        await page.save(author._update)
    assert await own.stop() == 0
    for document, saying in (
        ("inventory/catalog", "notes are no maps"),
        ("inventory/2026-12", "there is no document"),
    ):
        refused = await own.run_command("epoch", "acme", document)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert saying in refused.stderr
    nonsense = await own.run_command("epoch", "acme", PII)
    assert nonsense.returncode == 2
    assert "Traceback" not in nonsense.stderr


TENANTS = tuple(f"tenant-{number}" for number in range(3))


async def test_P24_a_peer_that_is_killed_while_it_follows_carries_over_once(own: RelayProcess, tmp_path: Path) -> None:
    chosen = random.Random(20261120)
    for tenant in TENANTS:
        (tmp_path / tenant).mkdir()
        opening = opener(own, tmp_path / tenant, tenant)
        await begin(opening)
        async with opening("till-1") as till, till.edit(period=PERIOD) as docs:
            docs.inventory.set_attribute("tea", "price", 130)
            docs.inventory.sell("tea", 3, at="shop")
    assert await own.stop() == 0
    for tenant in TENANTS:
        for document in ("inventory/catalog", f"inventory/{PERIOD}"):
            assert (await own.run_command("epoch", tenant, document)).returncode == 0
    await own.start()
    for number, tenant in enumerate(TENANTS):
        path = tmp_path / tenant / "till-1" / "peer.db"
        with following(str(path), own.ws, tenant, own.token(tenant)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "opened\n"
            if number == 0:
                assert process.stdout.readline() == "synced\n"
            # Anywhere while it follows: connecting, learning, carrying over, dropping.
            with suppress(subprocess.TimeoutExpired):
                process.wait(chosen.random() * 0.25)
        opening = opener(own, tmp_path / tenant, tenant)
        async with opening("till-1") as till, opening("till-2") as other:
            await till.sync()
            await other.sync()
            for peer in (till, other):
                async with peer.read() as docs:
                    assert docs.inventory.stock("tea", "shop") == 7
                    assert docs.inventory.attribute("tea", "price") == 130
                    assert [conflict.product for conflict in docs.inventory.conflicts()] == ["milk"]
            assert len(till.status().ended) == 2


@contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.integration.following_peer", *arguments]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()
