"""A wall clock that is set an hour on or back, while people work: nothing is lost, nothing gets stuck."""

from __future__ import annotations

import operator
import time
from functools import partial
from pathlib import Path

import pytest

from crdt_sync.peer import OfflinePeer
from tests.faults.relays import relay_under
from tests.faults.shim import Shim
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually

HOUR_S = 3_600
STEPS = (HOUR_S, -HOUR_S, 0)
DAY_S = 86_400
GO_ON = ("compactions_total", "scrub_passes_total")


@pytest.fixture
def shim(library: Path, scratch: Path) -> Shim:
    return Shim(library, scratch / "data", scratch / "words")


async def test_P1_edits_acks_and_snapshots_go_on_while_the_clock_jumps(shim: Shim, scratch: Path) -> None:
    # Issued two hours ago for a day: it holds at every time that the relay will take it to be.
    async with relay_under(shim, scratch / "relay", compact_log_records_max=4, scrub_interval_s=0.1) as relay:
        author, number = Author(), 0
        token = relay.token(now_s=time.time() - 2 * HOUR_S, ttl_s=DAY_S)
        async with (
            open_raw(relay, "page", is_peer=True, token=token) as writer,
            open_raw(relay, "page", token=token) as witness,
        ):
            await writer.join()
            await witness.join()
            for step in STEPS:
                shim.step_clock(step)
                before = {name: await relay.meter(name) for name in GO_ON}
                for _ in range(10):
                    await writer.save(author.put(f"k{number}", step))
                    number += 1
                for name in GO_ON:
                    await eventually(partial(relay.meter, name), partial(operator.lt, before[name]), what=name)
                async with open_raw(relay, "page", token=token) as newcomer:
                    await newcomer.join()
                    assert newcomer.content() == author.root.to_py()
            await witness.hears(lambda: witness.content() == author.root.to_py())
        assert (await relay.readiness())[0] == 200
        await relay.kill()
        await relay.start()
        assert await content_of(relay, "page") == author.root.to_py()


async def synced(relay: RelayProcess, *peers: OfflinePeer) -> None:
    for peer in (*peers, *peers):
        await peer.sync()
    assert [peer.status().unsynced for peer in peers] == [0] * len(peers)


async def test_P22_conflicts_and_tokens_outlive_a_clock_that_jumps(shim: Shim, scratch: Path) -> None:
    async with relay_under(shim, scratch / "relay", steward="on") as relay:
        tokens = {
            "tenant": "acme",
            "relay": relay.ws,
            "token": relay.token(now_s=time.time() - 2 * HOUR_S, ttl_s=DAY_S),
        }
        async with (
            OfflinePeer.open(scratch / "one.db", name="one", **tokens) as one,  # type: ignore[arg-type]
            OfflinePeer.open(scratch / "two.db", name="two", **tokens) as two,  # type: ignore[arg-type]
        ):
            async with one.edit() as docs:
                docs.inventory.add_product("tea", price=1)
            await synced(relay, one, two)
            for number, step in enumerate(STEPS, 1):
                shim.step_clock(step)
                for peer, price in ((one, 100 * number), (two, 100 * number + 1)):
                    async with peer.edit() as docs:
                        docs.inventory.set_attribute("tea", "price", price)
                await synced(relay, one, two)
                for peer in (one, two):
                    async with peer.read() as docs:
                        (conflict,) = docs.inventory.conflicts()
                        assert {100 * number, 100 * number + 1} <= {sibling.value for sibling in conflict.siblings}
                async with one.edit() as docs:
                    (conflict,) = docs.inventory.conflicts()
                    conflict.resolve("local")
                await synced(relay, one, two)
                for peer in (one, two):
                    async with peer.read() as docs:
                        assert docs.inventory.conflicts() == []
                        assert docs.inventory.attribute("tea", "price") == 100 * number
        assert await relay.stop() == 0
        assert (await relay.run_command("verify")).returncode == 0
