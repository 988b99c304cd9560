"""A page that changes movements after the fact: readers in JavaScript and in Python see the first ones."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from crdt_sync.documents.keys import is_movement_id
from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import RelayProcess, eventually
from tests.interop.node_clients import Page, Pages, need_node, open_pages
from tests.interop.test_documents_in_node import Page as Reader
from tests.interop.test_documents_in_node import table_of
from tests.laws.movement_histories import write_history
from tests.unit.documents.replicas import DocRoots

HISTORIES = 25
PERIOD = "2026-11"
DOCUMENT = f"inventory/{PERIOD}"
pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def _needs_node() -> None:
    need_node()


def test_I2_a_plain_page_ends_at_the_sum_over_first_contents() -> None:
    shops = {f"m{seed}": write_history(Random(seed)) for seed in range(HISTORIES)}
    reader = Reader(**{name: DocRoots(*shop.updates) for name, shop in shops.items()})
    tables = reader.run(*(["stockTable", f"docs:{name}"] for name in shops))
    for (name, shop), table in zip(shops.items(), tables, strict=True):
        wanted = sum(row[3] for mid, row in shop.firsts.items() if is_movement_id(mid))
        assert table_of(table) == ({("shirt", "A"): wanted} if wanted else {}), name
    assert sum(shop.notes for shop in shops.values()) > HISTORIES


async def stock_in_python(relay: RelayProcess, path: Path) -> tuple[int, list[str]]:
    """What a peer that was never here before reads, and which movements it reports as changed."""
    async with OfflinePeer.open(path, tenant="acme", name=path.stem, relay=relay.ws, token=relay.token()) as peer:
        await peer.sync()
        async with peer.read() as docs:
            changed = [fault.key for fault in docs.inventory.faults() if fault.reason.startswith("was changed")]
            return docs.inventory.stock("tea", "shop"), sorted(changed)


async def stock_in_javascript(pages: Pages, relay: RelayProcess, name: str) -> int:
    """What a page that was never here before reads."""
    page = await pages.open(name, relay, DOCUMENT)
    await page.synced()
    stock: int = await pages.call("stock", [name], "tea", "shop")
    await page.call("destroy")
    return stock


async def edit_and_save(page: Page, *steps: list[object]) -> None:
    await page.edit(*steps)
    await page.saved()


async def test_P21_a_movement_that_a_page_changes_counts_as_it_was_first_written_through_kills_and_restarts(
    tmp_path: Path,
) -> None:
    process = RelayProcess(tmp_path, free_space_bytes_min=0, compact_log_records_max=4)
    async with process as relay, open_pages() as pages:
        till = OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till", relay=relay.ws, token=relay.token())
        async with till as peer:
            async with peer.edit(period=PERIOD) as docs:
                docs.inventory.add_product("tea")
                docs.inventory.add_location("shop")
                delivery = docs.inventory.receive("tea", 100, at="shop")
                sold = docs.inventory.sell("tea", 3, at="shop")
                counted = docs.inventory.adjust("tea", -1, at="shop")
            await peer.sync()
            honest = await pages.open("honest", relay, DOCUMENT)
            await honest.synced()
            own = await honest.call("documents", "move", "sale", "tea", "shop", 6, "web")
            await honest.saved()

            # A page corrects what others wrote, as it thinks, and deletes its own sale.
            token = relay.token(subject="carl")
            careless = await pages.open("careless", relay, DOCUMENT, token=token)
            await careless.synced()
            row = ["sale", "tea", "shop", 30, "till", 889_500_467_200_000]
            await edit_and_save(careless, ["map", "mv", "set", sold, row])
            await edit_and_save(honest, ["map", "mv", "delete", own])
            assert await stock_in_javascript(pages, relay, "reader-1") == 90
            assert await relay.meter("movements_changed_total") == 2
            [line] = [line for line in relay.log.splitlines() if "after the fact" in line and "carl" in line]
            assert sold in line

            # What was put back survives a kill, and a page that was offline meanwhile changes one more by its state.
            await careless.call("disconnect")
            await careless.edit(["map", "mv", "delete", counted], ["map", "mv", "set", delivery, row])
            await relay.kill()
            await relay.start()
            assert await stock_in_python(relay, tmp_path / "second.db") == (90, sorted([sold, own]))
            await careless.call("connect")
            await careless.synced()
            await eventually(lambda: relay.meter("movements_changed_total"), lambda count: count == 2)
            await peer.sync()
            async with peer.read() as docs:
                assert docs.inventory.stock("tea", "shop") == 90
            assert await relay.stop() == 0
            await relay.start()
            everything = sorted([sold, own, delivery, counted])
            assert await stock_in_python(relay, tmp_path / "third.db") == (90, everything)
            assert await stock_in_javascript(pages, relay, "reader-2") == 90
        assert await relay.stop() == 0
        verified = await relay.run_command("verify")
        assert "0 damaged" in verified.stdout
