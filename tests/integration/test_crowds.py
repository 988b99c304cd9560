"""Members that do not read, members that come all at once, and rooms that nobody needs any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from crdt_sync.protocol.messages import NewUpdate, StateRequest
from tests.integration.raw_member import Author, RawMember, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually

VALUE = "x" * (64 << 10)
WRITES = 192
SLOW_MEMBERS = 10
OUTBOX_BYTES_MAX = 256 << 10
MEMORY_GROWTH_BYTES_MAX = WRITES * len(VALUE) + SLOW_MEMBERS * 2 * OUTBOX_BYTES_MAX + (8 << 20)
"""The room's own history, and for each member that does not read its outbox, queued and on its way.
Without a bound every one of them would hold all that was written: 120 MiB together."""
NO_COMPACTION: Mapping[str, int] = {"compact_log_bytes_min": 1 << 27}
"""A log and its snapshot on their way to a scribe and back would stand beside what is measured."""


def relay_with_small_outboxes(folder: Path, *, slow_member_timeout_s: float) -> RelayProcess:
    limits: dict[str, Any] = {"limits.outbox_bytes_max": OUTBOX_BYTES_MAX, **NO_COMPACTION}
    return RelayProcess(folder, free_space_bytes_min=0, slow_member_timeout_s=slow_member_timeout_s, **limits)


def sockets_of(relay: RelayProcess) -> list[str]:
    """The state of every WebSocket at the relay's end, as the kernel numbers them; 01 is an open one."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = f":{relay.port:04X}"
    listening, over = "0A", "06"
    return sorted(row[3] for row in rows if row[1].endswith(ours) and row[3] not in (listening, over))


async def write_much(relay: RelayProcess, document: str, writer: RawMember, listener: RawMember) -> dict[str, str]:
    """Several megabytes, each edit acknowledged; the listener hears all of it."""
    author = Author()
    for number in range(WRITES):
        await writer.save(author.put(f"k{number}", f"{number}{VALUE}"))
    await listener.hears(lambda: len(listener.updates) > WRITES)
    written: dict[str, str] = author.root.to_py() or {}
    return written


async def open_slow(stack: AsyncExitStack, relay: RelayProcess, document: str) -> RawMember:
    """A member that joins and then reads nothing."""
    member = await stack.enter_async_context(open_raw(relay, document, receive_buffer_bytes=4096, max_queue=1))
    await member.join()
    member.reads.clear()
    return member


async def test_P10_members_that_do_not_read_cost_little_disturb_nobody_and_heal(tmp_path: Path) -> None:
    async with (
        relay_with_small_outboxes(tmp_path, slow_member_timeout_s=15) as relay,
        AsyncExitStack() as stack,
        open_raw(relay, "crowd", is_peer=True) as writer,
        open_raw(relay, "crowd") as listener,
    ):
        await writer.join()
        await listener.join()
        slow = [await open_slow(stack, relay, "crowd") for _ in range(SLOW_MEMBERS)]
        before = relay.peak_memory_bytes
        written = await write_much(relay, "crowd", writer, listener)
        assert await relay.meter("members_shed_total") >= SLOW_MEMBERS
        assert relay.peak_memory_bytes - before < MEMORY_GROWTH_BYTES_MAX
        assert listener.content() == written
        for member in slow:
            member.reads.set()
        for member in slow:
            await member.hears(lambda m=member: len(m.updates) > 1 and m.content() == written)  # type: ignore[misc]
        assert await relay.meter("connections") == SLOW_MEMBERS + 2, "nobody was cut off"


async def test_a_member_that_never_reads_again_is_cut_off_and_its_socket_is_closed(tmp_path: Path) -> None:
    async with (
        relay_with_small_outboxes(tmp_path, slow_member_timeout_s=0.3) as relay,
        AsyncExitStack() as stack,
        open_raw(relay, "crowd", is_peer=True) as writer,
        open_raw(relay, "crowd") as listener,
    ):
        await writer.join()
        await listener.join()

        slow = await open_slow(stack, relay, "crowd")
        assert len(sockets_of(relay)) == 3
        await write_much(relay, "crowd", writer, listener)
        await eventually(lambda: relay.meter("connections"), lambda count: count == 2)
        # Nor does the kernel keep what it was sent: there is no socket in any state of closing.
        await eventually(lambda: asyncio.to_thread(sockets_of, relay), lambda states: states == ["01", "01"])
        slow.reads.set()
        assert (await slow.closed())[0] == 1006, "cut, without a last word"


async def test_P20_a_hundred_clients_that_arrive_together_are_in_one_room(tmp_path: Path) -> None:
    """Two hosts of one log would find it longer than they know, and fail."""
    author = Author()
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        async with open_raw(relay, "crowd", is_peer=True) as writer:
            await writer.join()
            for number in range(600):
                await writer.say(NewUpdate(author.put(f"k{number}", number)))
            await writer.hears(lambda: writer.acked == 600)
        await relay.kill()
        await relay.start()
        async with AsyncExitStack() as stack:
            members = await asyncio.gather(*(stack.enter_async_context(open_raw(relay, "crowd")) for _ in range(100)))
            await asyncio.gather(*(member.join() for member in members))
            assert await relay.meter("rooms") == 1
            assert await relay.meter("members") == 100
            edits = [Author() for _ in members]
            sent = [edit.put(f"from {number}", number) for number, edit in enumerate(edits)]
            await asyncio.gather(*(member.save(update) for member, update in zip(members, sent, strict=True)))
            for member in members:
                await member.hears(lambda m=member: all(NewUpdate(update) in m.heard for update in sent))  # type: ignore[misc]
        assert await relay.meter('store_failures_total{reason="store-error"}') == 0
        found = await content_of(relay, "crowd")
        assert found == {f"k{n}": n for n in range(600)} | {f"from {n}": n for n in range(100)}


async def test_P20_an_idle_room_is_closed_and_opens_again_with_its_content(tmp_path: Path) -> None:
    author = Author()
    async with RelayProcess(tmp_path, free_space_bytes_min=0, room_idle_s=0.1) as relay:
        for number in range(3):
            async with open_raw(relay, "crowd", is_peer=True) as member:
                await member.join()
                assert member.content() == {f"k{n}": n for n in range(number)}
                await member.save(author.put(f"k{number}", number))
                assert await relay.meter("rooms") == 1
            await eventually(lambda: relay.meter("rooms"), lambda count: count == 0)


async def test_a_member_that_left_a_crowd_behind_is_nobodys_burden(tmp_path: Path) -> None:
    """Connections that vanish without a word leave nothing in the relay."""
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        for _ in range(3):
            async with AsyncExitStack() as stack:
                members = await asyncio.gather(
                    *(stack.enter_async_context(open_raw(relay, "crowd")) for _ in range(20))
                )
                await asyncio.gather(*(member.say(StateRequest({})) for member in members))
            await eventually(lambda: relay.meter("connections"), lambda count: count == 0)
            await eventually(lambda: relay.meter("members"), lambda count: count == 0)
