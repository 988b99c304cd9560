"""A process in which offline peers live, one at a time; it may be killed at any moment.

It is told what to do on standard input and says what it has done on standard output: an invoice is reported only when
its edit has returned, which is the peer's word that it is on disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, TypeAlias, assert_never

from crdt_sync.errors import NotSynced, SyncError
from crdt_sync.peer import OfflinePeer
from crdt_sync.peer.backoff import backoff_s
from server.replay.tasks import DONE, FAILED, FOUND, RECORDED, SYNCED, SYNCING, Record, Setting, Settle, from_line

SYNC_ATTEMPTS = 5
SYNC_TIMEOUT_S = 240.0

Follow: TypeAlias = Literal["own", "all"]


def main() -> None:
    # Ctrl-C reaches the whole group; the replay itself ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = iter(sys.stdin.buffer.readline, b"")
    setting = from_line(next(lines))
    assert isinstance(setting, Setting)
    descriptions = json.loads(Path(setting.descriptions_file).read_text(encoding="utf-8"))
    for line in lines:
        task = from_line(line)
        assert not isinstance(task, Setting)
        try:
            asyncio.run(_perform(PeerTasks(setting, descriptions), task))
        except SyncError as error:
            say(FAILED, f"{task.peer}: {error} [{error.code}]")
            return
        say(DONE, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def say(*words: object) -> None:
    """One line, in one write, so that a kill leaves no half of it."""
    os.write(1, json.dumps(words, separators=(",", ":")).encode() + b"\n")


async def _perform(tasks: PeerTasks, task: Record | Settle) -> None:
    match task:
        case Record():
            await tasks.record(task)
        case Settle():
            await tasks.settle(task)
        case _:
            assert_never(task)


class PeerTasks:
    """What peers do in the replay, as any program would through the library."""

    def __init__(self, setting: Setting, descriptions: Mapping[str, str]) -> None:
        self._setting = setting
        self._descriptions = descriptions

    async def record(self, task: Record) -> None:
        """Record invoices offline, one edit each; skip those that the file has already."""
        async with self._opened(task, "own") as peer:
            recorded: set[str] = set()
            if task.resumed:
                recorded = await _recorded(peer, {period for _, period, _, _ in task.invoices})
            say(FOUND, sorted(recorded))
            clerk = Clerk(peer, self._descriptions, task.products)
            for number, period, country, lines in task.invoices:
                if number not in recorded:
                    await clerk.record(number, period, country, lines)
                    say(RECORDED, number)
            if task.syncs:
                say(SYNCING)
                say(SYNCED, await _sync(peer))

    async def settle(self, task: Settle) -> None:
        """Sync everything, then read the stock from the file alone."""
        async with self._opened(task, "all") as peer:
            say(SYNCING)
            say(SYNCED, await _sync(peer))
        async with self._opened(task, "all") as peer, peer.read() as docs:
            table = docs.inventory.stock_table()
        _write_table(Path(task.table_file), table)

    def _opened(self, task: Record | Settle, follow: Follow) -> AbstractAsyncContextManager[OfflinePeer]:
        setting = self._setting
        return OfflinePeer.open(
            task.file, tenant=setting.tenant, name=task.peer, relay=setting.relay, token=setting.token, follow=follow
        )


class Clerk:
    """Records invoices at one opened peer, and adds what they name to the catalog."""

    def __init__(self, peer: OfflinePeer, descriptions: Mapping[str, str], products: Iterable[str]) -> None:
        """``products`` are added with the first invoice, whatever it is about."""
        self._peer = peer
        self._descriptions = descriptions
        self._products = set(products)
        self._known_products: set[str] = set()
        self._known_countries: set[str] = set()

    async def record(self, number: str, period: str, country: str, lines: Sequence[tuple[str, int]]) -> None:
        """One edit: what was sold leaves the stock, what came back is added to it."""
        codes = {code for code, _ in lines} | self._products
        async with self._peer.edit(period=period) as docs:
            inventory = docs.inventory
            if country not in self._known_countries:
                inventory.add_location(country)
            for code in sorted(codes - self._known_products):
                # Several peers that don't see each other add it, so all must add the same.
                description = self._descriptions.get(code)
                inventory.add_product(code, **({} if description is None else {"description": description}))
            for code, quantity in lines:
                if quantity > 0:
                    inventory.sell(code, quantity, at=country, ref=number)
                else:
                    inventory.adjust(code, -quantity, at=country, ref=number)
        self._known_countries.add(country)
        self._known_products |= codes


def _write_table(path: Path, table: Mapping[tuple[str, str], int]) -> None:
    rows = [[code, country, quantity] for (code, country), quantity in table.items()]
    path.write_text(json.dumps(rows), encoding="utf-8")


async def _recorded(peer: OfflinePeer, periods: Iterable[str]) -> set[str]:
    """The invoices in these periods, from the peer's own file."""
    async with peer.read(periods=periods) as docs:
        return docs.inventory.refs()


async def _sync(peer: OfflinePeer) -> int:
    """Sync, trying again when the relay can't be reached or the connection ends; returns how often."""
    for attempt in range(1, SYNC_ATTEMPTS):
        try:
            await peer.sync(timeout_s=SYNC_TIMEOUT_S)
        except NotSynced:
            await asyncio.sleep(backoff_s(attempt, jitter=random.random()))  # noqa: S311  no secret
        else:
            return attempt - 1
    await peer.sync(timeout_s=SYNC_TIMEOUT_S)
    return SYNC_ATTEMPTS - 1


if __name__ == "__main__":
    main()
