"""The offline peer against a real relay: what is in its file stays there, and arrives."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.errors import (
    InvalidName,
    NotSynced,
    QuantityOutOfRange,
    StoreUnavailable,
    SyncError,
    Unauthenticated,
    UnknownLocation,
    UnknownProduct,
)
from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import DEADLINE_S, RelayProcess, eventually

PERIOD = "2026-11"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """A tenant of the test's own."""
    return "".join(char if char.isalnum() else "-" for char in request.node.name.lower()).strip("-")[:60].strip("-")


Opening = Callable[..., AbstractAsyncContextManager[OfflinePeer]]


@pytest.fixture
def opening(relay: RelayProcess, tmp_path: Path, tenant: str) -> Opening:
    """Opens this test's peers by name."""

    def open_peer(name: str, **options: Any) -> AbstractAsyncContextManager[OfflinePeer]:
        wanted = {"tenant": tenant, "name": name, "relay": relay.ws, "token": relay.token(tenant), **options}
        return OfflinePeer.open(tmp_path / f"{name}.db", **wanted)

    return open_peer


@pytest.fixture
async def till(opening: Opening) -> AsyncIterator[OfflinePeer]:
    """A till that knows tea and a shop."""
    async with opening("till-1") as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea", price=450)
            docs.inventory.add_location("shop")
        yield peer


def has_tea(quantity: int, stock: dict[tuple[str, str], int]) -> bool:
    return stock.get(("tea", "shop")) == quantity


async def stock_of(peer: OfflinePeer) -> dict[tuple[str, str], int]:
    async with peer.read() as docs:
        return docs.inventory.stock_table()


@pytest.mark.parametrize("name", ["relay", "", "a\ud800"])
async def test_a_peer_takes_no_name_that_is_the_relays_or_none_at_all(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name=name):
            raise AssertionError("it must not open")
    assert not (tmp_path / "till.db").exists()


async def test_two_tills_and_a_warehouse_agree_after_the_cable_was_pulled(
    opening: Opening, relay: RelayProcess
) -> None:
    async with opening("warehouse") as warehouse, opening("till-1") as one, opening("till-2") as two:
        async with warehouse.edit(period=PERIOD) as docs:
            for place in ("warehouse", "shop"):
                docs.inventory.add_location(place)
            docs.inventory.add_product("tea", price=450)
            docs.inventory.receive("tea", 100, at="warehouse")
        await warehouse.sync()
        await one.sync()
        await two.sync()
        async with warehouse.edit(period=PERIOD) as docs:
            docs.inventory.transfer("tea", 20, source="warehouse", to="shop")
        for till, sold in ((one, 3), (two, 4)):
            async with till.edit(period=PERIOD) as docs:
                docs.inventory.sell("tea", sold, at="shop")
            assert till.status().unsynced == 1
        for peer in (warehouse, one, two, warehouse, one):
            await peer.sync()
        expected = {("tea", "warehouse"): 80, ("tea", "shop"): 13}
        assert [await stock_of(peer) for peer in (warehouse, one, two)] == [expected] * 3
        assert [peer.status().unsynced for peer in (warehouse, one, two)] == [0, 0, 0]
    async with opening("auditor") as fresh:
        await fresh.sync()
        assert await stock_of(fresh) == expected


async def test_P17_edits_survive_a_kill_of_the_peer_and_its_stamps_go_on(tmp_path: Path) -> None:
    path, promised, stamps = tmp_path / "till.db", set[str](), [0]
    for label in ("first", "second", "third"):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.peer_child", str(path), label, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE_S):
                for number in range(25):
                    ref, stamp = (await child.stdout.readline()).decode().split()
                    assert int(stamp) > stamps[-1], "a stamp was given that an earlier start had passed"
                    assert ref == f"{label}-{number}"
                    promised.add(ref)
                    stamps.append(int(stamp))
        finally:
            child.kill()
            promised |= {line.split()[0].decode() for line in (await child.stdout.read()).splitlines() if b" " in line}
            await child.wait()
    async with OfflinePeer.open(path, tenant="acme", name="till-1") as peer:
        async with peer.read() as docs:
            assert promised - docs.inventory.refs() == set()
        # The goods of at most one edit more than was printed in each life.
        assert len(promised) <= (await stock_of(peer))["tea", "shop"] <= len(promised) + 3


