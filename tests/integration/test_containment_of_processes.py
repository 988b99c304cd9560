"""What a scribe may use up: its turn, its memory, its time; and what stays of it, which is nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from pycrdt import Doc, Map

from server.scribes.child import Child
from server.scribes.pool import open_scribes
from server.scribes.search import Culprits, Suspects, Unexplained, search
from tests.integration.hostile_documents import both, delete_of_all, nested_types
from tests.integration.raw_member import Author
from tests.integration.scribe_logs import map_log
from tests.integration.test_scribes_processes import HANGS_WHEN_READ, eventually, is_alive, scribes, workers_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux: processes are seen in /proc")


@pytest.mark.parametrize("how", ["stays", "ends"])
async def test_what_a_worker_has_begun_ends_with_it(how: str) -> None:
    child = await Child.spawn("tests.integration.begetting_child", how, read_bytes_max=1 << 16)
    begotten = int(await child.stdout.readline())
    assert is_alive(begotten)
    await child.end(patience_s=0.2)
    await eventually(lambda: not is_alive(begotten))


async def test_a_tenant_whose_documents_end_workers_does_not_hold_up_another() -> None:
    finished: list[str] = []
    async with scribes() as pool:

        async def ask(tenant: str, number: int) -> None:
            await pool.on_behalf_of(tenant).view(None, map_log(1, number + 1))
            finished.append(tenant)

        tasks = [asyncio.create_task(ask("busy", number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(ask("other", 0)))
        await asyncio.gather(*tasks)
    # One was in its turn already, and one waited longer.
    assert "other" in finished[:3]


async def test_the_search_names_every_update_that_does_harm_and_no_other() -> None:
    honest = Author(7)
    log = [honest.put(str(number), number) for number in range(8)]
    hostile = [nested_types(), *log[:3], delete_of_all(), *log[3:6], both(client_id=2), *log[6:]]
    async with scribes() as pool:
        assert await search(pool, Suspects(None, b"", hostile), reads=False) == Culprits(
            [4, 8], "the scribe died of its task: it was ended by signal SIGSEGV"
        )
        assert await search(pool, Suspects(None, b"", log), reads=False) == Unexplained("it did not happen again")
    assert workers_of(os.getpid()) == {}


async def test_an_update_that_hangs_who_reads_it_is_named_and_its_workers_are_gone() -> None:
    log = [*map_log(1, 2, client_id=7), HANGS_WHEN_READ, *map_log(1, 1, client_id=8)]
    async with scribes(timeout_s=5.0) as pool:
        found = await search(pool, Suspects(None, b"", log), reads=True)
        assert isinstance(found, Culprits)
        assert list(found.places) == [2]
        assert "still busy" in found.how
        assert await pool.view(None, map_log(1, 1)) == {"stock": {"sku-0": 0}}


async def test_nobody_is_blamed_for_a_document_that_is_too_large() -> None:
    parts = []
    doc: Doc = Doc(client_id=7)
    subscription = doc.observe(lambda event: parts.append(event.update))
    for number in range(20):
        doc.get("stock", type=Map)[str(number)] = bytes(3 << 20)
    doc.unobserve(subscription)
    async with open_scribes(count=1, memory_bytes_max=220 << 20, timeout_s=60, on_death=lambda how: None) as pool:
        found = await search(pool, Suspects(None, b"", parts), reads=False)
    assert isinstance(found, Unexplained), found
