"""``verify`` proves content, not only checksums."""

from __future__ import annotations

from pathlib import Path

from crdt_sync.replica import Replica, Write, replay
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Record, Snapshot
from server.commands.verify import Finding, verify_data
from server.settings import load_settings
from server.storage.tenants import KIND, tenant_file


def updates(count: int) -> list[bytes]:
    replica = Replica()
    made = [replica.write([Write("mv", f"m{number}", number)]) for number in range(count)]
    return [update for update in made if update is not None]


def snapshot_of(log: list[bytes], through: int) -> Snapshot:
    replica = replay(log)
    return Snapshot(through, replica.snapshot(), replica.ledger.encode())


async def findings(folder: Path) -> list[Finding]:
    return [finding async for finding in verify_data(load_settings(data_dir=folder))]


async def stored(folder: Path, log: list[bytes], *snapshots: Snapshot) -> None:
    path = tenant_file(folder, "acme")
    path.parent.mkdir(parents=True)
    async with open_sqlite_store(path, create=True, kind=KIND) as store:
        document = store.log("inventory/catalog")
        await document.append([Record(update) for update in log])
        for snapshot in snapshots:
            await document.compact(snapshot)


async def test_P12_snapshots_that_say_what_their_log_says_are_whole(tmp_path: Path) -> None:
    log = updates(9)
    await stored(tmp_path, log, snapshot_of(log[:3], 3), snapshot_of(log[:7], 7))
    (finding,) = await findings(tmp_path)
    assert (finding.document, finding.flaw) == ("acme/inventory/catalog", None)


async def test_P12_a_snapshot_that_forgets_an_update_of_its_log_is_damage(tmp_path: Path) -> None:
    log = updates(9)
    await stored(tmp_path, log, snapshot_of(log[:3], 3), snapshot_of(log[:6], 7))
    (finding,) = await findings(tmp_path)
    assert finding.flaw is not None
    assert "S2" in finding.flaw


async def test_P12_the_first_snapshot_is_checked_against_the_whole_log(tmp_path: Path) -> None:
    log = updates(4)
    await stored(tmp_path, log, snapshot_of(log[:2], 4))
    (finding,) = await findings(tmp_path)
    assert finding.flaw is not None
