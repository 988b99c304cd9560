"""P35: the scrubber finds what nobody asks for, and is in nobody's way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from crdt_sync.errors import StoreUnavailable
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Record, Snapshot
from server.storage.scrubber import Damage, Listener, Scrubber
from server.storage.tenants import KIND, Tenants, open_tenants, tenant_file

RATE = 1_000
LOG = [Record(b"update %d" % number) for number in range(9)]
LOG_BYTES = sum(len(record.update) for record in LOG)


class Round:
    """A scrubber of all tenants in a folder, and what it said."""

    def __init__(self, tenants: Tenants) -> None:
        self.damage: list[Damage] = []
        self.read_bytes: list[int] = []
        self.rested_s: list[float] = []
        self.passes = 0
        self.resting = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        listener = Listener(self.read_bytes.append, self._damaged, self._passed)
        self.scrubber = Scrubber(tenants, listener, interval_s=3_600, bytes_per_s=RATE, rest=self._rest)

    async def _damaged(self, damage: Damage) -> None:
        self.damage.append(damage)

    def _passed(self) -> None:
        self.passes += 1

    async def _rest(self, seconds: float) -> None:
        self.rested_s.append(seconds)
        self.resting.set()
        await self.may_go_on.wait()

    async def go(self) -> list[tuple[str, str | None, bool]]:
        self.damage.clear()
        await self.scrubber.read_everything()
        return [(damage.tenant, damage.document, damage.is_readable) for damage in self.damage]


@asynccontextmanager
async def opened(folder: Path, *served: str) -> AsyncIterator[tuple[Tenants, Round]]:
    async with open_tenants(folder, served=served, free_space_bytes_min=0) as tenants:
        yield tenants, Round(tenants)


async def fill(folder: Path, tenant: str) -> Path:
    path = tenant_file(folder, tenant)
    path.parent.mkdir(parents=True, exist_ok=True)
    async with open_sqlite_store(path, create=True, kind=KIND) as store:
        for document in ("log", "snapshots"):
            await store.log(document).append(LOG)
        for through in (3, 6):
            await store.log("snapshots").compact(Snapshot(through, b"state", b"ledger"))
    return path


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


@pytest.fixture
async def acme(tmp_path: Path) -> Path:
    return await fill(tmp_path, "acme")


async def test_P35_what_is_whole_is_read_at_the_rate_that_is_allowed(acme: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, it):
        assert await it.go() == []
        assert it.scrubber.lost() == it.scrubber.at_risk() == {}
    # Of the document with snapshots, the first three records are gone.
    assert it.read_bytes == [LOG_BYTES, LOG_BYTES - 3 * len(LOG[0].update) + 2 * len(b"stateledger")]
    assert sum(it.rested_s) == pytest.approx(sum(it.read_bytes) / RATE)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE records SET payload = x'00' WHERE document = 1 AND seq = 4", ("acme", "log", False)),
        ("UPDATE records SET payload = x'00' WHERE document = 2 AND seq = 5", ("acme", "snapshots", True)),
        ("UPDATE records SET payload = x'00' WHERE document = 2 AND seq = 8", ("acme", "snapshots", False)),
        ("UPDATE snapshots SET state = x'00' WHERE through = 3", ("acme", "snapshots", True)),
        ("UPDATE snapshots SET state = x'00' WHERE through = 6", ("acme", "snapshots", True)),
        ("UPDATE snapshots SET state = x'00'", ("acme", "snapshots", False)),
        ("UPDATE heads SET last_seq = 3 WHERE id = 1", ("acme", None, False)),
        ("UPDATE meta SET value = '7' WHERE name = 'documents'", ("acme", None, False)),
    ],
)
async def test_P35_damage_is_found_and_told_from_damage_to_a_spare_copy(
    acme: Path, tmp_path: Path, statement: str, found: tuple[str, str | None, bool]
) -> None:
    await fill(tmp_path, "globex")
    alter(acme, statement)
    async with opened(tmp_path) as (_, it):
        assert await it.go() == [found]
        places = it.scrubber.at_risk() if found[2] else it.scrubber.lost()
        assert list(places) == [f"room acme/{found[1]}" if found[1] else "tenant acme"]
        assert it.scrubber.lost().keys() | it.scrubber.at_risk().keys() == places.keys()
    assert len(it.read_bytes) == (2 if found[1] is None else 3), "the rest was read"


async def test_P35_what_was_put_right_is_no_longer_told(acme: Path, tmp_path: Path) -> None:
    whole = acme.read_bytes()
    alter(acme, "UPDATE records SET payload = x'00' WHERE document = 1 AND seq = 4")
    async with opened(tmp_path) as (_, it):
        assert await it.go() == [("acme", "log", False)]
        acme.write_bytes(whole)
        assert await it.go() == []
        assert it.scrubber.lost() == {}


async def test_a_tenant_that_only_the_scrubber_looks_at_is_closed_behind_it(acme: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as (tenants, it):
        await it.go()
        async with open_sqlite_store(acme, create=False, kind=KIND):
            assert await it.go() == [], "somebody works on it"
            assert tenants.failures() == {}
        await tenants.store("acme")
        await it.go()
        with pytest.raises(StoreUnavailable, match="held by another opener"):
            async with open_sqlite_store(acme, create=False, kind=KIND):
                pass


async def test_a_tenant_that_somebody_needs_meanwhile_stays_open(acme: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as (tenants, it):
        it.may_go_on.clear()
        passing = asyncio.create_task(it.go())
        await it.resting.wait()
        store = await tenants.store("acme")
        it.may_go_on.set()
        await passing
        assert await store.log("log").append([Record(b"more")]) == len(LOG) + 1


async def test_a_scrubber_that_rests_holds_up_neither_commits_nor_retirements(acme: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as (tenants, it):
        it.may_go_on.clear()
        passing = asyncio.create_task(it.go())
        await it.resting.wait()
        store = await tenants.store("acme")
        assert await store.log("log").append([Record(b"more")]) == len(LOG) + 1
        await store.retire("snapshots", "it is over", 1)
        it.may_go_on.set()
        assert await passing == [], "a document that has ended meanwhile is no damage"


async def test_tenants_that_are_not_served_are_left_alone(acme: Path, tmp_path: Path) -> None:
    alter(acme, "UPDATE records SET payload = x'00' WHERE document = 1 AND seq = 4")
    await fill(tmp_path, "globex")
    async with opened(tmp_path, "globex") as (_, it):
        assert await it.go() == []
    assert len(it.read_bytes) == 2


async def test_a_pass_follows_the_other(acme: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, it):
        running = asyncio.create_task(it.scrubber.run())
        async with asyncio.timeout(60):
            while it.passes < 3:
                it.resting.clear()
                await it.resting.wait()
        running.cancel()
        await asyncio.wait([running])
    assert it.rested_s[0] == 60, "a relay that was just started has better things to do"
    assert any(seconds > 3_000 for seconds in it.rested_s), "once in its interval"
