"""What a reader of a peer's changes is told: what, when, whose, and that it has missed something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pycrdt import Doc, Map

from crdt_sync.documents.catalog.money import Money
from crdt_sync.errors import ReplicaBroken
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer import (
    Change,
    Changes,
    ConflictClosed,
    ConflictOpened,
    EntryChanged,
    FieldChanged,
    MetricChanged,
    Missed,
    MovementAdded,
    OfflinePeer,
)
from crdt_sync.peer.local_document import LocalDocument
from crdt_sync.peer.shelf import Shelf
from crdt_sync.replica import CHANGES_MAX, Changed, Replica, Write
from crdt_sync.stores.sqlite import open_sqlite_store

PERIOD = "2026-11"
CATALOG, MOVEMENTS, METRICS = "inventory/catalog", f"inventory/{PERIOD}", f"metrics/{PERIOD}"
AT_MS = 1_795_000_000_000


@asynccontextmanager
async def opened(path: Path, name: str = "till-1") -> AsyncIterator[OfflinePeer]:
    async with OfflinePeer.open(path / f"{name}.db", tenant="acme", name=name, now_ms=lambda: AT_MS) as peer:
        yield peer


async def take(changes: Changes, count: int) -> list[Change]:
    async with asyncio.timeout(20):
        return [await anext(changes) for _ in range(count)]


async def rest(changes: Changes) -> list[Change]:
    """What is left, once no more can come."""
    changes.end()
    return [change async for change in changes]


@asynccontextmanager
async def shelf(path: Path) -> AsyncIterator[Shelf]:
    async with open_sqlite_store(path / "till.db", create=True, kind="test") as store:
        yield Shelf(store, "till-1", DEFAULT_LIMITS)


async def hear(document: LocalDocument, *updates: bytes) -> None:
    async with document.lock:
        fresh = [document.replica.merge(update).fresh for update in updates]
        await document.keep([update for update in fresh if update is not None], 0)


async def edit(document: LocalDocument, *writes: Write) -> None:
    async with document.lock:
        await document.edit(writes, 0)


def page(root: str, key: str, value: object, *, knowing: bytes = b"\x00\x00", client: int = 7) -> bytes:
    doc: Doc[Map] = Doc(client_id=client)
    doc.apply_update(knowing)
    before = doc.get_state()
    doc.get(root, type=Map)[key] = value
    return doc.get_update(before)


async def test_an_edit_is_told_field_by_field_with_what_was_there_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as peer:
        async with peer.edit() as docs:
            docs.inventory.add_product("tea", name="Tea")
            docs.inventory.add_location("shop")
        async with peer.changes() as changes:
            async with peer.edit() as docs:
                docs.inventory.product("tea").price = Money(450, "GBP")
                docs.inventory.product("tea").name = "Green tea"
                docs.inventory.location("shop")["floor"] = 2
            async with peer.edit() as docs:
                sold = docs.inventory.receive("tea", 3, at="shop")
                docs.metrics.count("sales", "shop")
                docs.metrics.series("mentions", "AAPL").add(AT_MS, 104)
            told = await rest(changes)
    fields = {(c.product, c.location, c.field): (c.old, c.new) for c in told if isinstance(c, FieldChanged)}
    assert fields == {
        ("tea", None, "price"): (None, [450, "GBP"]),
        ("tea", None, "name"): ("Tea", "Green tea"),
        (None, "shop", "floor"): (None, 2),
    }
    assert len({(c.document, c.commit) for c in told if isinstance(c, FieldChanged)}) == 1
    (movement,) = [c.movement for c in told if isinstance(c, MovementAdded)]
    assert (movement.mid, movement.sku, movement.quantity) == (sold, "tea", 3)
    metrics = {(c.document, c.kind, c.metric, c.entity) for c in told if isinstance(c, MetricChanged)}
    assert metrics == {(METRICS, "counter", "sales", "shop"), (METRICS, "series", "mentions", "AAPL")}
    assert [c.key for c in told if isinstance(c, EntryChanged)] == [PERIOD]
    assert all(c.is_local for c in told if not isinstance(c, Missed))


async def test_a_product_that_comes_and_goes_is_told_by_its_life(tmp_path: Path) -> None:
    async with opened(tmp_path) as peer, peer.changes(documents=[CATALOG]) as changes:
        async with peer.edit() as docs:
            docs.inventory.add_product("tea")
        async with peer.edit() as docs:
            docs.inventory.product("tea").delete()
        lives = [(c.field, c.old, c.new) for c in await rest(changes) if isinstance(c, FieldChanged)]
    assert lives == [("$life", None, "active"), ("$life", "active", "deleted")]


async def test_what_came_from_elsewhere_is_told_with_the_keys_that_its_bytes_do_not_name(tmp_path: Path) -> None:
    async with shelf(tmp_path) as documents:
        catalog = await documents.open(CATALOG)
        await hear(catalog, page("attr", "tea/price", 450))
        async with documents.feed.subscribe(None, 10) as changes:
            overwriting = page("attr", "tea/price", 475, knowing=catalog.replica.snapshot(), client=8)
            assert b"price" not in overwriting
            await hear(catalog, overwriting)
            assert await take(changes, 1) == [
                FieldChanged(CATALOG, catalog.mark, False, "tea", None, "price", 450, 475)
            ]


async def test_nothing_is_told_before_it_is_on_disk(tmp_path: Path) -> None:
    async with shelf(tmp_path) as documents:
        catalog = await documents.open(CATALOG)
        async with documents.feed.subscribe(None, 10) as changes:
            async with catalog.lock:
                fresh = catalog.replica.merge(page("attr", "tea/price", 450)).fresh
                assert fresh is not None
                waiting = asyncio.ensure_future(anext(changes))
                await asyncio.sleep(0)
                assert not waiting.done()
                mark = catalog.mark
                await catalog.keep([fresh], 0)
            change = await waiting
            assert isinstance(change, FieldChanged)
            assert change.commit == mark + 1


async def test_a_conflict_is_told_when_it_opens_and_when_somebody_has_chosen(tmp_path: Path) -> None:
    async with shelf(tmp_path) as documents:
        catalog = await documents.open(CATALOG)
        await edit(catalog, Write("attr", "tea/$life", "active"), Write("attr", "tea/price", 450))
        before = catalog.replica.snapshot()
        async with documents.feed.subscribe(None, 50) as changes:
            await edit(catalog, Write("attr", "tea/price", 475))
            await hear(catalog, page("attr", "tea/price", 500, knowing=before))
            opened_at = catalog.mark
            tips = [head.dot for head in catalog.replica.heads("attr", "tea/price")]
            resolution = {"tips": tips, "how": "server", "v": 500, "by": "till-1", "t": 1}
            await edit(catalog, Write("resolve", "tea/price|1.1", resolution))
            told = [c for c in await rest(changes) if isinstance(c, (ConflictOpened, ConflictClosed))]
        assert told == [
            ConflictOpened(CATALOG, opened_at, False, "tea", None, "price", "concurrent_update"),
            ConflictClosed(CATALOG, opened_at + 1, True, "tea", None, "price"),
        ]


async def test_a_reader_that_is_too_slow_is_told_so_in_the_right_place_and_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as peer, peer.changes(documents=[CATALOG], buffer_max=2) as changes:
        for number in range(5):
            async with peer.edit() as docs:
                docs.inventory.add_product(f"tea {number}")
        first, second, missed = await take(changes, 3)
        assert [c.product for c in (first, second) if isinstance(c, FieldChanged)] == ["tea 0", "tea 1"]
        assert missed == Missed(frozenset({CATALOG}), 3)
        async with peer.edit() as docs:
            docs.inventory.add_product("tea 5")
        (after,) = await take(changes, 1)
        assert isinstance(after, FieldChanged)
        assert after.product == "tea 5"


async def test_a_gap_grows_while_there_is_no_room_for_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as peer, peer.changes(documents=[CATALOG], buffer_max=2) as changes:
        for number in range(3):
            async with peer.edit() as docs:
                docs.inventory.add_product(f"tea {number}")
        await take(changes, 1)
        async with peer.edit() as docs:
            docs.inventory.add_product("tea 3")
        second, missed = await take(changes, 2)
        assert isinstance(second, FieldChanged)
        assert missed == Missed(frozenset({CATALOG}), 2)


async def test_more_than_is_kept_of_one_update_is_told_as_missed(tmp_path: Path) -> None:
    doc: Doc[Map] = Doc(client_id=7)
    with doc.transaction():
        for number in range(CHANGES_MAX + 5):
            doc.get("attr", type=Map)[f"tea {number}/price"] = number
    async with shelf(tmp_path) as documents:
        catalog = await documents.open(CATALOG)
        async with documents.feed.subscribe(None, 2 * CHANGES_MAX) as changes:
            await hear(catalog, doc.get_update())
            *told, missed = await rest(changes)
        assert len(told) == CHANGES_MAX
        assert missed == Missed(frozenset({CATALOG}), 5)


async def test_a_document_that_was_loaded_again_is_told_as_missed(tmp_path: Path) -> None:
    async with shelf(tmp_path) as documents:
        catalog = await documents.open(CATALOG)
        async with documents.feed.subscribe(None, 10) as changes:
            catalog.replica.merge(page("attr", "tea/price", 450))
            documents.drop([CATALOG])
            catalog = await documents.open(CATALOG)
            assert (await take(changes, 1)) == [Missed(frozenset({CATALOG}), 0)]
            await hear(catalog, page("attr", "tea/cost", 300))
            assert [c.field for c in await rest(changes) if isinstance(c, FieldChanged)] == ["cost"]


async def test_what_a_page_wrote_and_nobody_can_read_is_told_as_an_entry(tmp_path: Path) -> None:
    async with shelf(tmp_path) as documents:
        catalog, movements = await documents.open(CATALOG), await documents.open(MOVEMENTS)
        async with documents.feed.subscribe(None, 10) as changes:
            await hear(catalog, page("attr", "no key", 1))
            await hear(catalog, page("attr", "tea/price", Map({"a": 1}), knowing=catalog.replica.snapshot(), client=9))
            await hear(movements, page("mv", "1.0", ["sale"]))
            told = await rest(changes)
    assert told == [
        EntryChanged(CATALOG, 1, False, "attr", "no key"),
        FieldChanged(CATALOG, 2, False, "tea", None, "price", None, None),
        EntryChanged(MOVEMENTS, 1, False, "mv", "1.0"),
    ]


async def test_while_nobody_reads_nothing_is_observed(tmp_path: Path) -> None:
    async with shelf(tmp_path) as documents:
        catalog = await documents.open(CATALOG)
        async with documents.feed.subscribe(None, 10), documents.feed.subscribe(None, 10):
            assert catalog.replica._observed
        assert not catalog.replica._observed
        await hear(catalog, page("attr", "tea/price", 450))
        assert catalog.replica.take_changes() == ([], 0)
        movements = await documents.open(MOVEMENTS)
        assert not movements.replica._observed


async def test_the_iteration_ends_when_the_peer_is_closed(tmp_path: Path) -> None:
    told: list[Change] = []

    async def read(peer: OfflinePeer, begun: asyncio.Event) -> None:
        async with peer.changes(documents=[CATALOG]) as changes:
            begun.set()
            async for change in changes:
                told.append(change)

    async with asyncio.timeout(20):
        async with opened(tmp_path) as peer:
            begun = asyncio.Event()
            reading = asyncio.create_task(read(peer, begun))
            await begun.wait()
            async with peer.edit() as docs:
                docs.inventory.add_product("tea")
        await reading
    assert [c.product for c in told if isinstance(c, FieldChanged)] == ["tea"]


async def test_waiting_for_a_change_sleeps_through_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as peer, asyncio.timeout(20):
        seen = await peer.changed(-1)
        async with peer.edit() as docs:
            docs.inventory.add_product("tea")
        # It happened before the wait began.
        now = await peer.changed(seen)
        assert now > seen
        waiting = [asyncio.create_task(peer.changed(now)), asyncio.create_task(peer.changed())]
        await asyncio.sleep(0)
        assert not any(wait.done() for wait in waiting)
        async with peer.edit() as docs:
            docs.inventory.add_location("shop")
        assert [await wait > now for wait in waiting] == [True, True]


async def test_a_reader_without_room_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as peer:
        with pytest.raises(ValueError, match="room for one"):
            peer.changes(buffer_max=0)


def test_a_replica_tells_old_and_new_of_writes_merges_and_deletes() -> None:
    replica = Replica()
    replica.observe(["attr"])
    replica.write([Write("attr", "tea/price", 450), Write("other", "x", 1)])
    replica.write([Write("attr", "tea/price", b"\x00")])
    doc: Doc[Map] = Doc(client_id=7)
    doc.apply_update(replica.snapshot())
    before = doc.get_state()
    del doc.get("attr", type=Map)["tea/price"]
    replica.merge(doc.get_update(before))
    changes = [
        Changed("attr", "tea/price", None, 450),
        Changed("attr", "tea/price", 450, b"\x00"),
        Changed("attr", "tea/price", b"\x00", None),
    ]
    assert replica.take_changes() == (changes, 0)
    assert replica.take_changes() == ([], 0)
    replica.observe(())
    replica.write([Write("attr", "tea/price", 1)])
    assert replica.take_changes() == ([], 0)


def test_a_broken_replica_can_be_left_alone() -> None:
    replica = Replica()
    replica.observe(["attr"])
    with pytest.raises(ReplicaBroken):
        replica.write([Write("attr", "x", object())])
    replica.observe(())
    with pytest.raises(ReplicaBroken):
        replica.observe(["attr"])
