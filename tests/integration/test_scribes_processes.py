"""Scribes as processes: they crash, hang and run out of memory, and nobody but their task notices."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map

from crdt_sync.errors import ReplicaBroken, ScribeDied, SnapshotMismatch
from crdt_sync.updates.encode import write_update
from crdt_sync.updates.ledger import Ledger
from server.scribes.frames import EXIT_ORPHAN, VIEW, head
from server.scribes.history import History
from server.scribes.pool import Scribes, open_scribes
from tests.integration.scribe_logs import map_log, random_log, shown

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux: processes are seen in /proc")

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0

# An array in a map entry, and in it a string with a letter beyond the basic plane: yrs reads it for ever.
HANGS_WHEN_READ = bytes.fromhex("010201002701016d016b000400010006c3a9f09f988000")


def nested_types(depth: int) -> bytes:
    """Arrays in arrays, without a value anywhere: native code recurses once a level."""
    root = b"\x07\x01\x01m\x00"
    inner = b"".join(b"\x07\x00\x01" + varint(clock) + b"\x00" for clock in range(depth - 1))
    return b"\x01" + varint(depth) + b"\x01\x00" + root + inner + b"\x00"


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def scribes(**changed: Any) -> Any:
    settings: dict[str, Any] = {
        "count": 1,
        "memory_bytes_max": 1 << 30,
        "timeout_s": DEADLINE_S,
        "on_death": lambda how: None,
    }
    return open_scribes(**{**settings, **changed})


def workers_of(parent: int) -> dict[int, int]:
    """The worker processes of ``parent`` and the CPU ticks that each has used."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # It ended while we looked.
        if int(fields[1]) == parent and fields[0] != "Z" and b"server.scribes.worker" in command:
            found[int(entry.name)] = int(fields[11])
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


async def hang(pool: Scribes) -> tuple[asyncio.Task[dict[str, Any]], int]:
    """A task that will not end by itself, and the worker that is busy with it."""
    before = workers_of(os.getpid())
    task = asyncio.create_task(pool.view(None, [HANGS_WHEN_READ]))
    busy: list[int] = []

    def is_busy() -> bool:
        # Half a second of CPU that it did not use for loading its code.
        busy[:] = [pid for pid, ticks in workers_of(os.getpid()).items() if ticks > before.get(pid, 50) + 50]
        return bool(busy)

    await eventually(is_busy)
    return task, busy[0]


async def test_a_random_history_is_compacted_in_another_process() -> None:
    async with scribes() as pool:
        for seed in range(10):
            log = random_log(seed)
            compacted = await pool.compact(None, log[:20])
            compacted = await pool.compact(compacted.state, log[20:])
            assert shown([compacted.state]) == shown(log)
            assert Ledger.decode(compacted.ledger) == History([compacted.state]).ledger
        assert len(workers_of(os.getpid())) == 1


async def test_a_diff_brings_a_holder_of_an_old_state_up_to_date() -> None:
    log = random_log(3)
    held = History(log[:10]).ledger
    async with scribes() as pool:
        rest = await pool.diff(None, log, held.clocks)
        everything = await pool.diff(None, log, {})
    assert len(rest) < len(everything)
    assert shown([*log[:10], rest]) == shown([everything]) == shown(log)


async def test_a_view_is_the_document_as_json() -> None:
    log = map_log(3, 5)
    async with scribes() as pool:
        assert await pool.view(log[0], log[1:]) == {"stock": {"sku-0": 3, "sku-1": 4, "sku-2": 2}}
        assert await pool.view(None, []) == {}


async def test_a_document_that_loops_for_ever_ends_its_task_alone() -> None:
    deaths: list[str] = []
    async with scribes(timeout_s=1.0, on_death=deaths.append) as pool:
        with pytest.raises(ScribeDied, match="still busy after 1 s") as died:
            await pool.view(None, [HANGS_WHEN_READ])
        assert deaths == [str(died.value)]
        assert died.value.retryable
        assert workers_of(os.getpid()) == {}
    async with scribes(on_death=deaths.append) as pool:
        task, _ = await hang(pool)
        task.cancel()
        assert await pool.view(None, map_log(1, 1)) == {"stock": {"sku-0": 0}}
    assert len(deaths) == 1


async def test_compaction_never_reads_content_through_native_types() -> None:
    async with scribes() as pool:
        compacted = await pool.compact(None, [HANGS_WHEN_READ])
    assert History([compacted.state]).ledger.clocks == {1: 4}


async def test_a_stack_overflow_ends_its_task_alone() -> None:
    async with scribes() as pool:
        with pytest.raises(ScribeDied):
            await pool.view(None, [nested_types(60_000)])
        assert await pool.view(None, map_log(1, 1)) == {"stock": {"sku-0": 0}}


async def test_a_document_larger_than_the_memory_ends_its_task_alone() -> None:
    doc: Doc = Doc(client_id=7)
    doc.get("stock", type=Map)["blob"] = bytes(32 << 20)
    deaths: list[str] = []
    async with scribes(memory_bytes_max=96 << 20, on_death=deaths.append) as pool:
        with pytest.raises(ScribeDied, match="out of memory"):
            await pool.compact(None, [doc.get_update()])
        assert (await pool.compact(None, map_log(1, 1))).state == map_log(1, 1)[0]
    assert len(deaths) == 1


async def test_a_large_document_passes_through_whole() -> None:
    doc: Doc = Doc(client_id=7)
    stock = doc.get("stock", type=Map)
    for number in range(24):
        stock[str(number)] = os.urandom(1 << 20)
    update = doc.get_update()
    async with scribes() as pool:
        compacted = await pool.compact(None, [update])
        assert (await pool.compact(None, map_log(1, 1))).state == map_log(1, 1)[0]
    assert shown([compacted.state]) == shown([update])


