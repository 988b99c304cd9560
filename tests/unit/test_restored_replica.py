"""A flat replica can be restored from its own snapshot without being judged again, and nothing else can."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from crdt_sync.errors import ReplicaBroken
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer.local_document import COMPACT_BYTES, FLAT, LocalDocument
from crdt_sync.replica import Replica, Write, contents
from crdt_sync.stores.memory import MemoryStore
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Snapshot
from crdt_sync.updates.ledger import Ledger

keys = st.sampled_from("abcd")
values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3), st.lists(st.integers(0, 9)))
edits = st.lists(st.tuples(st.integers(0, 2), st.lists(st.tuples(keys, values), min_size=1, max_size=3)), max_size=12)


def foreign(root: str, value: Any) -> bytes:
    """An update in which a page has put something at ``root``."""
    doc: Doc[Any] = Doc()
    doc[root] = value
    return doc.get_update()


@given(edits)
def test_a_restored_replica_holds_and_does_what_the_one_before_did(history: list[tuple[int, list[Any]]]) -> None:
    replicas = [Replica() for _ in range(3)]
    for writer, pairs in history:
        update = replicas[writer].write([Write("attr", key, value) for key, value in pairs])
        assert update is not None
        for other in replicas:
            other.merge(update)
    before = replicas[0]
    assert before.is_flat
    after = Replica.restored(before.snapshot(), Ledger.decode(before.ledger.encode()))
    assert contents(after) == contents(before)
    assert after.ledger == before.ledger
    update = after.write([Write("attr", "a", 1)])
    assert update is not None
    assert before.merge(update).fresh == update
    assert contents(after) == contents(before)


@pytest.mark.parametrize(
    "value",
    [Array([1, 2]), Text("list"), Map({"a": Array([1])}), Map({"a": Map({"b": 1})}), Map({"a": Text("t")})],
    ids=["list", "text", "list under a key", "map under a key", "text under a key"],
)
def test_what_holds_more_than_root_maps_is_not_flat(value: Any) -> None:
    replica = Replica()
    replica.merge(foreign("attr", value))
    assert not replica.is_flat


def test_a_nested_type_that_replaces_a_plain_value_is_noticed() -> None:
    doc: Doc[Any] = Doc()
    doc["attr"] = Map({"a": 1})
    replica = Replica()
    replica.merge(doc.get_update())
    assert replica.is_flat
    state = doc.get_state()
    doc["attr"]["a"] = Array([0, 1, 2])
    replica.merge(doc.get_update(state))
    assert not replica.is_flat


def test_a_snapshot_under_another_ledger_is_refused() -> None:
    replica = Replica()
    replica.write([Write("attr", "a", 1)])
    earlier = Ledger.decode(replica.ledger.encode())
    replica.write([Write("attr", "b", 2)])
    with pytest.raises(ReplicaBroken, match="another state than its ledger says"):
        Replica.restored(replica.snapshot(), earlier)
    with pytest.raises(ReplicaBroken):
        Replica.restored(b"\xff", earlier)


async def test_a_peer_s_long_log_becomes_a_snapshot_that_opens_as_the_same_document(tmp_path: Path) -> None:
    page = Replica()
    update = page.write([Write("mv", f"a.{n}", ["sale", "x" * 100, "y", n]) for n in range(4_000)])
    assert update is not None
    assert len(update) > COMPACT_BYTES
    async with open_sqlite_store(tmp_path / "a.db", create=True, kind="peer") as store:
        first = await LocalDocument.load("inventory/2026-11", "till-1", store.log("inventory/2026-11"), DEFAULT_LIMITS)
        async with first.lock:
            first.replica.merge(update)
            await first.keep([update], 0)
        await first.tidy()
        loaded = await store.log("inventory/2026-11").load()
        assert loaded.snapshot is not None
        assert loaded.tail == ()
        assert loaded.marks[FLAT] == loaded.snapshot.through == 1
        again = await LocalDocument.load("inventory/2026-11", "till-1", store.log("inventory/2026-11"), DEFAULT_LIMITS)
        assert contents(again.replica) == contents(page)
        assert again.replica.is_flat


async def test_memory_that_may_be_ahead_of_the_log_never_becomes_a_snapshot(tmp_path: Path) -> None:
    update = Replica().write([Write("mv", "a.0", "x" * COMPACT_BYTES)])
    more = Replica().write([Write("mv", "b.0", "x")])
    assert update is not None
    assert more is not None
    async with open_sqlite_store(tmp_path / "a.db", create=True, kind="peer") as store:
        log = store.log("inventory/2026-11")
        document = await LocalDocument.load("inventory/2026-11", "till-1", log, DEFAULT_LIMITS)
        async with document.lock:
            document.replica.merge(update)
            await document.keep([update], 0)
            document.replica.merge(more)
            keeping = asyncio.create_task(document.keep([more], 0))
            await asyncio.sleep(0)
            keeping.cancel()
            await asyncio.wait([keeping])
        assert document.is_torn
        await document.tidy()
        assert (await log.load()).snapshot is None


async def test_edits_that_wait_for_the_relay_stay_in_the_log() -> None:
    store = MemoryStore()
    document = await LocalDocument.load("inventory/2026-11", "till-1", store.log("inventory/2026-11"), DEFAULT_LIMITS)
    async with document.lock:
        await document.edit([Write("mv", "a.0", "x" * COMPACT_BYTES)], 0)
    await document.tidy()
    assert (await store.log("inventory/2026-11").load()).snapshot is None
    await document.note_durable(document.mark)
    await document.tidy()
    assert (await store.log("inventory/2026-11").load()).snapshot is not None


async def test_a_snapshot_with_a_list_in_it_is_judged_again_on_every_load() -> None:
    log = MemoryStore().log("inventory/2026-11")
    document = await LocalDocument.load("inventory/2026-11", "till-1", log, DEFAULT_LIMITS)
    update = foreign("list", Array(["x" * COMPACT_BYTES]))
    async with document.lock:
        document.replica.merge(update)
        await document.keep([update], 0)
    await document.tidy()
    loaded = await log.load()
    assert loaded.snapshot == Snapshot(1, document.replica.snapshot(), document.replica.ledger.encode())
    assert FLAT not in loaded.marks
    again = await LocalDocument.load("inventory/2026-11", "till-1", log, DEFAULT_LIMITS)
    assert contents(again.replica) == contents(document.replica)
    assert not again.replica.is_flat
