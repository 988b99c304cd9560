"""The quarantine on disk: kills in the middle of it, its commands, and a snapshot that does harm by itself."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.stores.update_log import Record, Snapshot
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import whole
from server.commands.documents import opened_store, ward_of
from server.rooms.quarantine import QUARANTINE_MARK, load_log, serve
from server.storage.quarantine import Fate, SetAside, Ward, drop, keep, opened_quarantine, quarantine_file
from tests.integration.hostile_documents import both, delete_of_all, nested_types
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import DEADLINE_S, ROOT, RelayProcess, command, eventually, run_command
from tests.integration.test_containment import ATTACKED, relay_that_compacts

STEPS = 4
"""Before and after what is kept, and before and after the mark."""


async def write_log(data_dir: Path, updates: Sequence[bytes], snapshot_through: int = 0) -> None:
    async with opened_store(data_dir, "acme", create=True) as store:
        log = store.log(ATTACKED)
        await log.append([Record(update, "mallory", number) for number, update in enumerate(updates, 1)])
        if snapshot_through:
            state, ledger = updates[snapshot_through - 1], Ledger()
            ledger.admit(whole(decode_update(state, DEFAULT_LIMITS)))
            await log.compact(Snapshot(snapshot_through, state, ledger.encode()))


def attacked_log() -> list[bytes]:
    honest = Author(7)
    return [honest.put("before", 1), nested_types(), delete_of_all(), honest.put("after", 2)]


async def found_on_disk(data_dir: Path) -> tuple[Ward, int, list[bytes], list[bytes]]:
    """The ward, the mark, what the log holds, and what a room would serve."""
    async with opened_store(data_dir, "acme") as store:
        ward = await ward_of(store, ATTACKED)
        log = store.log(ATTACKED)
        loaded = await load_log(log, ward)
        history = serve(loaded, ward, DEFAULT_LIMITS, document=ATTACKED)
        logged = [record.update for record in (await log.load()).tail]
        return ward, loaded.marks.get(QUARANTINE_MARK, 0), logged, list(history.tail())


@pytest.mark.parametrize("step", range(STEPS + 1))
async def test_P34_a_kill_in_the_middle_of_it_loses_nothing(tmp_path: Path, step: int) -> None:
    updates = attacked_log()
    await write_log(tmp_path, updates)
    arguments = [sys.executable, "-m", "tests.integration.quarantine_child", str(tmp_path), f"acme/{ATTACKED}"]
    run = partial(subprocess.run, cwd=ROOT, timeout=DEADLINE_S, check=False)
    for at in (step, 0) if step else (0,):
        ended = await asyncio.to_thread(run, [*arguments, str(at)])
        assert ended.returncode == (-signal.SIGKILL if at else 0)
        ward, mark, logged, served = await found_on_disk(tmp_path)
        assert logged == updates
        assert mark <= ward.seq
        aside = [(one.number, one.author, one.update) for one in ward.kept]
        assert aside in ([], [(3, "mallory", delete_of_all())])
        assert served == ([updates[0], updates[1], b"\x00\x00", updates[3]] if aside else updates)
        if at == 0:
            assert aside
            break
        if aside:
            # What was kept counts already; who opens the room next says so in the log, too.
            break


async def test_a_quarantine_that_is_gone_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        await relay.stop()
        await write_log(relay.data, attacked_log())
        async with opened_store(relay.data, "acme") as store:
            await store.log(ATTACKED).mark(QUARANTINE_MARK, 1)
        await relay.start()
        with pytest.raises(Exception, match="500"):
            await content_of(relay, ATTACKED)
        status, body = await relay.readiness()
        assert status == 503
        assert "set aside" in str(body)


async def test_a_poisoned_snapshot_is_passed_over_and_its_log_is_searched(tmp_path: Path) -> None:
    async with relay_that_compacts(tmp_path) as relay:
        await relay.stop()
        honest = Author(7)
        await write_log(relay.data, [both()], snapshot_through=1)
        async with opened_store(relay.data, "acme") as store:
            edits = [honest.put(f"n{number}", number) for number in range(12)]
            await store.log(ATTACKED).append([Record(edit, "honest", 9) for edit in edits])
        await relay.start()
        # Its next edit makes it due for compaction.
        await touch(relay, honest.put("more", 1))

        async def counts() -> tuple[float, float]:
            return await relay.meter("updates_quarantined_total"), await relay.meter("compactions_total")

        async def compacted() -> tuple[float, float]:
            await content_of(relay, ATTACKED)
            return await counts()

        await eventually(counts, lambda seen: seen[0] == 1)
        await touch(relay, honest.put("again", 1))
        await eventually(compacted, lambda seen: seen[1] >= 1)
        assert len(await content_of(relay, ATTACKED)) == 14
        assert "snapshot poisoned" in relay.log


async def touch(relay: RelayProcess, update: bytes) -> None:
    async with open_raw(relay, ATTACKED) as member:
        await member.join()
        await member.save(update)


async def test_P34_the_commands_list_show_restore_and_drop(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await write_log(data, attacked_log())
    arguments = [sys.executable, "-m", "tests.integration.quarantine_child", str(data), f"acme/{ATTACKED}", "0"]
    await asyncio.to_thread(subprocess.run, arguments, cwd=ROOT, timeout=DEADLINE_S, check=True)
    at = ("--tenant", "acme", "--data", str(data))
    one = ("--document", ATTACKED, "--number", "3")

    def run(*words: str) -> tuple[int, str]:
        ended = run_command("quarantine", *words)
        return ended.returncode, ended.stdout + ended.stderr

    code, listed = run("list", *at)
    assert code == 0
    assert f"{ATTACKED}  3  mallory" in listed
    assert "SIGSEGV" in listed
    code, shown = run("show", *at, *one)
    assert delete_of_all().hex() in shown
    assert "deletes of client 1: clocks 0 to 0" in shown
    code, refused = run("restore", *at, *one)
    assert code == 1
    assert "nothing was changed" in refused
    backup = tmp_path / "backup"
    assert run_command("backup", "acme", str(backup), "--data", str(data)).returncode == 0
    checked = run_command("verify", "--data", str(data))
    assert checked.returncode == 0, checked.stdout
    assert "(quarantine): 1 updates" in checked.stdout
    # A machine with a larger stack is one on which it loads.
    roomy = subprocess.run(
        ["bash", "-c", 'ulimit -s unlimited && exec "$@"', "-", *command("quarantine", "restore", *at, *one)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert roomy.returncode == 0, roomy.stderr
    ward, _, logged, _ = await found_on_disk(data)
    assert [one.fate for one in ward.kept] == [Fate.RESTORED]
    assert logged[-1] == delete_of_all()
    restored = tmp_path / "restored"
    assert run_command("restore", str(backup), "--data", str(restored)).returncode == 0
    there = ("--tenant", "acme", "--data", str(restored))
    assert "3  mallory" in run("list", *there)[1]
    assert run("drop", *there, *one)[0] == 1
    assert run("drop", *there, *one, "--yes")[0] == 0
    ward, mark, _, served = await found_on_disk(restored)
    assert [(one.fate, one.update) for one in ward.kept] == [(Fate.DROPPED, b"")]
    assert (mark, served[2]) == (ward.seq, b"\x00\x00")


async def test_what_was_dropped_is_in_no_file_any_more(tmp_path: Path) -> None:
    secret = Author(7).put("k", "forget-me-for-good")
    async with opened_quarantine(tmp_path, "acme", create=True) as store:
        entry = SetAside.of(1, Record(secret, "mallory", 1), "it does harm", b"\x00\x00", 2, builds=False)
        await keep(store, "a", [entry])
        await keep(store, "a", [replace(entry, number=2, digest="0" * 64)])
        ward = await drop(store, "a", 1)
        ward = await drop(store, "a", 2)
        assert [one.update for one in ward.kept] == [b"", b""]
    assert b"forget-me-for-good" not in quarantine_file(tmp_path, "acme").read_bytes()
