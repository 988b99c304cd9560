from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings

from crdt_sync.errors import StoreUnavailable
from crdt_sync.stores.sqlite import CHECKPOINT_BYTES, SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Loaded, Record, Store
from tests.contracts.retiring_contract import RetiringContract
from tests.contracts.update_log_contract import STEPS, Step, UpdateLogContract, record, records, snapshot


class TestSqliteStore(UpdateLogContract, RetiringContract):
    def opened(self, folder: Path) -> AbstractAsyncContextManager[Store]:
        return open_sqlite_store(folder / "acme.db", create=True, kind="tenant")

    @settings(max_examples=40)
    @given(steps=STEPS)
    def test_L1_to_L11_any_history_reads_like_its_model(self, steps: list[Step]) -> None:
        self.follow(steps)


def opened(path: Path) -> AbstractAsyncContextManager[SqliteStore]:
    return open_sqlite_store(path, create=True, kind="tenant")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.db"


async def test_L3_a_closed_store_is_one_file_and_has_everything(path: Path) -> None:
    async with opened(path) as store:
        await store.log("metrics").append(records(1, 9))
        await store.log("metrics").compact(snapshot(4))
        identity = store.identity
    assert not path.with_name("acme.db-wal").exists()
    async with open_sqlite_store(path, create=False, kind="tenant") as store:
        assert await store.log("metrics").load() == Loaded(snapshot(4), records(5, 9), {})
        assert store.identity == identity


async def test_L3_appends_that_wait_when_the_block_ends_are_committed(path: Path) -> None:
    async with opened(path) as store:
        waiting = [asyncio.create_task(store.log(f"d{number}").append([record(1)])) for number in range(50)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [1] * 50
    async with opened(path) as store:
        assert len(await store.documents()) == 50


async def test_L14_a_store_that_is_being_closed_refuses_and_loses_nothing(path: Path) -> None:
    refused = 0

    async def read_and_write(store: SqliteStore, document: str) -> int:
        nonlocal refused
        last = 0
        try:
            while True:
                last = await store.log(document).append([record(1)])
                await store.log(document).load()
        except StoreUnavailable:
            refused += 1
        return last

    async with opened(path) as store:
        tasks = [asyncio.create_task(read_and_write(store, f"d{number}")) for number in range(10)]
        while store.commits < 5:
            await store.log("other").append([record(1)])
    acked = await asyncio.gather(*tasks)
    assert refused == 10
    async with opened(path) as store:
        for number, last in enumerate(acked):
            assert (await store.log(f"d{number}").load()).last_seq >= last > 0


async def test_L3_closing_goes_through_although_its_task_is_cancelled(path: Path) -> None:
    entered = asyncio.Event()

    async def session() -> None:
        async with opened(path) as store:
            await store.log("metrics").append(records(1, 3))
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(session())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with opened(path) as store:
        assert (await store.log("metrics").load()).tail == records(1, 3)


async def test_L3_the_writer_syncs_every_commit_and_wipes_what_it_deletes(path: Path) -> None:
    async with opened(path) as store:
        wanted = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 0, "secure_delete": 1}
        pragmas = await store._writer.run(
            lambda writer: {name: writer.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
        )
    assert pragmas == {**wanted, "journal_mode": b"wal"}


async def test_L5_many_concurrent_appends_share_few_transactions(path: Path) -> None:
    async with opened(path) as store:
        await asyncio.gather(*(store.log(f"d{number}").append([record(1)]) for number in range(500)))
        assert store.commits <= 5
        await asyncio.gather(*(store.log(f"d{number}").mark("acked", 1) for number in range(500)))
        assert store.commits <= 10


async def test_L7_readers_that_load_during_appends_and_compactions_see_a_whole_document(path: Path) -> None:
    async with opened(path) as store:
        log = store.log("metrics")
        await log.append([record(1)])
        writing = asyncio.create_task(write_and_compact(store, 40))
        while not writing.done():
            loaded = await log.load()
            through = loaded.snapshot.through if loaded.snapshot else 0
            assert loaded.tail == records(through + 1, loaded.last_seq)
            await store.verify("metrics")
        await writing
        assert (await log.load()).last_seq == 41


async def write_and_compact(store: SqliteStore, rounds: int) -> None:
    log = store.log("metrics")
    for number in range(2, rounds + 2):
        await log.append([record(number)])
        if number % 3 == 0:
            await log.compact(snapshot(number - 1))


async def test_the_wal_is_checkpointed_once_it_has_grown(path: Path) -> None:
    wal = path.with_name("acme.db-wal")
    async with opened(path) as store:
        for _ in range(40):
            await store.log("metrics").append([Record(bytes(1 << 20))])
            assert wal.stat().st_size <= CHECKPOINT_BYTES + (2 << 20)
        assert path.stat().st_size > 30 << 20


async def test_a_second_opener_is_turned_away_and_told_why(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(StoreUnavailable, match="held by another opener"):
            async with opened(path):
                pass
        assert await store.log("metrics").append([record(1)]) == 1
    async with opened(path) as store:
        assert await store.log("metrics").append([record(2)]) == 2


async def test_a_foreign_program_that_writes_makes_appends_fail_and_nothing_else(path: Path) -> None:
    async with opened(path) as store:
        log = store.log("metrics")
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="in use by another program"):
            await log.append([record(1)])
        foreign.execute("ROLLBACK")
        foreign.close()
        assert store.failure is None
        assert await log.append([record(1)]) == 1


async def test_another_kind_of_store_is_not_opened(path: Path) -> None:
    async with opened(path):
        pass
    with pytest.raises(ValueError, match="kind 'tenant', not 'peer'"):
        async with open_sqlite_store(path, create=True, kind="peer"):
            pass


async def test_nothing_is_made_unless_asked_for(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="there is no store"):
        async with open_sqlite_store(path, create=False, kind="tenant"):
            pass
    assert list(path.parent.iterdir()) == []
    with pytest.raises(StoreUnavailable, match="No such file or directory"):
        async with opened(path.parent / "nowhere" / "acme.db"):
            pass


async def test_a_path_may_hold_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c %41 ö.db"
    async with opened(path) as store:
        await store.log("metrics").append([record(1)])
    assert path.exists()