async def test_a_lagging_clock_does_not_give_an_earlier_stamp_after_a_restart(opening: Opening) -> None:
    early, late = 1_700_000_000_000, 1_795_000_000_000
    async with (
        opening("till-1", relay=None, now_ms=lambda: late) as peer,
        peer.edit(period=PERIOD) as docs,
    ):
        docs.inventory.add_product("tea")
        docs.inventory.add_location("shop")
        docs.inventory.receive("tea", 1, at="shop", ref="before")
    async with opening("till-1", relay=None, now_ms=lambda: early) as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.receive("tea", 1, at="shop", ref="after")
        async with peer.read() as docs:
            assert [movement.ref for movement in docs.inventory.movements()] == ["before", "after"]


async def test_unsynced_counts_down_when_the_relay_has_it_on_disk(till: OfflinePeer) -> None:
    before = till.status()
    assert before.unsynced > 0
    assert not before.is_online
    await till.sync()
    assert till.status().unsynced == 0
    async with till.edit(period=PERIOD) as docs:
        docs.inventory.receive("tea", 5, at="shop")
        docs.metrics.count("deliveries", "shop")
    assert till.status().unsynced == 3, "catalog (the period), movements, metrics"
    await till.sync()
    assert till.status().unsynced == 0


async def test_a_peer_that_was_synced_has_nothing_unsynced_after_a_restart(opening: Opening) -> None:
    async with opening("till-1") as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
        await peer.sync()
    async with opening("till-1") as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("milk")
        assert peer.status().unsynced == 1


