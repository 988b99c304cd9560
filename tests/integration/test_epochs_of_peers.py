"""Documents that go on in a new epoch, and the peers that follow."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pycrdt import Text

from tests.integration.raw_member import Author, open_raw
from tests.integration.relay_process import ROOT, RelayProcess
from tests.integration.retiring import Opening, opener

PII = "pii/customer-1042"
PERIOD = "2026-11"


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
async def own(tmp_path: Path) -> AsyncIterator[RelayProcess]:
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
