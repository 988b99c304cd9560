"""Rules L3, L4 and L14 with processes that die and disks that are full."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crdt_sync.errors import StoreUnavailable
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Loaded, Record, UpdateLog
from tests.contracts.update_log_contract import record, records, snapshot

DOCUMENTS = ("inventory/2026-11", "inventory/2026-12", "metrics")


def payload(document: str, seq: int) -> bytes:
    """What store_child.py writes."""
    return f"{document}#{seq};".encode() * (1 + seq * 7919 % 150)


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.contracts.store_child", *arguments]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.db"


async def check(path: Path, acked: dict[str, int], compacted: dict[str, int]) -> None:
    """Every acknowledged record and snapshot is there, and what is there is what was written."""
    async with open_sqlite_store(path, create=False, kind="tenant") as store:
        for document in await store.documents():
            loaded = await store.log(document).load()
            assert loaded.last_seq >= acked.get(document, 0)
            assert loaded.healed is None
            first = 1
            if loaded.snapshot:
                assert loaded.snapshot.state == f"state {loaded.snapshot.through}".encode()
                first = loaded.snapshot.through + 1
            assert first > compacted.get(document, 0)
            expected = [Record(payload(document, seq), "child", seq) for seq in range(first, loaded.last_seq + 1)]
            assert list(loaded.tail) == expected
            await store.verify(document)


async def test_L3_nothing_acknowledged_is_lost_when_the_process_is_killed(path: Path) -> None:
    acked: dict[str, int] = {}
    compacted: dict[str, int] = {}
    chosen = random.Random(20261120)
    for _ in range(10):
        with child("append", str(path)) as process:
            assert process.stdout is not None
            # After the kill it reads on: what was written to the pipe before was acknowledged, too.
            kill_at = chosen.randrange(1, 150)
            for number, line in enumerate(process.stdout):
                document, *compaction, seq = line.split()
                (compacted if compaction else acked)[document] = int(seq)
                if number == kill_at:
                    process.kill()
        await check(path, acked, compacted)
    assert set(acked) == set(DOCUMENTS)
    assert compacted


async def test_L14_after_an_io_error_the_store_refuses_until_it_is_opened_again(path: Path) -> None:
    """A file size limit gives SQLITE_IOERR_WRITE, not SQLITE_FULL."""
    with child("limited", str(path), str(400_000)) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        assert process.wait() == 0
    acks = [line for line in lines if line.startswith("metrics ") and "compacted" not in line]
    assert len(acks) > 10
    assert lines[-3:] == ["failed store-unavailable", "failure store-unavailable", "refused store-unavailable"]
    acked = int(acks[-1].split()[-1])
    await check(path, {"metrics": acked}, {})
    async with open_sqlite_store(path, create=False, kind="tenant") as store:
        assert await store.log("metrics").append([record(1)]) > acked


async def test_L14_a_full_disk_fails_the_append_and_keeps_nothing_of_it(path: Path) -> None:
    async with open_sqlite_store(path, create=True, kind="tenant", bytes_max=400_000) as store:
        log = store.log("metrics")
        await log.append(records(1, 3))
        with pytest.raises(StoreUnavailable, match="SQLITE_FULL"):
            await log.append([record(4), Record(bytes(500_000))])
        assert store.failure is None
        assert await log.load() == Loaded(None, records(1, 3), {})
        assert await log.append([record(4)]) == 4
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        assert await store.log("metrics").load() == Loaded(None, records(1, 4), {})
        await store.verify("metrics")


async def fill_up(log: UpdateLog) -> None:
    while True:
        await log.append([Record(bytes(5_000))])


async def test_L14_compaction_makes_room_on_a_full_disk(path: Path) -> None:
    async with open_sqlite_store(path, create=True, kind="tenant", bytes_max=400_000) as store:
        log = store.log("metrics")
        with pytest.raises(StoreUnavailable, match="SQLITE_FULL"):
            await fill_up(log)
        last = await log.append([])
        assert last > 40
        await log.compact(snapshot(last - 1))
        await log.compact(snapshot(last))
        assert await log.append([Record(bytes(100_000))]) == last + 1


async def test_L3_a_store_that_another_process_holds_opens_after_its_death(path: Path) -> None:
    with child("hold", str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreUnavailable, match=f"held by another opener \\(pid {process.pid}\\)"):
            async with open_sqlite_store(path, create=True, kind="tenant"):
                pass
    async with open_sqlite_store(path, create=False, kind="tenant") as store:
        assert await store.log("metrics").append([record(1)]) == 1


async def test_an_interrupted_creation_is_begun_again(path: Path) -> None:
    identity = "0" * 32
    path.with_name("acme.db.identity").write_text(f"crdt-sync store\n{identity}\ncreating\n")
    path.write_bytes(b"half a file")
    with pytest.raises(StoreUnavailable, match="there is no store"):
        async with open_sqlite_store(path, create=False, kind="tenant"):
            pass
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        assert store.identity != identity
        assert await store.log("metrics").append([record(1)]) == 1
