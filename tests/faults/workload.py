"""What is written to a store while faults come, what was acknowledged of it, and what must be there afterwards.

Every byte can be told from its place (document and number), so what is found needs nothing to be compared with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from crdt_sync.errors import DocumentRetired, StoreError
from crdt_sync.stores import sqlite
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Binding, Loaded, Record, Snapshot

KIND: Final = "tenant"
NAME: Final = "acme.db"
WRITERS: Final = ("inventory/2026-11", "inventory/2026-12", "metrics")
HEIRS: Final = "heirs"
"""Goes on for the documents that end; each end appends one record to it."""
ROUNDS: Final = 12
CHECKPOINT_BYTES: Final = 64 << 10


def payload(document: str, seq: int) -> bytes:
    """What record ``seq`` of ``document`` holds: some 20 to 4,000 bytes that tell both."""
    return f"{document}#{seq};".encode() * (1 + seq * 7919 % 190)


def snapshot(document: str, through: int) -> Snapshot:
    return Snapshot(through, f"state of {document} through {through};".encode() * 40, b"ledger %d" % through)


def records(document: str, first: int, last: int) -> list[Record]:
    return [Record(payload(document, seq), "writer", seq) for seq in range(first, last + 1)]


def bindings(first: int, last: int) -> list[Binding]:
    """Each of a writer's records brings a client id of its own."""
    return [Binding(seq, f"subject {seq}", "firm") for seq in range(first, last + 1)]


