"""A graceful stop: in time, whatever the members do, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

from crdt_sync.protocol.messages import NewUpdate
from tests.integration.raw_member import Author, RawMember, content_of, open_raw
from tests.integration.relay_process import STOP_MAX_S, RelayProcess, eventually

WRITERS, READERS, STUCK, SILENT = 15, 20, 10, 5
VALUE = "x" * (16 << 10)


async def write_on(member: RawMember, author: Author, name: str) -> None:
    """Edits without end; their acks are counted by the member."""
    number = 0
    while True:
        await member.say(NewUpdate(author.put(f"{name}-{number}", f"{number}{VALUE}")))
        number += 1
        # A few at a time, so that the stop finds all of them at work and none far behind.
        await member.hears(lambda n=number: member.acked > n - 8)  # type: ignore[misc]


async def test_P18_a_stop_under_load_with_stuck_members_is_in_time_and_loses_nothing(tmp_path: Path) -> None:
    async with RelayProcess(
        tmp_path, free_space_bytes_min=0, shutdown_timeout_s=9, slow_member_timeout_s=9, handshake_timeout_s=9
    ) as relay:
        async with AsyncExitStack() as stack:
            writers = [await stack.enter_async_context(open_raw(relay, "busy", is_peer=True)) for _ in range(WRITERS)]
            readers = [await stack.enter_async_context(open_raw(relay, "busy")) for _ in range(READERS)]
            stuck = [
                await stack.enter_async_context(open_raw(relay, "busy", receive_buffer_bytes=4096, max_queue=1))
                for _ in range(STUCK)
            ]
            for member in (*writers, *readers, *stuck):
                await member.join()
            for member in stuck:
                member.reads.clear()
            work = [asyncio.create_task(write_on(w, Author(), f"w{n}")) for n, w in enumerate(writers)]
            await asyncio.gather(*(writer.hears(lambda w=writer: w.acked > 20) for writer in writers))  # type: ignore[misc]
            # Last of all, for they are closed when they have said nothing for long enough.
            for _ in range(SILENT):
                await stack.enter_async_context(open_raw(relay, "busy"))
            assert await relay.meter("connections") == WRITERS + READERS + STUCK + SILENT
            began_s = time.monotonic()
            assert await relay.stop() == 0
            # The one assertion about seconds: it is what the relay promises, far above what it was told to take.
            assert time.monotonic() - began_s < STOP_MAX_S
            await asyncio.gather(*work, return_exceptions=True)
            for reader in readers:
                code, _ = await reader.closed()
                assert code == 1012
            acked = {f"w{n}-{i}" for n, writer in enumerate(writers) for i in range(writer.acked)}
            seen = {key for reader in readers for key in reader.content()}
        await relay.start()
        found = await content_of(relay, "busy")
        assert len(acked) > 20 * WRITERS
        assert (acked | seen) - found.keys() == set()


async def test_an_idle_relay_stops_at_both_signals(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        assert await relay.stop() == 0
        await relay.start()
        assert await relay.stop(signal.SIGINT) == 0


async def test_a_stop_leaves_files_that_need_nothing_else(tmp_path: Path) -> None:
    """No WAL, no worker: the tenant's file alone is the store."""
    author = Author()
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        async with open_raw(relay, "page", is_peer=True) as member:
            await member.join()
            await member.save(author.put("k", 1))
        children = Path(f"/proc/{relay.pid}/task/{relay.pid}/children").read_text().split()
        assert await relay.stop() == 0
        assert not (relay.data / "tenants" / "acme.db-wal").exists()

        async def alive() -> list[str]:
            return [child for child in children if Path(f"/proc/{child}").exists()]

        await eventually(alive, lambda found: found == [])
        assert "Traceback" not in relay.log
