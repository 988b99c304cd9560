"""``verify --deep``: what it finds beyond the checksums, which whoever writes the file can compute."""

from __future__ import annotations

from pathlib import Path

from crdt_sync.peer import OfflinePeer
from crdt_sync.replica import Replica, Write, replay
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Record, Snapshot
from server.commands.verify import Finding, verify_data
from server.settings import load_settings
from server.storage.tenants import KIND, tenant_file
from tests.integration.relay_process import RelayProcess, eventually

CATALOG = "inventory/catalog"


def updates(*writes: Write) -> list[bytes]:
    replica = Replica()
    made = [replica.write([write]) for write in writes]
    return [update for update in made if update is not None]


def snapshot_of(log: list[bytes], through: int) -> Snapshot:
    replica = replay(log[:through])
    return Snapshot(through, replica.snapshot(), replica.ledger.encode())


async def store_with(folder: Path, log: list[bytes], *snapshots: Snapshot, document: str = CATALOG) -> Path:
    path = tenant_file(folder, "acme")
    path.parent.mkdir(parents=True)
    async with open_sqlite_store(path, create=True, kind=KIND) as store:
        await store.log(document).append([Record(update) for update in log])
        for snapshot in snapshots:
            await store.log(document).compact(snapshot)
    return path


async def flaws(folder: Path, *, deep: bool) -> list[str | None]:
    findings: list[Finding] = [one async for one in verify_data(load_settings(data_dir=folder), deep=deep)]
    return [finding.flaw for finding in findings]


PLAIN = updates(*(Write("mv", f"m{number}", number) for number in range(9)))


async def test_P35_whole_documents_of_every_kind_pass(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0, compact_log_records_max=2) as relay:
        options = {"tenant": "acme", "relay": relay.ws, "token": relay.token()}
        async with OfflinePeer.open(tmp_path / "till.db", name="till", **options) as till:  # type: ignore[arg-type]
            for number in range(6):
                async with till.edit(period="2026-11") as docs:
                    docs.inventory.add_product(f"tea {number}", price=number)
                    docs.metrics.set_gauge("visitors", f"shop-{number % 3}", number)
                await till.sync()
            await eventually(lambda: relay.meter("compactions_total"), lambda count: count >= 2)
        assert await relay.stop() == 0
        verified = await relay.run_command("verify", "--deep")
        assert verified.returncode == 0, verified.stdout
        assert "ok       acme/inventory/catalog" in verified.stdout
        assert "from the current snapshot" in verified.stderr


async def test_P35_a_whole_log_with_snapshots_passes(tmp_path: Path) -> None:
    await store_with(tmp_path, PLAIN, snapshot_of(PLAIN, 3), snapshot_of(PLAIN, 7))
    assert await flaws(tmp_path, deep=True) == [None]


async def test_P35_an_update_that_builds_on_a_missing_one_is_found_in_what_only_the_old_snapshot_needs(
    tmp_path: Path,
) -> None:
    other = updates(Write("mv", "a", 1), Write("mv", "b", 2))
    log = [*PLAIN[:4], other[1], *PLAIN[4:]]
    await store_with(tmp_path, log)
    assert "builds on something that is not in it" in str(await flaws(tmp_path, deep=True))


async def test_P35_a_ledger_that_is_not_its_snapshots_is_found(tmp_path: Path) -> None:
    right = snapshot_of(PLAIN, 7)
    await store_with(tmp_path, PLAIN, Snapshot(7, right.state, snapshot_of(PLAIN, 6).ledger))
    assert await flaws(tmp_path, deep=False) == [None]
    assert "ledger" in str(await flaws(tmp_path, deep=True))


async def test_P35_a_page_that_is_out_of_order_is_found(tmp_path: Path) -> None:
    path = await store_with(tmp_path, PLAIN)
    content = bytearray(path.read_bytes())
    free_page_count = 36
    content[free_page_count + 3] += 1
    path.write_bytes(content)
    assert await flaws(tmp_path, deep=False) == [None]
    assert "acme.db" in str(await flaws(tmp_path, deep=True))


async def test_P35_documents_that_are_none_of_ours_are_not_read_as_if_they_were(tmp_path: Path) -> None:
    await store_with(tmp_path, PLAIN, document="notes")
    assert await flaws(tmp_path, deep=True) == [None]
