"""The processes in which peers live: tasks in, reports out, SIGKILL where the plan says so."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.replay.plan import Stretch
from server.replay.relay_process import ReplayFailed, end, environment
from server.replay.tasks import (
    DONE,
    FAILED,
    FOUND,
    RECORDED,
    SYNCED,
    SYNCING,
    Record,
    Setting,
    Settle,
    Task,
    to_line,
)

REPORT_S = 300.0
"""A peer process that says nothing for longer has hung."""
LINE_BYTES_MAX = 16 << 20


@dataclass(slots=True)
class Ledger:
    """What peers have reported: an invoice that stands here was on its peer's disk."""

    recorded: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    syncs: int = 0
    retries: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By where they struck: ``edit`` or ``sync``."""
    found_again: int = 0
    """Invoices that a process found in its file after the one before it was killed."""
    peer_peak_bytes: int = 0

    @property
    def edits(self) -> int:
        return sum(map(len, self.recorded.values()))


class PeerProcess:
    """One process at a time; a killed one is replaced with the next task."""

    def __init__(self, setting: Setting, ledger: Ledger) -> None:
        self._setting = setting
        self._ledger = ledger
        self._process: asyncio.subprocess.Process | None = None

    async def perform(self, task: Task, *, killed_at: int | None = None) -> None:
        """Have ``task`` done. With ``killed_at`` the process is killed once and the task begun again by another."""
        if killed_at is not None and not await self._until_killed(task, killed_at):
            return
        again = replace(task, resumed=True) if isinstance(task, Record) and killed_at is not None else task
        await self._until_done(again)

    async def close(self) -> None:
        """Kill the process; an idle one has nothing to lose."""
        if self._process is not None:
            await end(self._process)
            self._process = None

    async def _until_done(self, task: Task) -> None:
        await self._tell(task)
        while (report := await self._report()) is not None:
            if self._note(task, report):
                return
        raise ReplayFailed(f"the process of {task.peer} ended in the midst of its work; it has said why above")

    async def _until_killed(self, task: Task, killed_at: int) -> bool:
        """Whether it was killed: False when the task was over first."""
        await self._tell(task)
        reported, is_killed = 0, False
        while (report := await self._report()) is not None:
            if self._note(task, report) and not is_killed:
                return False
            reported += report[0] in (RECORDED, SYNCING)
            if reported == killed_at and not is_killed and self._process is not None:
                # What it still says until it is dead has been done, too, so it is read to the end.
                is_killed = True
                os.kill(self._process.pid, signal.SIGKILL)
                self._ledger.kills["sync" if report[0] == SYNCING else "edit"] += 1
        await self.close()
        return True

    def _note(self, task: Task, report: Sequence[object]) -> bool:
        """Take in one report; True when the task is done."""
        ledger = self._ledger
        match report:
            case [word, str(number)] if word == RECORDED:
                if number in ledger.recorded[task.peer]:
                    raise ReplayFailed(f"{task.peer} recorded invoice {number} twice")
                ledger.recorded[task.peer].add(number)
            case [word, list(numbers)] if word == FOUND:
                self._compare(task, {str(number) for number in numbers})
            case [word, int(retries)] if word == SYNCED:
                ledger.syncs += 1
                ledger.retries += retries
            case [word, int(peak_kib)] if word == DONE:
                ledger.peer_peak_bytes = max(ledger.peer_peak_bytes, peak_kib * 1024)
                return True
            case [word, str(why)] if word == FAILED:
                raise ReplayFailed(why)
        return False

    def _compare(self, task: Task, found: set[str]) -> None:
        """After a kill: every edit whose block had returned must be in the file."""
        if not isinstance(task, Record) or not task.resumed:
            return
        own = {number for number, _, _, _ in task.invoices}
        reported = self._ledger.recorded[task.peer]
        if lost := sorted(own & reported - found):
            raise ReplayFailed(f"{task.peer} was killed and has lost {len(lost)} edits, {lost[0]} for one")
        # An edit may have reached the disk without its report having reached us; it is as good as reported.
        reported |= own & found
        self._ledger.found_again += len(own & found)

    async def _tell(self, task: Task) -> None:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server.replay.peer_process",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX, env=environment(),
            )  # fmt: skip
            self._write(to_line(self._setting))
        self._write(to_line(task))

    def _write(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line)

    async def _report(self) -> list[object] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the line.
            async with asyncio.timeout(REPORT_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ReplayFailed(f"a peer process has said nothing for {REPORT_S:g} s") from None
        if not line.endswith(b"\n"):
            return None
        report: list[object] = json.loads(line)
        return report


class Roster:
    """Tasks in their order, handed out so that no peer lives in two processes at once."""

    def __init__(self, tasks: Sequence[tuple[Task, int | None]], on_done: Callable[[Task], None]) -> None:
        self._tasks = list(tasks)
        self._busy: set[str] = set()
        self._freed = asyncio.Condition()
        self._on_done = on_done

    async def work(self, process: PeerProcess) -> None:
        """Take tasks until none is left."""
        while (taken := await self._take()) is not None:
            task, killed_at = taken
            await process.perform(task, killed_at=killed_at)
            self._on_done(task)
            async with self._freed:
                self._busy.remove(task.peer)
                self._freed.notify_all()

    async def _take(self) -> tuple[Task, int | None] | None:
        async with self._freed:
            while self._tasks:
                for index, (task, _) in enumerate(self._tasks):
                    if task.peer not in self._busy:
                        self._busy.add(task.peer)
                        return self._tasks.pop(index)
                await self._freed.wait()
        return None


def record_task(stretch: Stretch, work: Path, hot: Sequence[str]) -> Record:
    """A stretch as its peer is told of it. Every peer adds the hot products with its first invoice."""
    return Record(
        peer=stretch.peer,
        file=str(peer_file(work, stretch.peer)),
        invoices=[(invoice.number, invoice.period, invoice.country, invoice.lines) for invoice in stretch.invoices],
        products=list(hot) if stretch.number == 0 else [],
        syncs=stretch.syncs,
        resumed=False,
    )


def settle_task(peer: str, work: Path) -> Settle:
    return Settle(peer, str(peer_file(work, peer)), str(work / "tables" / f"{peer}.json"))


def peer_file(work: Path, peer: str) -> Path:
    return work / "peers" / f"{peer}.db"
