"""Floods against a real relay: everything of them is closed, the memory comes back, and other rooms go on meanwhile.

The bars are those of docs/reference/limits.md. Sizes are for CI; a soak calls the same attacks with larger ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import floods
from tests.integration.floods import Attack, all_closed, memory_is_back, pulse
from tests.integration.raw_member import Author, open_raw
from tests.integration.relay_process import RelayProcess

STRANGER_BYTES_MAX = 64 << 10
"""What a connection without a token may cost the relay."""
ACKS_MEANWHILE = 5


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    # A handshake of a second, so that nobody waits five for what is the same.
    with RelayProcess(
        tmp_path_factory.mktemp("relay"), free_space_bytes_min=0, handshake_timeout_s=1, slow_member_timeout_s=2
    ) as process:
        yield process


async def reached(relay: RelayProcess, limit: str) -> float:
    return await relay.meter(f'limits_reached_total{{limit="{limit}"}}')


async def survive(relay: RelayProcess, attack: Attack, size: int) -> int:
    """Run an attack beside an honest member; the most memory that the attack held at any time."""
    # Once small, so that what is only needed once is there before it is measured.
    await attack(relay, max(1, size // 8))
    async with pulse(relay) as honest:
        await all_closed(relay, but=1)
        before, most = relay.memory_bytes, 0
        attacking = asyncio.create_task(attack(relay, size))
        while not attacking.done():
            most = max(most, relay.memory_bytes)
            await asyncio.wait([attacking], timeout=0.01)
        await attacking
        await honest.more(ACKS_MEANWHILE)
        await all_closed(relay, but=1)
        await memory_is_back(relay, before)
    return most - before


async def test_P32_half_open_handshakes_are_closed_and_cost_little(relay: RelayProcess) -> None:
    # 800 stay below half_open_max; their deadline ends them.
    cost = await survive(relay, floods.half_open_handshakes, 800)
    assert cost < 800 * STRANGER_BYTES_MAX
    assert await reached(relay, "handshake_timeout_s") >= 800


async def test_P32_heads_without_end_are_cut_off(relay: RelayProcess) -> None:
    assert await survive(relay, floods.endless_headers, 8) < 8 << 20


async def test_P32_pings_are_slowed_and_their_answers_do_not_pile_up(relay: RelayProcess) -> None:
    assert await survive(relay, floods.ping_flood, 16) < 8 << 20
    assert await reached(relay, "control_frames_per_s") >= 4


async def test_P32_a_message_in_countless_pieces_is_refused(relay: RelayProcess) -> None:
    assert await survive(relay, floods.tiny_fragments, 8) < 8 << 20
    assert await reached(relay, "fragments_max") >= 4


async def test_P32_strangers_hold_little_and_are_shown_out(relay: RelayProcess) -> None:
    size = 100
    assert await survive(relay, floods.strangers, size) < size * STRANGER_BYTES_MAX


async def test_P32_compression_is_not_agreed_and_a_bomb_is_refused(relay: RelayProcess) -> None:
    assert await survive(relay, floods.deflate_bombs, 40) < 4 << 20


async def test_P32_awareness_bombs_cost_their_senders_only(relay: RelayProcess) -> None:
    await survive(relay, floods.awareness_bombs, 8)


async def test_P32_a_flood_of_messages_nobody_reads_the_answers_of_is_borne(relay: RelayProcess) -> None:
    assert await survive(relay, floods.message_flood, 40) < 16 << 20


async def test_P32_a_compressed_frame_says_what_is_wrong(relay: RelayProcess) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    async with floods.sockets(relay, 1) as [each]:
        await each.send(floods.upgrade("/ws/acme/deflate", relay.token(), offer))
        assert b"permessage-deflate" not in await each.head()
        await each.send(floods.frame(floods.BINARY, b"\x00", bits=floods.DEFLATED))
        assert b"\x03\xea" in await each.ended(), "1002"


async def test_P32_a_crowd_from_one_address_gets_its_share_of_connections(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"limits.address_connections_max": 100}
    async with RelayProcess(tmp_path, free_space_bytes_min=0, slow_member_timeout_s=1, **limits) as relay:
        await survive(relay, floods.many_connections, 300)
        await all_closed(relay)
        # The honest member was one of the hundred.
        assert await reached(relay, "address_connections_max") >= 201


async def test_P32_stalled_readers_cost_a_bounded_share_and_their_room_goes_on(relay: RelayProcess) -> None:
    stalled, value, writes = 50, "x" * (256 << 10), 40
    author = Author()
    async with pulse(relay) as honest, open_raw(relay, "crowd", is_peer=True) as writer:
        await writer.join()
        await writer.save(author.put("k", value))
        before = relay.memory_bytes
        async with floods.stalled_readers(relay, stalled, "crowd"):
            for number in range(writes):
                await writer.save(author.put("k", f"{number}{value}"))
            # 10 MiB for everybody: without a bound they would be held 50 times.
            assert relay.memory_bytes - before < (stalled + 1) * (5 << 20)
            await honest.more(ACKS_MEANWHILE)
            # Whoever takes nothing for slow_member_timeout_s is cut off.
            await all_closed(relay, but=2)
        assert writer.acked == writes + 1
