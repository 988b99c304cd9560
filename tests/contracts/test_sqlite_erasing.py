"""Rule L16 on a real disk: what a retired document held is in none of the store's files, whatever happened."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import pytest

from crdt_sync.errors import DocumentRetired, StoreCorrupted, StoreUnavailable
from crdt_sync.stores import erasing
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Binding, Record, Snapshot

SECRET, OTHER = b"token-of-mrs-miller", b"somebody-else-entirely"
PII, METRICS = "pii/customer-1042", "metrics/2026-11"


def opened(path: Path) -> AbstractAsyncContextManager[SqliteStore]:
    return open_sqlite_store(path, create=True, kind="tenant")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.db"


def places_of(token: bytes, folder: Path) -> list[str]:
    """The files below ``folder`` that hold the token."""
    return sorted(file.name for file in folder.rglob("*") if file.is_file() and token in file.read_bytes())


async def fill(store: SqliteStore, rounds: int = 60, *, seed: int = 1) -> None:
    """Interleave two documents with rows of all sizes, so that SQLite splits, balances and frees pages of both."""
    chance = random.Random(seed)
    for number in range(1, rounds + 1):
        for document, token in ((PII, SECRET), (METRICS, OTHER)):
            log = store.log(document)
            record = Record(token * chance.choice((1, 3, 40, 500)), "till", number)
            last = await log.append([record], [Binding(number, token.decode(), "firm")])
            if number % 17 == 0:
                await log.compact(Snapshot(last, token * 300, token))


async def test_L16_no_byte_is_left_in_any_file_of_an_open_store(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
        assert places_of(SECRET, path.parent) == ["acme.db-wal"]
        before = await store.log(METRICS).load()
        await store.retire(PII, "asked for by its subject", 99)
        assert places_of(SECRET, path.parent) == []
        assert places_of(OTHER, path.parent) == ["acme.db"]
        assert await store.log(METRICS).load() == before
        await store.verify(METRICS)
        assert await store.log(METRICS).append([Record(b"on")]) == before.last_seq + 1
    assert places_of(SECRET, path.parent) == []
    async with opened(path) as store:
        assert (await store.log(METRICS).load()).last_seq == before.last_seq + 1


@pytest.mark.parametrize("seed", range(6))
async def test_L16_no_byte_is_left_whatever_was_moved_between_pages_before(path: Path, seed: int) -> None:
    async with opened(path) as store:
        await fill(store, 40, seed=seed)
    async with opened(path) as store:
        await fill(store, 10, seed=seed + 100)
        assert places_of(SECRET, path.parent) == ["acme.db", "acme.db-wal"]
        size = path.stat().st_size
        await store.retire(PII, "asked for", 99)
        assert places_of(SECRET, path.parent) == []
        assert path.stat().st_size < size


async def test_L16_readers_and_writers_of_other_documents_do_not_keep_bytes_alive(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
        is_over = False

        async def read() -> None:
            while not is_over:
                await store.log(METRICS).load()

        async def write() -> None:
            while not is_over:
                await store.log("busy").append([Record(b"x" * 5_000)])

        others = [asyncio.create_task(work) for work in (read(), read(), write())]
        verifying = asyncio.create_task(store.verify(METRICS))
        giving_up = asyncio.create_task(store.log(METRICS).load())
        await asyncio.sleep(0)
        giving_up.cancel()
        await store.retire(PII, "asked for", 99)
        found = places_of(SECRET, path.parent)
        is_over = True
        await asyncio.gather(*others, verifying)
    assert found == []


async def test_L16_a_reader_from_elsewhere_makes_it_fail_and_the_next_try_erases(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("BEGIN")
        stranger.execute("SELECT count(*) FROM records").fetchone()
        with pytest.raises(StoreUnavailable, match="while somebody reads"):
            await store.retire(PII, "asked for", 99)
        with pytest.raises(DocumentRetired):
            await store.log(PII).load()
        assert places_of(SECRET, path.parent) != []
        stranger.execute("ROLLBACK")
        stranger.close()
        await store.retire(PII, "asked for", 99)
        assert places_of(SECRET, path.parent) == []


async def test_L16_what_a_crash_left_is_overwritten_when_the_store_is_opened(path: Path) -> None:
    with child("leave", path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        process.kill()
    assert places_of(SECRET, path.parent) == ["acme.db-wal"]
    async with opened(path) as store:
        assert places_of(SECRET, path.parent) == []
        assert [note.document for note in await store.retirements()] == [PII]


async def test_L15_L16_a_kill_at_any_time_leaves_the_document_whole_or_gone(path: Path) -> None:
    chosen = random.Random(20261120)
    whole = gone = 0
    for number in range(16):
        at = path.with_name(f"{number}.db")
        async with opened(at) as store:
            await fill(store, 30, seed=number)
            expected = await store.log(PII).load()
        with child("retire", at) as process:
            assert process.stdout is not None
            if number > 0:
                assert process.stdout.readline() == "ready\n"
                # Anywhere in the few milliseconds that it takes, or after them.
                for _ in range(chosen.randrange(0, 400_000)):
                    pass
            if number == 1:
                assert process.stdout.readline() == "retired\n"
            process.kill()
        async with opened(at) as store:
            if await store.retirements():
                gone += 1
                assert places_of(SECRET, path.parent) == []
            else:
                whole += 1
                assert await store.log(PII).load() == expected
                await store.verify(PII)
                await store.retire(PII, "asked for", 1)
            await store.verify(METRICS)
        for suffix in ("", ".identity", ".lock"):
            os.remove(f"{at}{suffix}")
    assert whole
    assert gone


async def test_a_store_that_was_left_open_after_a_retirement_is_not_taken_for_damaged(path: Path) -> None:
    with child("retire", path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == "retired\n"
        process.kill()
    async with opened(path) as store:
        assert await store.documents() == [METRICS]


async def test_a_damaged_note_is_damage_and_never_an_empty_document(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, 3)
        await store.retire(PII, "asked for", 99)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE heads SET note = '' WHERE name = ?", (PII,))
    connection.close()
    async with opened(path) as store:
        with pytest.raises(StoreCorrupted):
            await store.log(PII).load()
        with pytest.raises(StoreCorrupted):
            await store.retirements()


MUTANTS = {
    "does not write the file anew": lambda connection, source: connection.execute("DELETE FROM records WHERE 0"),
    "leaves the write-ahead log as it is": lambda connection, source: connection.execute("VACUUM"),
}


@pytest.mark.parametrize("name", MUTANTS)
async def test_the_search_for_bytes_finds_those_that_a_planted_bug_leaves(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        await fill(store)
    monkeypatch.setattr(erasing, "erase", MUTANTS[name])
    async with opened(path) as store:
        await fill(store, 3)
        await store.retire(PII, "asked for", 99)
        assert places_of(SECRET, path.parent) != []


@contextmanager
def child(what: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.contracts.retiring_child", what, str(path)]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()
