"""Rights by demand through a real relay: who runs short asks, who has more answers without being told to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from crdt_sync.documents.stock.escrow import Rights
from crdt_sync.errors import InsufficientRights
from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import RelayProcess

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


def opened(relay: RelayProcess, folder: Path, tenant: str, name: str) -> AbstractAsyncContextManager[OfflinePeer]:
    return OfflinePeer.open(folder / f"{name}.db", tenant=tenant, name=name, relay=relay.ws, token=relay.token(tenant))


async def stock_the_shelf(peer: OfflinePeer) -> None:
    async with peer.edit() as docs:
        docs.inventory.add_product("shirt", escrow="refuse")
        docs.inventory.add_location("A")
        docs.inventory.receive("shirt", 10, at="A")


async def short_of(peer: OfflinePeer, units: int) -> None:
    async with peer.edit() as docs:
        with pytest.raises(InsufficientRights):
            docs.inventory.sell("shirt", units, at="A")
        docs.inventory.request("shirt", units, at="A")


async def test_a_sync_answers_what_was_asked_for_and_brings_the_answer_along(
    relay: RelayProcess, tmp_path: Path
) -> None:
    async with opened(relay, tmp_path, "asked", "till-1") as one, opened(relay, tmp_path, "asked", "till-2") as two:
        await stock_the_shelf(one)
        await one.sync()
        await two.sync()
        await short_of(two, 3)
        for peer in (two, one, two):
            await peer.sync()
        async with two.edit() as docs:
            docs.inventory.sell("shirt", 3, at="A")
            assert docs.inventory.requests() == []
            assert docs.inventory.rights("shirt", "A") == Rights({"till-1": 7}, 0)


async def test_while_online_a_request_is_answered_as_soon_as_it_is_heard(relay: RelayProcess, tmp_path: Path) -> None:
    async with opened(relay, tmp_path, "online", "till-1") as one, opened(relay, tmp_path, "online", "till-2") as two:
        await stock_the_shelf(one)
        await one.sync()
        await two.sync()
        async with one.online(), two.online(), asyncio.timeout(DEADLINE_S):
            await short_of(two, 4)
            seen, has = 0, 0
            while has < 4:
                seen = await two.changed(seen)
                async with two.read() as docs:
                    has = docs.inventory.rights("shirt", "A").of.get("till-2", 0)
        async with two.edit() as docs:
            docs.inventory.sell("shirt", 4, at="A")
            assert docs.inventory.oversold() == []
            assert docs.inventory.overdrawn() == {}


async def test_a_rule_and_a_function_of_ones_own_close_a_conflict_equally_on_two_peers(
    relay: RelayProcess, tmp_path: Path
) -> None:
    def joined(siblings: object, _base: object) -> str:
        assert isinstance(siblings, list)
        return " / ".join(str(sibling) for sibling in siblings)

    def with_joining(name: str) -> AbstractAsyncContextManager[OfflinePeer]:
        return OfflinePeer.open(
            tmp_path / f"{name}.db",
            tenant="ruled",
            name=name,
            relay=relay.ws,
            token=relay.token("ruled"),
            merges={"joined": joined},
        )

    async with with_joining("till-1") as one, with_joining("till-2") as two:
        async with one.edit() as docs:
            docs.inventory.add_product("tea", name="tea")
            docs.inventory.set_rule("merge/name", "joined")
        await one.sync()
        await two.sync()
        for peer, name in ((one, "green tea"), (two, "black tea")):
            async with peer.edit() as docs:
                docs.inventory.set_attribute("tea", "name", name)
        for peer in (one, two, one):
            await peer.sync()
        for peer in (one, two):
            async with peer.edit() as docs:
                assert len(docs.inventory.settle_conflicts()) == 1
        for peer in (one, two, one):
            await peer.sync()
        for peer in (one, two):
            async with peer.read() as docs:
                assert docs.inventory.conflicts() == []
                assert docs.inventory.attribute("tea", "name") == "black tea / green tea"
