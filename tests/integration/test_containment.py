"""An attacked room and an honest one side by side, on a real relay whose scribes die of what passes the gate."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from crdt_sync.protocol.messages import NewUpdate, StateReply
from tests.integration.hostile_documents import delete_of_all, nested_types
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import POLL_S, RelayProcess, eventually

SEARCH_S = 300.0
"""How long a search may take on a machine that is busy with other tests; nothing is asserted about seconds below it."""
ATTACKED, HONEST = "drawing/attacked", "drawing/honest"


def relay_that_compacts(folder: Path, **settings: Any) -> RelayProcess:
    return RelayProcess(folder, **{"free_space_bytes_min": 0, "compact_log_records_max": 12, **settings})


async def quarantined(relay: RelayProcess) -> float:
    return await relay.meter("updates_quarantined_total")


async def set_aside(relay: RelayProcess, *, count: int = 1) -> None:
    """Wait for the end of the search, which has the machine to itself in no test run."""
    async with asyncio.timeout(SEARCH_S):
        while await quarantined(relay) != count:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(POLL_S)


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
        await set_aside(relay)
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


async def test_P34_others_write_during_the_search_and_come_back_to_a_room_without_it(tmp_path: Path) -> None:
    async with relay_that_compacts(tmp_path) as relay, open_raw(relay, ATTACKED) as witness:
        await witness.join()
        author, saved = Author(13), 0

        async def write() -> int:
            count = 0
            with suppress(AssertionError, ConnectionClosed):
                while True:
                    await witness.save(author.put("mine", count))
                    count += 1
            return count

        async with open_raw(relay, ATTACKED, token=relay.token(subject="mallory")) as mallory:
            await mallory.join()
            await mallory.save(nested_types())
            await mallory.save(delete_of_all())
            saved = await write()
            # Its last words before that may have been taken, too, without being acked.
            assert (await witness.closed())[0] == 1012
        died = await relay.meter("scribe_deaths_total")
        assert died >= 2
        assert saved > 12
        # They are told before it is counted.
        await set_aside(relay)
        assert (await content_of(relay, ATTACKED))["mine"] >= saved - 1


async def test_P34_a_peer_that_had_it_before_goes_on_and_brings_nothing_of_it_back(tmp_path: Path) -> None:
    async with relay_that_compacts(tmp_path, compact_log_records_max=40) as relay:
        async with open_raw(relay, ATTACKED, is_peer=True) as peer:
            await peer.join()
            author = Author(21)
            # In parts, as a peer says a long answer; the last one says that it was all.
            await peer.say(NewUpdate(nested_types()))
            await peer.say(NewUpdate(delete_of_all()))
            await peer.say(StateReply(author.put("k", 0)))
            await peer.hears(lambda: peer.acked == 3)
            for number in range(40):
                await peer.save(author.put("k", number))
            await set_aside(relay)
            assert (await peer.closed())[0] == 1012
        async with open_raw(relay, ATTACKED, is_peer=True) as again:
            await again.join()
            acks = again.acked
            await again.say(NewUpdate(nested_types()))
            await again.say(NewUpdate(delete_of_all()))
            await again.say(StateReply(author.put("k", "again")))
            await again.hears(lambda: again.acked == acks + 3)
            await again.save(author.put("k", "more"))
            await again.say(NewUpdate(delete_of_all()))
            assert (await again.closed())[0] == 4422
        assert (await content_of(relay, ATTACKED))["k"] == "more"
        assert await quarantined(relay) == 1
