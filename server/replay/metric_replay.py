"""What the replays of metrics share: reading a file, collectors that are offline peers, a relay, and the verdict."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import typer

from crdt_sync.errors import SyncError
from crdt_sync.peer import OfflinePeer
from server.replay.relay_process import EmbeddedRelay, ReplayFailed, embedded_relay
from server.replay.retail_data import UnreadableData

EXIT_FAILED, EXIT_USAGE = 1, 2
SYNC_TIMEOUT_S = 240.0
SHOWN_MAX = 20


@dataclass(slots=True)
class MetricReport:
    """Figures by name, and one sentence for each thing that came out otherwise than the file says."""

    figures: dict[str, int | float | str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def compare(self, what: str, read: Mapping[str, object], expected: Mapping[str, object]) -> None:
        """Note every entry in which both differ."""
        self.figures[f"{what} compared"] = len(expected)
        self.differences += [
            f"{what}, {name}: {read.get(name)} instead of {expected.get(name)}"
            for name in sorted(read.keys() | expected.keys())
            if read.get(name) != expected.get(name)
        ]

    def render(self) -> str:
        width = max(map(len, self.figures), default=0)
        lines = [f"{name:<{width}}  {figure:>14}" for name, figure in self.figures.items()]
        lines += self.differences[:SHOWN_MAX]
        if len(self.differences) > SHOWN_MAX:
            lines.append(f"and {len(self.differences) - SHOWN_MAX:,} more differences")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """What to replay, and where."""

    data: Path
    """The file, or the directory that it is in."""
    work: Path
    """An empty directory for the collectors' files and the relay's."""
    limit: int | None = None
    """Only the first rows."""
    seed: int = 1


Replay = Callable[[MetricOptions], Awaitable[MetricReport]]


def read_rows(path: Path, name: str, columns: Iterable[str], limit: int | None) -> Iterator[dict[str, str]]:
    """The rows of a gzipped table one by one; ``name`` is looked for in a directory. Raises :class:`UnreadableData`."""
    file = path / name if path.is_dir() else path
    try:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            if missing := set(columns) - set(reader.fieldnames or ()):
                raise UnreadableData(f"{file} has no column {', '.join(sorted(missing))}")
            yield from islice(reader, limit)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnreadableData(f"{file} can't be read: {error}") from error


def unix_ms(text: str) -> int:
    """A UTC time such as ``2015-02-26T21:42:53`` in Unix milliseconds. Raises :class:`UnreadableData`."""
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError as error:
        raise UnreadableData(f"{text!r} is no time") from error


class Crew:
    """Collectors with files of their own, and the relay that they sync with."""

    def __init__(self, relay: EmbeddedRelay, work: Path, stack: AsyncExitStack) -> None:
        self._relay = relay
        self._work = work
        self._stack = stack
        self.syncs = 0

    async def hire(self, name: str) -> OfflinePeer:
        """A new peer with an empty file."""
        running = self._relay.running
        peer = OfflinePeer.open(
            self._work / f"{name}.db", tenant=running.tenant, name=name, relay=running.url, token=running.token
        )
        return await self._stack.enter_async_context(peer)

    async def sync(self, *peers: OfflinePeer, periods: Sequence[str] = ()) -> None:
        """Sync one after the other, with the metrics of ``periods`` even where a peer has none of them yet."""
        for peer in peers:
            for period in periods:
                # A look opens the period's documents, and what is open is synced.
                async with peer.read(periods=[period]):
                    pass
            await peer.sync(timeout_s=SYNC_TIMEOUT_S)
            self.syncs += 1


@asynccontextmanager
async def crew_with_relay(work: Path, tenant: str, report: MetricReport) -> AsyncIterator[Crew]:
    """A relay in a process of its own, stopped and verified at the end; its figures go into the report."""
    started_s = time.monotonic()
    async with embedded_relay(work, tenant) as relay:
        async with AsyncExitStack() as stack:
            crew = Crew(relay, work, stack)
            yield crew
        await relay.stop()
        await relay.verify()
    report.figures["syncs"] = crew.syncs
    report.figures["bytes stored by the relay"] = relay.figures.stored_bytes
    report.figures["relay's verify"] = relay.figures.verify
    report.figures["differences"] = len(report.differences)
    report.figures["seconds"] = round(time.monotonic() - started_s, 1)


def run_command(replay: Replay, data: Path, limit: int | None, seed: int, json_file: Path | None) -> None:
    """Run a replay as a command: prints its figures; exit code 0 only when nothing differs."""
    try:
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crdt-sync-replay-")))
            report = asyncio.run(_until_terminated(replay, MetricOptions(data, work, limit, seed)))
    except (ReplayFailed, SyncError) as error:
        typer.echo(f"crdt-sync: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except UnreadableData as error:
        typer.echo(f"crdt-sync: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    typer.echo(report.render())
    if json_file is not None:
        outcome = {"figures": report.figures, "differences": report.differences}
        json_file.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    if report.differences:
        raise typer.Exit(EXIT_FAILED)


async def _until_terminated(replay: Replay, options: MetricOptions) -> MetricReport:
    """SIGTERM ends the replay as Ctrl-C does: through its finally blocks, which end the relay."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await replay(options)
    except asyncio.CancelledError:
        raise ReplayFailed("the replay was stopped") from None