class Teller:
    """Notes what was acknowledged, in a file beside the store, each line in one write."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "acks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def tell(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def close(self) -> None:
        os.close(self._file)


@dataclass
class Acked:
    """What somebody was told, of which nothing may ever be lost."""

    appended: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    """How far somebody else has read."""
    compacted: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    count: int = 0

    @classmethod
    def read(cls, lines: Iterable[str]) -> Self:
        acked = cls()
        for line in lines:
            acked.take(line)
        return acked

    def take(self, line: str) -> None:
        what, document, *number = line.split()
        if what == "ended":
            self.ended.add(document)
        else:
            facts = {"append": self.appended, "seen": self.seen, "compact": self.compacted, "mark": self.marks}[what]
            facts[document] = max(facts.get(document, 0), int(number[0]))
        self.count += what != "seen"


async def write(store: SqliteStore, document: str, teller: Teller, rounds: int) -> None:
    log = store.log(document)
    for _ in range(rounds):
        seq = await log.append([]) + 1
        last = await log.append(records(document, seq, seq + seq % 3), bindings(seq, seq + seq % 3))
        teller.tell("append", document, last)
        if seq % 4 == 0:
            await log.mark("sent", last)
            teller.tell("mark", document, last)
        if seq % 5 == 0:
            await log.compact(snapshot(document, last))
            teller.tell("compact", document, last)


async def end_some(store: SqliteStore, teller: Teller, count: int) -> None:
    """Write documents and retire them; a record of each goes on in another."""
    for _ in range(count):
        number = len(await store.retirements()) + 1
        document = f"short-lived/{number}"
        log = store.log(document)
        last = await log.append(records(document, await log.append([]) + 1, await log.append([]) + 3))
        teller.tell("append", document, last)
        await store.retire(document, "it was short", number, HEIRS, records(HEIRS, number, number))
        teller.tell("ended", document)
        teller.tell("append", HEIRS, number)


async def look(store: SqliteStore, teller: Teller, rounds: int) -> None:
    """Another client: reads what is there and remembers it."""
    for _ in range(rounds):
        for document in WRITERS:
            teller.tell("seen", document, (await store.log(document).load()).last_seq)


async def work(folder: Path, rounds: int = ROUNDS) -> None:
    """One session on the store in ``folder``, from opening it to closing it. Raises :class:`StoreError` when the disk
    did not do its part, after it has seen that the store behaves then as it should (L14)."""
    # Else no session would be long enough to reach the checkpoint.
    vars(sqlite)["CHECKPOINT_BYTES"] = CHECKPOINT_BYTES
    async with acking(folder) as teller, open_sqlite_store(folder / NAME, create=True, kind=KIND) as store:
        failures: list[StoreError] = []
        tasks = [asyncio.create_task(write(store, document, teller, rounds)) for document in WRITERS]
        tasks += [
            asyncio.create_task(end_some(store, teller, 2)),
            asyncio.create_task(look(store, teller, rounds // 2)),
        ]
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, StoreError):
                failures.append(result)
            elif result is not None:
                raise result
        if failures:
            await behave(store, teller, failures)
            raise failures[0]


async def behave(store: SqliteStore, teller: Teller, failures: Sequence[StoreError]) -> None:
    """A store that failed refuses everything; one that had no room goes on reading, and writes as soon as it can."""
    if store.failure is None:
        assert all("SQLITE_FULL" in str(failure) for failure in failures), failures
    for document in WRITERS:
        log = store.log(document)
        if store.failure is None:
            teller.tell("seen", document, (await log.load()).last_seq)
            with suppress(StoreError):
                await write(store, document, teller, 1)
            continue
        for attempt in (log.load(), log.append(records(document, 1, 1)), log.mark("sent", 1), store.documents()):
            try:
                await attempt
            except StoreError as error:
                assert error.code == store.failure.code  # noqa: PT017
            else:
                raise AssertionError(f"{document} is still served by a store that failed: {store.failure}")


@asynccontextmanager
async def acking(folder: Path) -> AsyncIterator[Teller]:
    teller = Teller(folder)
    try:
        yield teller
    finally:
        teller.close()


async def losses(folder: Path, acked: Acked) -> list[str]:
    """Open the store in ``folder`` and say what is missing of what somebody was told; [] when nothing is.

    What is there must be what was written, each chain whole. Raises :class:`StoreError` for a store that says itself
    that it is not whole."""
    lost = []
    async with open_sqlite_store(folder / NAME, create=not acked.count, kind=KIND) as store:
        ended = {note.document for note in await store.retirements()}
        lost += [f"{document} has not ended" for document in acked.ended - ended]
        there = set(await store.documents())
        for document in {*acked.appended, *acked.seen, *there} - ended:
            loaded = await store.log(document).load()
            lost += missing(document, loaded, acked)
            lost += wrong(document, loaded)
            await store.verify(document)
        for document in ended:
            try:
                await store.log(document).load()
                lost.append(f"{document} can be read after its end")
            except DocumentRetired as error:
                assert error.document == document  # noqa: PT017
        heirs = (await store.log(HEIRS).load()).last_seq
        if heirs != len(ended):
            lost.append(f"{len(ended)} documents have ended, {heirs} went on")
    return lost


def missing(document: str, loaded: Loaded, acked: Acked) -> list[str]:
    lost = []
    for what, facts in (("acked", acked.appended), ("seen", acked.seen)):
        if loaded.last_seq < facts.get(document, 0):
            lost.append(f"{document} ends at {loaded.last_seq}, but {facts[document]} was {what}")
    through = loaded.snapshot.through if loaded.snapshot else 0
    if through < acked.compacted.get(document, 0):
        lost.append(f"{document} has a snapshot through {through}, not {acked.compacted[document]}")
    if loaded.marks.get("sent", 0) < acked.marks.get(document, 0):
        lost.append(f"{document} has its mark at {loaded.marks.get('sent', 0)}, not {acked.marks[document]}")
    return lost


def wrong(document: str, loaded: Loaded) -> list[str]:
    through = loaded.snapshot.through if loaded.snapshot else 0
    flaws = []
    if loaded.healed is not None:
        flaws.append(f"{document} had to be healed: {loaded.healed}")
    if loaded.snapshot is not None and loaded.snapshot != snapshot(document, through):
        flaws.append(f"{document} has another snapshot through {through}")
    if list(loaded.tail) != records(document, through + 1, loaded.last_seq):
        flaws.append(f"{document} has other records after {through}")
    if document in WRITERS and list(loaded.bindings.values()) != bindings(1, loaded.last_seq):
        flaws.append(f"{document} has other owners of its client ids")
    return flaws
