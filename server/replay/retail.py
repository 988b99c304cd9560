"""The main job on real input: offline peers record a shop's invoices, sync, are killed, and everybody must agree."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from server.replay.crew import Ledger, PeerProcess, Roster, record_task, settle_task
from server.replay.plan import Plan, make_plan
from server.replay.progress import Progress
from server.replay.relay_process import (
    EmbeddedRelay,
    RelayFigures,
    ReplayFailed,
    RunningRelay,
    embedded_relay,
    environment,
    output_of,
)
from server.replay.report import RetailReport
from server.replay.retail_data import Cell, RetailData, expected_stock, find_file, read_retail
from server.replay.tasks import Record, Setting, Task

EMBEDDED = "embedded"
FRESH, NODE, PROBE = "fresh-peer", "node", "probe"
NODE_TIMEOUT_S = 300.0
NODE_SCRIPT = "read_stock.mjs"
DESCRIPTIONS = "descriptions.json"


@dataclass(frozen=True, slots=True)
class RetailOptions:
    """What to replay, and where."""

    data: Path
    """The file, or the directory that it is in."""
    peers: int
    work: Path
    """An empty directory for the peers' files and the embedded relay's."""
    relay: str = EMBEDDED
    token: str = ""
    """For a relay that runs elsewhere; its tenant must be empty."""
    tenant: str = "retail"
    limit: int | None = None
    seed: int = 1
    processes: int = 2
    """Peer processes at a time."""
    node: Path | None = None
    """The folder with the script for Node and its packages; None reads without Node."""


async def replay_retail(options: RetailOptions) -> RetailReport:
    """Run the whole replay. Raises :class:`ReplayFailed` and :class:`UnreadableData`.

    A report whose ``differences`` is empty says that everybody agrees with the file.
    """
    started_s = time.monotonic()
    path = find_file(options.data)
    if options.node is not None:
        # Now, and not when all else is done.
        _find_node(options.node)
    data, expected = await asyncio.to_thread(
        lambda: (read_retail(path, options.limit), expected_stock(path, options.limit))
    )
    if not data.invoices:
        raise ReplayFailed(f"{path} has no line that moves anything")
    read_s = time.monotonic() - started_s
    plan = make_plan(data, peers=options.peers, seed=options.seed)
    ledger = Ledger()
    async with _relay(options) as (running, embedded):
        replay = _Replay(options, running, ledger)
        await _while_watched(embedded, replay.run(data, plan))
        finished_s = time.monotonic()
        figures = await _finish(embedded)
    phases_s = {"reading the file": read_s, **replay.phases_s, "stopping and verifying": time.monotonic() - finished_s}
    tables = {name: _read_table(options.work, name) for name in replay.readers}
    return RetailReport(
        options.seed, data, plan, ledger, figures, expected, tables,
        peer_bytes=sum(file.stat().st_size for file in (options.work / "peers").iterdir()),
        phases_s=phases_s, seconds=time.monotonic() - started_s,
    )  # fmt: skip


class _Replay:
    """One run against a relay that is there."""

    def __init__(self, options: RetailOptions, running: RunningRelay, ledger: Ledger) -> None:
        self._options = options
        self._running = running
        self._ledger = ledger
        self._setting = Setting(running.url, running.token, running.tenant, str(options.work / DESCRIPTIONS))
        self.phases_s: dict[str, float] = {}
        self.readers: list[str] = []

    async def run(self, data: RetailData, plan: Plan) -> None:
        """Record and sync, then let everybody settle and read."""
        work = self._options.work
        _lay_out(work, data)
        if self._options.relay != EMBEDDED:
            await self._check_empty()
        stretches = [(record_task(stretch, work, data.hot), stretch.killed_at) for stretch in plan.stretches]
        await self._phase("recording", stretches, sum(len(stretch.invoices) for stretch in plan.stretches))
        if missing := len(data.invoices) - self._ledger.edits:
            raise ReplayFailed(f"{missing} invoices were never reported as recorded")
        readers = [*plan.peers, FRESH]
        settling = [(settle_task(peer, work), 1 if peer in plan.killed_at_the_end else None) for peer in readers]
        await self._phase("settling", settling, len(settling))
        self.readers += readers
        if self._options.node is not None:
            started_s = time.monotonic()
            await self._read_in_node(self._options.node)
            self.readers.append(NODE)
            self.phases_s["reading in Node"] = time.monotonic() - started_s

    async def _check_empty(self) -> None:
        """What a relay elsewhere holds already would pass for a difference."""
        await self._phase("looking", [(settle_task(PROBE, self._options.work), None)], 1)
        if _read_table(self._options.work, PROBE):
            raise ReplayFailed(f"tenant {self._running.tenant} of {self._running.url} has stock already: name another")

    async def _phase(self, name: str, tasks: Sequence[tuple[Task, int | None]], total: int) -> None:
        started_s = time.monotonic()
        progress = Progress(name, total)
        done = 0

        def note(task: Task) -> None:
            nonlocal done
            done += len(task.invoices) if isinstance(task, Record) else 1
            progress(done)

        roster = Roster(tasks, note)
        processes = [PeerProcess(self._setting, self._ledger) for _ in range(self._options.processes)]
        workers = [asyncio.create_task(roster.work(process), name=f"{name} {n}") for n, process in enumerate(processes)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            for process in processes:
                await process.close()
            progress.end()
        for worker in workers:
            if not worker.cancelled():
                worker.result()
        self.phases_s[name] = time.monotonic() - started_s

    async def _read_in_node(self, folder: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            _find_node(folder), str(folder / NODE_SCRIPT), self._running.url, self._running.tenant,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**environment(), "CRDT_SYNC_TOKEN": self._running.token},
        )  # fmt: skip
        output = await output_of(process, NODE_SCRIPT, NODE_TIMEOUT_S)
        (self._options.work / "tables" / f"{NODE}.json").write_text(output, encoding="utf-8")


@asynccontextmanager
async def _relay(options: RetailOptions) -> AsyncIterator[tuple[RunningRelay, EmbeddedRelay | None]]:
    if options.relay != EMBEDDED:
        yield RunningRelay(options.relay, options.token, options.tenant), None
        return
    async with embedded_relay(options.work, options.tenant) as embedded:
        yield embedded.running, embedded


async def _while_watched(embedded: EmbeddedRelay | None, work: Coroutine[None, None, None]) -> None:
    """Do ``work``, and stop at once when the embedded relay dies."""
    running = asyncio.create_task(work, name="replay")
    watching = [] if embedded is None else [asyncio.create_task(embedded.watch(), name="watch the relay")]
    try:
        await asyncio.wait([running, *watching], return_when=asyncio.FIRST_COMPLETED)
        for ended in watching:
            if ended.done():
                ended.result()
        await running
    finally:
        for task in (running, *watching):
            task.cancel()
        await asyncio.wait([running, *watching])


async def _finish(embedded: EmbeddedRelay | None) -> RelayFigures | None:
    if embedded is None:
        return None
    await embedded.stop()
    await embedded.verify()
    return embedded.figures


def _find_node(folder: Path) -> str:
    node = shutil.which("node")
    if node is None or not (folder / "node_modules" / "yjs").is_dir():
        raise ReplayFailed(f"no Node with yjs: install Node 20 and run npm ci in {folder}, or pass --no-node")
    return node


def _lay_out(work: Path, data: RetailData) -> None:
    for folder in ("peers", "tables"):
        (work / folder).mkdir(parents=True)
    (work / DESCRIPTIONS).write_text(json.dumps(data.descriptions), encoding="utf-8")


def _read_table(work: Path, name: str) -> dict[Cell, int]:
    rows = json.loads((work / "tables" / f"{name}.json").read_text(encoding="utf-8"))
    return {(code, country): quantity for code, country, quantity in rows}