async def test_online_peers_tell_each_other_and_come_back_after_the_relay_was_killed(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        options: dict[str, Any] = {"tenant": "acme", "relay": relay.ws, "token": relay.token()}
        async with (
            OfflinePeer.open(tmp_path / "one.db", name="one", **options) as one,
            OfflinePeer.open(tmp_path / "two.db", name="two", **options) as two,
            one.online(jitter=lambda: 0.1),
            two.online(jitter=lambda: 0.1),
        ):
            async with one.edit(period=PERIOD) as docs:
                docs.inventory.add_product("tea")
                docs.inventory.add_location("shop")
            for number in range(3):
                async with one.edit(period=PERIOD) as docs:
                    docs.inventory.receive("tea", 10, at="shop")
                await one.settled()
                await eventually(partial(stock_of, two), partial(has_tea, 10 * (number + 1)))
                await relay.kill()
                await eventually(lambda: _status(one), lambda status: not status.is_online)
                await relay.start()
            await one.settled()
            assert one.status().unsynced == 0


async def _status(peer: OfflinePeer) -> Any:
    return peer.status()


async def test_a_relay_that_is_away_is_no_error_of_an_edit(opening: Opening) -> None:
    async with opening("till-1", relay="ws://127.0.0.1:9") as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
        with pytest.raises(NotSynced, match="can't be reached"):
            await peer.sync()
        assert peer.status().unsynced == 1


async def test_a_document_that_is_refused_is_named_and_the_others_are_synced(
    opening: Opening, relay: RelayProcess, tenant: str
) -> None:
    token = relay.token(tenant, documents=["inventory/*"])
    async with opening("till-1", token=token) as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
            docs.metrics.count("deliveries", "shop")
        with pytest.raises(NotSynced, match=f"metrics/{PERIOD} was refused: this token does not allow to read"):
            await peer.sync()
        assert peer.status().unsynced == 1, "the metrics"


async def test_a_viewers_edits_stay_with_it_and_it_is_told(
    opening: Opening, relay: RelayProcess, tenant: str, till: OfflinePeer
) -> None:
    await till.sync()
    async with opening("viewer", token=relay.token(tenant, role="viewer")) as viewer:
        await viewer.sync()
        async with viewer.read() as docs:
            assert docs.inventory.attribute("tea", "price") == 450
        async with viewer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("contraband")
        with pytest.raises(NotSynced, match="inventory/catalog was refused: this token may read"):
            await viewer.sync()
        assert viewer.status().unsynced == 1
    await till.sync()
    async with till.read() as docs:
        assert set(docs.inventory.products()) == {"tea"}


async def test_an_expired_token_is_said_to_be_expired(opening: Opening, relay: RelayProcess, tenant: str) -> None:
    token = relay.token(tenant, ttl_s=60, now_s=time.time() - 3_600)
    async with opening("till-1", token=token) as peer:
        with pytest.raises(Unauthenticated, match="the token has expired"):
            await peer.sync()


async def test_a_token_may_be_asked_for_at_every_connect(opening: Opening, relay: RelayProcess, tenant: str) -> None:
    tokens = iter([relay.token(tenant, ttl_s=60, now_s=1_700_000_000), relay.token(tenant), relay.token(tenant)])
    async with opening("till-1", token=lambda: next(tokens)) as peer:
        with pytest.raises(Unauthenticated):
            await peer.sync()
        await peer.sync()
        await peer.sync()
    assert list(tokens) == []


MISUSES: dict[str, tuple[Callable[[InventoryDocument], object], type[SyncError]]] = {
    "half a piece": (lambda inventory: inventory.sell("tea", 0.5, at="shop"), QuantityOutOfRange),  # type: ignore[arg-type]
    "beyond 2^53": (lambda inventory: inventory.receive("tea", 2**53, at="shop"), QuantityOutOfRange),
    "nothing": (lambda inventory: inventory.sell("tea", 0, at="shop"), QuantityOutOfRange),
    "a truth value": (lambda inventory: inventory.sell("tea", True, at="shop"), QuantityOutOfRange),
    "an unknown product": (lambda inventory: inventory.sell("coffee", 1, at="shop"), UnknownProduct),
    "an unknown location": (lambda inventory: inventory.sell("tea", 1, at="moon"), UnknownLocation),
    "an empty name": (lambda inventory: inventory.add_product(""), InvalidName),
}


@pytest.mark.parametrize("misuse", MISUSES)
async def test_misuse_raises_a_typed_error_and_writes_nothing(till: OfflinePeer, misuse: str) -> None:
    act, error = MISUSES[misuse]
    unsynced = till.status().unsynced

    async def misuse_it() -> None:
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.receive("tea", 7, at="shop")
            act(docs.inventory)

    with pytest.raises(error):
        await misuse_it()
    assert await stock_of(till) == {}
    assert till.status().unsynced == unsynced


async def test_P17_an_exception_in_the_block_writes_nothing(till: OfflinePeer) -> None:
    async def fail_within() -> None:
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.receive("tea", 7, at="shop")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_within()
    assert await stock_of(till) == {}
    async with till.edit(period=PERIOD) as docs:
        docs.inventory.receive("tea", 2, at="shop")
    assert await stock_of(till) == {("tea", "shop"): 2}


async def test_an_edit_that_is_cancelled_is_whole_or_not_there_at_all(opening: Opening, till: OfflinePeer) -> None:
    async def receive(ref: str) -> None:
        async with till.edit(period=PERIOD) as docs:
            docs.inventory.receive("tea", 1, at="shop", ref=ref)
            docs.metrics.count("deliveries", "shop")

    await till.sync()
    for number in range(60):
        edit = asyncio.create_task(receive(f"r{number}"))
        for _ in range(number % 20):
            await asyncio.sleep(0)
        edit.cancel()
        await asyncio.wait([edit])
    async with till.read() as docs:
        refs, deliveries = docs.inventory.refs(), docs.metrics.counter("deliveries", "shop")
    assert 0 < len(refs) < 60, "some were too early to cancel, some too late"
    assert deliveries == len(refs)
    assert till.status().unsynced == 2 * len(refs) + 1, "and the period, in the catalog"
    await till.sync()
    async with opening("auditor") as auditor:
        await auditor.sync()
        async with auditor.read() as docs:
            assert docs.inventory.refs() == refs


async def test_a_period_that_is_none_is_refused(till: OfflinePeer) -> None:
    with pytest.raises(InvalidName):
        async with till.edit(period="2026-13"):
            raise AssertionError("the block must not run")


async def test_a_block_that_has_ended_takes_no_more_writes(till: OfflinePeer) -> None:
    async with till.edit(period=PERIOD) as docs:
        inventory = docs.inventory
    with pytest.raises((SyncError, RuntimeError, ValueError)):
        inventory.receive("tea", 1, at="shop")
    async with till.read() as docs:
        with pytest.raises((SyncError, RuntimeError, ValueError)):
            docs.inventory.receive("tea", 1, at="shop")
    assert await stock_of(till) == {}


async def test_another_tenants_file_is_refused(opening: Opening) -> None:
    async with opening("till-1"):
        pass
    with pytest.raises((SyncError, ValueError), match="peer of"):
        async with opening("till-1", tenant="globex"):
            raise AssertionError("the file must not open")


async def test_a_file_that_is_open_elsewhere_is_refused(opening: Opening) -> None:
    async with opening("till-1"):
        with pytest.raises(StoreUnavailable, match="is held by another opener"):
            async with opening("till-1"):
                raise AssertionError("the file must not open twice")


@pytest.mark.parametrize("url", ["127.0.0.1:1234", "ftp://relay", "ws://"])
async def test_an_address_that_is_none_is_said_at_once(opening: Opening, url: str) -> None:
    with pytest.raises(InvalidName):
        async with opening("till-1", relay=url):
            raise AssertionError("the peer must not open")


async def test_a_peer_without_a_relay_just_works_offline(opening: Opening) -> None:
    async with opening("till-1", relay=None) as peer:
        async with peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
        with pytest.raises(NotSynced, match="without a relay"):
            await peer.sync()
