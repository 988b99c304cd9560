"""``backup`` and ``restore`` at real relays: under writes and kills, with damage, and what clients bring back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from crdt_sync.peer import OfflinePeer
from crdt_sync.protocol.messages import NewUpdate
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Record
from server.storage.restoring import is_occupied
from server.storage.tenants import KIND, tenant_file
from tests.integration.raw_member import Author, RawMember, content_of, open_raw
from tests.integration.relay_process import ROOT, RelayProcess, command, environment, eventually, run_command
from tests.integration.retiring import opener, places_of
from tests.integration.stewards import becomes, decisions, open_shop, relay_with_steward, set_prices_at_once, till

KILLS, FLIPS = 8, 24
SECRET = "token-of-mrs-miller"


def relay_in(folder: Path) -> RelayProcess:
    return RelayProcess(folder, free_space_bytes_min=0)


async def backed_up(relay: RelayProcess, to: Path, *, tenant: str = "--all") -> Path:
    ran = await relay.run_command("backup", tenant, str(to))
    assert ran.returncode == 0, ran.stderr
    return to


async def restored(relay: RelayProcess, backup: Path, data: Path, *options: str) -> str:
    """Stop the relay, and let it go on from a backup, on the same port and with the same secret."""
    await relay.stop()
    ran = await asyncio.to_thread(run_command, "restore", str(backup), "--data", str(data), *options)
    assert ran.returncode == 0, ran.stderr
    shutil.copy(relay.data / "secret.key", data)
    relay.data = data
    await relay.start()
    return ran.stdout


async def fill(data: Path, tenant: str, *, updates: int = 3_000) -> None:
    """A store of a few megabytes, without a relay."""
    path = tenant_file(data, tenant)
    path.parent.mkdir(parents=True, exist_ok=True)
    author = Author()
    async with open_sqlite_store(path, create=True, kind=KIND) as store:
        made = [Record(author.put(f"k{number % 50}", f"{number} " * 100), "till", number) for number in range(updates)]
        await store.log("shop").append(made)
        await store.log("notes").append(made[:40])


def has_acked(member: RawMember, count: int) -> bool:
    return member.acked >= count


def verified(data: Path) -> str:
    ran = run_command("verify", "--data", str(data))
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


async def test_all_that_was_acked_before_a_backup_began_is_in_it_while_writes_go_on(tmp_path: Path) -> None:
    author, acked = Author(), 0
    async with relay_in(tmp_path / "relay") as relay, open_raw(relay, "shop", is_peer=True) as member:
        await member.join()

        async def write() -> None:
            number = 0
            while True:
                await member.say(NewUpdate(author.put(f"k{number}", number)))
                number += 1
                await asyncio.sleep(0.001)

        writing = asyncio.create_task(write())
        backups: list[tuple[Path, int]] = []
        for number in range(3):
            await member.hears(partial(has_acked, member, acked + 50))
            acked = member.acked
            backups.append((await backed_up(relay, tmp_path / f"backup-{number}"), acked))
            assert member.acked > acked, "writes waited for the backup"
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        for number, (backup, before) in enumerate(backups):
            await restored(relay, backup, tmp_path / f"data-{number}")
            found = await content_of(relay, "shop")
            assert {f"k{key}" for key in range(before)} <= found.keys()
            await relay.stop()
            assert "0 damaged" in verified(relay.data)


async def test_after_an_older_backup_is_restored_nothing_is_lost_that_a_peer_or_a_page_still_has(
    tmp_path: Path,
) -> None:
    async with relay_in(tmp_path / "relay") as relay:
        open_peer = opener(relay, tmp_path, "acme")
        page = Author()
        async with open_peer("till-1") as till, open_raw(relay, "notes") as member:
            await member.join()
            await member.save(page.put("kept", 1))
            await member.save(page.put("deleted", 1))
            async with till.edit(period="2026-11") as docs:
                docs.inventory.add_product("tea", price=450)
                docs.inventory.add_location("shop")
                docs.inventory.receive("tea", 10, at="shop", ref="before")
            await till.sync()
            backup = await backed_up(relay, tmp_path / "backup")
            await member.save(page.put("acked after", 2))
            del page.root["deleted"]
            await member.save(page._update)
            async with till.edit(period="2026-12") as docs:
                docs.inventory.receive("tea", 5, at="shop", ref="acked after")
                docs.inventory.set_attribute("tea", "price", 500)
            await till.sync()
            assert till.status().unsynced == 0
            # Another till has it all from the relay, and is the only one to come back.
            async with open_peer("till-2") as other:
                await other.sync()
        await restored(relay, backup, tmp_path / "restored")
        assert set(await content_of(relay, "notes")) == {"kept", "deleted"}
        assert await seen_by(relay, tmp_path / "a.db") == ({"before"}, 450)
        async with open_raw(relay, "notes") as member:
            await member.join()
            # As a page does: its state, in answer to the relay's question.
            await member.save(page.doc.get_update())
        async with open_peer("till-2") as other:
            await other.sync()
            assert other.status().unsynced == 0
        assert set(await content_of(relay, "notes")) == {"kept", "acked after"}
        assert await seen_by(relay, tmp_path / "b.db") == ({"before", "acked after"}, 500)
        async with open_peer("till-1") as till:
            async with till.edit(period="2026-12") as docs:
                docs.inventory.receive("tea", 1, at="shop", ref="later")
            await till.sync()
        assert await seen_by(relay, tmp_path / "c.db") == ({"before", "acked after", "later"}, 500)
        await relay.stop()
        assert "0 damaged" in verified(relay.data)


async def seen_by(relay: RelayProcess, path: Path) -> tuple[set[str], object]:
    """References of movements, and the price of tea, as a peer with an empty file gets them."""
    async with OfflinePeer.open(path, tenant="acme", name="auditor", relay=relay.ws, token=relay.token()) as auditor:
        await auditor.sync()
        async with auditor.read() as docs:
            return docs.inventory.refs(), docs.inventory.products()["tea"]["price"]


async def test_a_backup_that_is_killed_leaves_no_backup_and_the_next_one_is_made(tmp_path: Path) -> None:
    data, to, halves = tmp_path / "data", tmp_path / "backup", 0
    await fill(data, "acme")
    for number in range(KILLS):
        await killed_when(to.with_name("backup.partial"), number, "backup", "acme", str(to), "--data", str(data))
        if to.exists():
            assert run_command("restore", str(to), "--data", str(tmp_path / f"at-{number}")).returncode == 0
            shutil.rmtree(to)
        elif to.with_name("backup.partial").exists():
            halves += 1
    assert halves, "no backup was caught half-way"
    assert run_command("backup", "acme", str(to), "--data", str(data)).returncode == 0
    assert not to.with_name("backup.partial").exists()
    assert "shop: 3000 updates" in verified(data)


async def test_a_restore_that_is_killed_is_taken_for_damage_and_done_again(tmp_path: Path) -> None:
    data, to, halves = tmp_path / "data", tmp_path / "backup", 0
    await fill(data, "acme")
    assert run_command("backup", "--all", str(to), "--data", str(data)).returncode == 0
    for number in range(KILLS):
        target = tmp_path / f"restored-{number}"
        sidecar = target / "tenants" / "acme.db.identity"
        await killed_when(sidecar, number, "restore", str(to), "--data", str(target))
        if not tenant_file(target, "acme").exists():
            halves += 1
            async with RelayProcess(tmp_path / f"relay-{number}", data=target, free_space_bytes_min=0) as relay:
                with pytest.raises(InvalidStatus, match="HTTP 500"):
                    await content_of(relay, "shop")
                assert "has gone" in relay.log
            assert not is_occupied(target, "acme")
            assert run_command("restore", str(to), "--data", str(target)).returncode == 0
        assert "shop: 3000 updates" in verified(target)
        assert is_occupied(target, "acme")
    assert halves, "no restore was caught half-way"


async def appeared(there: Path, process: asyncio.subprocess.Process) -> None:
    """Wait for a file of a process, or its end."""
    while process.returncode is None and not there.exists():  # noqa: ASYNC110  a folder tells nobody of its files
        await asyncio.sleep(0.001)


async def killed_when(there: Path, number: int, *arguments: str) -> None:
    """Run a command, and kill it some steps after a file of its work has appeared, the later the greater ``number``."""
    process = await asyncio.create_subprocess_exec(
        *command(*arguments), cwd=ROOT, env=environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    await appeared(there, process)
    for _ in range(number * 20):
        await asyncio.sleep(0.001)
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_relay_that_ends_and_starts_during_a_backup_and_the_backup_do_not_harm_each_other(
    tmp_path: Path, how: signal.Signals
) -> None:
    async with relay_in(tmp_path / "relay") as relay:
        await relay.stop()
        await fill(relay.data, "acme")
        await relay.start()
        author = Author()
        async with open_raw(relay, "kept", is_peer=True) as member:
            await member.join()
            await member.save(author.put("before", 1))
            to = tmp_path / "backup"
            process = await asyncio.create_subprocess_exec(
                *command("backup", "acme", str(to), "--data", str(relay.data))
            )
            await appeared(tmp_path / "backup.partial" / "acme.db", process)
            await relay.stop(how)
        await relay.start()
        async with open_raw(relay, "kept", is_peer=True) as member:
            await member.join()
            await member.save(Author().put("after", 2))
        assert await process.wait() == 0
        assert await content_of(relay, "kept") == {"before": 1.0, "after": 2.0}
        await relay.stop(how)
        assert "0 damaged" in verified(relay.data)
        assert run_command("restore", str(to), "--data", str(tmp_path / "restored")).returncode == 0
        assert "acme/kept: " in verified(tmp_path / "restored")


async def test_a_flipped_bit_anywhere_in_a_backup_is_found_and_nothing_is_restored(tmp_path: Path) -> None:
    data, to, target = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    await fill(data, "acme", updates=200)
    assert run_command("backup", "--all", str(to), "--data", str(data)).returncode == 0
    chosen = random.Random(20261120)
    for number in range(FLIPS):
        file = sorted(to.iterdir())[number % 3]
        whole = file.read_bytes()
        damaged = bytearray(whole)
        damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
        file.write_bytes(damaged)
        ran = run_command("restore", str(to), "--data", str(target))
        assert (ran.returncode, "store-" in ran.stderr) == (1, True), (file.name, ran.stderr)
        assert not list(target.rglob("acme*"))
        file.write_bytes(whole)
    for name in ("SHA256SUMS", "manifest.json", "acme.db"):
        moved = (to / name).rename(to / "elsewhere")
        assert run_command("restore", str(to), "--data", str(target)).returncode == 1
        moved.rename(to / name)
    assert run_command("restore", str(to), "--data", str(target)).returncode == 0


async def test_a_damaged_tenant_is_left_out_and_the_others_are_kept(tmp_path: Path) -> None:
    data, to = tmp_path / "data", tmp_path / "backup"
    for tenant in ("acme", "broken"):
        await fill(data, tenant, updates=100)
    path = tenant_file(data, "broken")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"77 77 77 ") + 4] ^= 1
    path.write_bytes(raw)
    ran = run_command("backup", "--all", str(to), "--data", str(data))
    assert ran.returncode == 1
    assert "LEFT OUT  broken: " in ran.stdout
    assert sorted(file.name for file in to.iterdir()) == ["SHA256SUMS", "acme.db", "manifest.json"]
    assert run_command("backup", "broken", str(tmp_path / "none"), "--data", str(data)).returncode == 1
    assert not list(tmp_path.glob("none*"))
    ran = run_command("restore", str(to), "--data", str(tmp_path / "restored"))
    assert (ran.returncode, "not in the backup: broken" in ran.stderr) == (0, True)


async def test_what_was_erased_since_a_backup_is_not_brought_back_when_its_notes_are_given(tmp_path: Path) -> None:
    async with relay_in(tmp_path / "relay") as relay:
        for document, key, value in (("pii/customer-1042", "name", SECRET), ("shop", "tea", 450)):
            async with open_raw(relay, document) as page:
                await page.join()
                await page.save(Author().put(key, value))
        backup = await backed_up(relay, tmp_path / "backup")
        await relay.stop()
        for order in (("pii/customer-1042", "--why", "asked for"), ("shop", "--why", "anew", "--successor", "shop.2")):
            assert (await relay.run_command("retire", "acme", *order)).returncode == 0
        before = relay.data
        told = await restored(relay, backup, tmp_path / "restored", "--retired-in", str(before))
        assert "retired again: acme/pii/customer-1042 (asked for)" in told
        assert "begun anew since: acme/shop as shop.2" in told
        assert places_of(SECRET, relay.data) == []
        async with open_raw(relay, "pii/customer-1042") as page:
            assert (await page.closed())[0] == 4410
        assert await content_of(relay, "shop") == {"tea": 450.0}
    # Without the notes it is back: see docs/explanation/erasure.md.
    assert places_of(SECRET, tmp_path / "backup") == ["acme.db"]


async def test_the_steward_rests_after_a_restore_until_the_operator_lets_it_work(tmp_path: Path) -> None:
    """It would hand out again what it has handed out since the backup: a replica name with two histories."""
    async with (
        relay_with_steward(tmp_path / "relay") as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        await restored(relay, await backed_up(relay, tmp_path / "backup"), tmp_path / "restored")
        assert "steward rests" in relay.log
        await eventually(relay.readiness, lambda ready: ready[1]["steward"] == "at work")
        await set_prices_at_once(one, two, (475, 500))
        for peer in (one, two, one):
            await peer.sync()
        async with one.read() as docs:
            assert len(docs.inventory.conflicts()) == 1
        assert not [file for file in (relay.data / "steward").rglob("*") if file.is_file()]
        await relay.stop()
        (relay.data / "tenants" / "acme.db.restored").unlink()
        await relay.start()
        async with one.online():
            assert await becomes(one, decisions, bool) == [("auto", "relay", 500)]


async def test_commands_refuse_what_would_overwrite_or_is_not_there(tmp_path: Path) -> None:
    data, to = tmp_path / "data", tmp_path / "backup"
    await fill(data, "acme", updates=3)
    on = ("--data", str(data))
    assert "has no tenant nobody" in run_command("backup", "nobody", str(to), *on).stderr
    assert "name a tenant" in run_command("backup", "acme", *on).stderr
    assert run_command("backup", "acme", str(to), *on).returncode == 0
    assert "is there already" in run_command("backup", "acme", str(to), *on).stderr
    assert "has a tenant acme already" in run_command("restore", str(to), *on).stderr
    assert "is no whole backup" in run_command("restore", str(data), "--data", str(tmp_path / "other")).stderr
    assert "has no tenant nobody" in run_command("restore", str(to), "--tenant", "nobody", *on).stderr
    async with relay_in(tmp_path / "relay") as relay, open_raw(relay, "shop") as page:
        await page.join()
        assert (await relay.run_command("restore", str(to))).returncode == 2


@pytest.mark.parametrize("suffix", ["", "-wal", ".identity"])
async def test_any_file_of_a_store_makes_a_tenant_occupied(tmp_path: Path, suffix: str) -> None:
    path = tenant_file(tmp_path, "acme")
    path.parent.mkdir(parents=True)
    assert not is_occupied(tmp_path, "acme")
    path.with_name(path.name + suffix).write_bytes(b"")
    assert is_occupied(tmp_path, "acme")
