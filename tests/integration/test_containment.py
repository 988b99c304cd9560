"""An attacked room and an honest one side by side, on a real relay whose scribes die of what passes the gate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from crdt_sync.protocol.messages import NewUpdate, StateReply
from tests.integration.hostile_documents import delete_of_all, nested_types
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually

ATTACKED, HONEST = "drawing/attacked", "drawing/honest"


def relay_that_compacts(folder: Path, **settings: Any) -> RelayProcess:
    return RelayProcess(folder, **{"free_space_bytes_min": 0, "compact_log_records_max": 12, **settings})


async def quarantined(relay: RelayProcess) -> float:
    return await relay.meter("updates_quarantined_total")


async def attack(relay: RelayProcess, culprit: bytes, *before: bytes) -> None:
    """Write what does harm into a room, between edits that do none, until its log is due for compaction."""
    honest = Author(7)
    async with open_raw(relay, ATTACKED, token=relay.token(subject="mallory")) as mallory:
        await mallory.join()
        for update in before:
            await mallory.save(update)
        await mallory.save(honest.put("before", 1))
        await mallory.save(culprit)
        for number in range(12):
            await mallory.save(honest.put(f"after-{number}", number))


async def test_P34_what_kills_a_scribe_is_set_aside_and_its_room_lives_on(tmp_path: Path) -> None:
    async with relay_that_compacts(tmp_path) as relay, open_raw(relay, HONEST, tenant="other") as bystander:
        await bystander.join()
        writing = asyncio.Event()
        other = Author(9)

        async def go_on() -> int:
            count = 0
            while not writing.is_set():
                await bystander.save(other.put("n", count))
                count += 1
            return count

        honest_work = asyncio.create_task(go_on())
        await attack(relay, delete_of_all(), nested_types())
        await eventually(lambda: quarantined(relay), lambda count: count == 1)
        writing.set()
        assert await honest_work > 0
        content = await content_of(relay, ATTACKED)
        assert content["before"] == 1
        assert content["after-11"] == 11

        async def compactions() -> float:
            return await relay.meter("compactions_total")

        await eventually(compactions, lambda count: count >= 1)
        assert (await relay.readiness())[1]["quarantined"] == {f"acme/{ATTACKED}": 1}
        async with open_raw(relay, ATTACKED) as again:
            await again.join()
            await again.say(NewUpdate(delete_of_all()))
            code, reason = await again.closed()
            assert (code, (reason or "").split(":")[0]) == (4422, "quarantined")
        async with open_raw(relay, ATTACKED) as page:
            # A page in good faith, which had it from the relay before: its whole state holds it, and more.
            page_author = Author(11)
            for update in (nested_types(), page_author.put("mine", 1)):
                await page.say(StateReply(update))
            await page.join()

            async def read() -> dict[str, Any]:
                return await content_of(relay, ATTACKED)

            assert (await eventually(read, lambda found: "mine" in found))["mine"] == 1
        assert await relay.meter("updates_quarantined_total") == 1