async def test_a_killed_worker_costs_its_own_task_and_no_other() -> None:
    deaths: list[str] = []
    log = random_log(5)
    async with scribes(count=2, on_death=deaths.append) as pool:
        doomed, pid = await hang(pool)
        other = asyncio.create_task(pool.compact(None, log))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ScribeDied, match="ended by signal SIGKILL"):
            await doomed
        assert shown([(await other).state]) == shown(log)
        assert shown([(await pool.compact(None, log)).state]) == shown(log)
    assert len(deaths) == 1


async def test_a_worker_that_was_killed_while_idle_is_replaced() -> None:
    async with scribes() as pool:
        await pool.compact(None, [])
        (pid,) = workers_of(os.getpid())
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not is_alive(pid))
        # The end of its pipe takes the loop a few rounds to reach us; until then it would cost one task.
        for _ in range(10):
            await asyncio.sleep(0)
        await pool.compact(None, [])
        assert pid not in workers_of(os.getpid())


async def test_there_are_never_more_workers_than_agreed_and_tasks_wait_in_order() -> None:
    finished: list[int] = []
    most = 0

    async def ask(pool: Scribes, number: int) -> None:
        nonlocal most
        await pool.view(None, map_log(1, number + 1))
        most = max(most, len(workers_of(os.getpid())))
        finished.append(number)

    async with scribes() as pool:
        await asyncio.gather(*(ask(pool, number) for number in range(6)))
    assert finished == list(range(6))
    assert most == 1
    async with scribes(count=2) as pool:
        await asyncio.gather(*(ask(pool, number) for number in range(6)))
    assert most == 2


async def test_a_cancelled_task_leaves_no_answer_to_the_next() -> None:
    async with scribes() as pool:
        await pool.compact(None, [])
        for number in range(8):
            task = asyncio.create_task(pool.view(None, map_log(300, 300)))
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.view(None, map_log(1, number + 1)) == {"stock": {"sku-0": number}}
            assert len(workers_of(os.getpid())) == 1


async def test_leaving_ends_workers_that_are_busy_and_tasks_that_wait() -> None:
    deaths: list[str] = []
    async with scribes(on_death=deaths.append) as pool:
        busy, _ = await hang(pool)
        waiting = asyncio.create_task(pool.compact(None, []))
        await asyncio.sleep(0)
    for task in (busy, waiting):
        with pytest.raises(ScribeDied, match="clos"):
            await task
    with pytest.raises(ScribeDied, match="closing"):
        await pool.compact(None, [])
    assert workers_of(os.getpid()) == {}
    assert deaths == []


async def test_refusals_come_back_as_what_they_are_and_the_worker_goes_on() -> None:
    log: list[bytes] = map_log(2, 2)
    emoji = bytes.fromhex("0101070004010174") + b"\x06a\xf0\x9f\x98\x80b" + b"\x00"
    half = write_update([], {7: [(1, 2)]})
    async with scribes() as pool:
        with pytest.raises(SnapshotMismatch, match="S2"):
            await pool.compact(None, [emoji, half])
        (pid,) = workers_of(os.getpid())
        await pool.compact(None, log)
        assert list(workers_of(os.getpid())) == [pid]
        with pytest.raises(ReplicaBroken, match="update 1 of the log builds on something"):
            await pool.compact(None, log[1:])
        with pytest.raises(ReplicaBroken, match="does not pass the gate"):
            await pool.view(None, [b"\x01"])


async def test_a_worker_sees_no_secret_of_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRDT_SYNC_TOKEN_SECRET", "do not pass on")
    async with scribes() as pool:
        await pool.compact(None, [])
        (pid,) = workers_of(os.getpid())
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        limits = Path(f"/proc/{pid}/limits").read_text()
    assert b"CRDT_SYNC" not in environment
    assert b"RUST_BACKTRACE=0" in environment
    assert f"Max address space         {1 << 30}" in limits
    assert "Max core file size        0" in limits


PARENT = f"""
import asyncio
from server.scribes.pool import open_scribes

async def main() -> None:
    async with open_scribes(count=2, memory_bytes_max=1 << 30, timeout_s=600, on_death=print) as pool:
        await pool.compact(None, [])
        idle = asyncio.create_task(pool.view(None, [bytes.fromhex("{HANGS_WHEN_READ.hex()}")]))
        await pool.compact(None, [])
        await idle

asyncio.run(main())
"""


async def test_workers_idle_or_busy_end_with_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT)
    try:
        await eventually(lambda: any(ticks > 100 for ticks in workers_of(parent.pid).values()))
        await eventually(lambda: len(workers_of(parent.pid)) == 2)
        workers = list(workers_of(parent.pid))
    finally:
        parent.kill()
        parent.wait()
    await eventually(lambda: not any(map(is_alive, workers)))


def run_worker(parent: int, cpu_s: float, data: bytes) -> int:
    """A worker of ours without a supervisor, given ``data`` and no end of input; returns how it ended."""
    command = [sys.executable, "-m", "server.scribes.worker", str(parent), str(1 << 30), str(cpu_s)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as worker:
        assert worker.stdin is not None
        worker.stdin.write(data)
        worker.stdin.flush()
        return worker.wait(DEADLINE_S)


def test_a_busy_worker_that_nobody_watches_ends_by_its_cpu_time() -> None:
    asked = head(VIEW, [HANGS_WHEN_READ]) + HANGS_WHEN_READ
    assert run_worker(os.getpid(), 1.0, asked) == -signal.SIGXCPU


def test_a_worker_that_finds_another_parent_than_it_was_told_of_ends_at_once() -> None:
    assert run_worker(os.getppid(), 1.0, b"") == EXIT_ORPHAN
