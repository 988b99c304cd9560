"""``kill -9`` of the relay under load: what was acknowledged, and what anybody saw, is there afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crdt_sync.peer import OfflinePeer
from crdt_sync.protocol.messages import NewUpdate
from tests.integration.raw_member import Author, RawMember, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually
from tests.interop.node_clients import Page, need_node, open_pages

pytestmark = pytest.mark.interop

ROUNDS = 3
DOCUMENT = "load/one"
PERIOD = "2026-11"


@dataclass
class Promises:
    """What the relay has promised so far: keys of the document, and references of movements."""

    keys: set[str] = field(default_factory=set)
    refs: set[str] = field(default_factory=set)


class RawWriter:
    """Sends edits as fast as it can and does not wait for their acks."""

    def __init__(self, member: RawMember, name: str) -> None:
        self.member = member
        self.name = name
        self._author = Author()

    async def write(self) -> None:
        number = 0
        while True:
            await self.member.say(NewUpdate(self._author.put(f"{self.name}-{number}", number)))
            number += 1
            await asyncio.sleep(0.002)

    @property
    def promised(self) -> set[str]:
        return {f"{self.name}-{number}" for number in range(self.member.acked)}


async def sell_and_settle(peer: OfflinePeer, name: str, promises: Promises) -> None:
    """Edit and sync without end; a reference counts as promised once the relay has it on disk."""
    given: set[str] = set()
    while True:
        async with peer.edit(period=PERIOD) as docs:
            for _ in range(3):
                ref = f"{name}-{len(given)}"
                docs.inventory.receive("tea", 1, at="shop", ref=ref)
                given.add(ref)
        await peer.settled()
        assert peer.status().unsynced == 0
        promises.refs |= given


@asynccontextmanager
async def background(*work: asyncio.Task[None]) -> AsyncIterator[None]:
    """Tasks that end with the block; what went wrong in them is raised."""
    try:
        yield
    finally:
        for task in work:
            task.cancel()
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, AssertionError):
                raise outcome


async def one_round(relay: RelayProcess, folder: Path, rng: random.Random, label: str, promises: Promises) -> None:
    """Load the relay until a seeded moment, kill it, and note what it had promised by then."""
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(open_pages())
        pages: list[Page] = [
            await nodes.open(f"{label}-page-{version}", relay, DOCUMENT, version=version) for version in (1, 2, 3)
        ]
        raw = [
            RawWriter(await stack.enter_async_context(open_raw(relay, DOCUMENT, is_peer=True)), f"{label}-raw-{number}")
            for number in range(2)
        ]
        witness = await stack.enter_async_context(open_raw(relay, DOCUMENT))
        for member in (witness, *(writer.member for writer in raw)):
            await member.join()
        name = f"{label}-till"
        peer = await stack.enter_async_context(
            OfflinePeer.open(folder / f"{name}.db", tenant="acme", name=name, relay=relay.ws, token=relay.token())
        )
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
            docs.inventory.add_location("shop")
        await peer.sync()
        await stack.enter_async_context(peer.online())
        for page in pages:
            await page.synced()
            await page.call("write", 100_000)
        work = [asyncio.create_task(writer.write()) for writer in raw]
        work.append(asyncio.create_task(sell_and_settle(peer, name, promises)))
        async with background(*work):
            wanted = len(witness.updates) + rng.randint(100, 700)
            await witness.hears(lambda: len(witness.updates) >= wanted)
            await eventually(pages[0].state, lambda state: state["echoed"] > 0)
            await relay.kill()
        for page in pages:
            state, content = await page.state(), await page.content()
            assert state["echoed"] > 0
            promises.keys |= {f"{page.name}-{number}" for number in range(state["echoed"])}
            promises.keys |= {key for key in content["m"] if not key.startswith(page.name)}
            await page.call("destroy")
        for writer in raw:
            assert writer.member.acked > 0
            promises.keys |= writer.promised
        promises.keys |= set(witness.content())


async def refs_at_the_relay(relay: RelayProcess, path: Path) -> set[str]:
    """The movements that a peer with an empty file gets."""
    async with OfflinePeer.open(path, tenant="acme", name="auditor", relay=relay.ws, token=relay.token()) as auditor:
        await auditor.sync()
        async with auditor.read() as docs:
            return docs.inventory.refs()


@pytest.mark.parametrize("compact_log_records_max", [10_000, 100], ids=["from the log alone", "while scribes compact"])
@pytest.mark.parametrize("seed", [20261120])
async def test_P1_P2_what_was_promised_before_a_kill_is_there_after_it(
    tmp_path: Path, compact_log_records_max: int, seed: int
) -> None:
    need_node()
    rng, promises = random.Random(seed), Promises()
    async with RelayProcess(tmp_path, free_space_bytes_min=0, compact_log_records_max=compact_log_records_max) as relay:
        for number in range(ROUNDS):
            await one_round(relay, tmp_path, rng, f"r{number}", promises)
            await relay.start()
            found = await content_of(relay, DOCUMENT)
            assert promises.keys - found.keys() == set()
            assert promises.refs - await refs_at_the_relay(relay, tmp_path / f"auditor-{number}.db") == set()
        assert promises.refs
        assert await relay.stop() == 0
        verified = await relay.run_command("verify")
        assert verified.returncode == 0, verified.stdout
        assert f"ok       acme/{DOCUMENT}: " in verified.stdout
        assert "0 damaged" in verified.stdout
        if compact_log_records_max < 10_000:
            rooms = await relay.run_command("rooms", "--plain")
            figures = {row.split("\t")[0]: row.split("\t") for row in rooms.stdout.splitlines()}
            assert int(figures[f"acme/{DOCUMENT}"][4]) > 0, "no snapshot was ever made"


async def claims_saved(page: Page, edits: int) -> None:
    await eventually(page.state, lambda state: state["echoed"] >= edits)


@pytest.mark.parametrize("seed", [20261121])
async def test_P1_P25_a_hocuspocus_page_that_said_saved_before_a_kill_was_right(tmp_path: Path, seed: int) -> None:
    """Its pages live through all kills: what they did meanwhile waits in their queues, and comes to 0 in the end."""
    need_node()
    rng = random.Random(seed)
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay, open_pages() as nodes:
        tokens = [relay.token()]
        pages = [await nodes.open_hocuspocus(f"page-{n}", relay, DOCUMENT, tokens=tokens) for n in range(3)]
        for page in pages:
            await page.synced()
            await page.call("write", 100_000)
        claims = 0
        for _ in range(ROUNDS):
            wanted = rng.randint(50, 300) + max([(await page.state())["echoed"] for page in pages])
            await claims_saved(pages[0], wanted)
            await relay.kill()
            saved = {page.name: (await page.state())["echoed"] for page in pages}
            seen = [set((await page.content())["m"]) for page in pages]
            await relay.start()
            found = (await content_of(relay, DOCUMENT)).keys()
            for page, others in zip(pages, seen, strict=True):
                assert {f"{page.name}-{n}" for n in range(saved[page.name])} <= found
                assert {key for key in others if not key.startswith(page.name)} <= found
            claims += sum(saved.values())
        assert claims
        for page in pages:
            await page.call("stop")
        for page in pages:
            await page.synced()
            await page.saved()
        found = (await content_of(relay, DOCUMENT)).keys()
        for page in pages:
            edits = (await page.state())["edits"]
            assert {f"{page.name}-{n}" for n in range(edits)} <= found
