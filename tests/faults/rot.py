"""Damages a store's files as a disk may, silently, and looks whether anybody is served something else for it."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import Final

from crdt_sync.errors import StoreError
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Loaded, Retirement
from tests.faults.scratch import emptied
from tests.faults.workload import HEIRS, KIND, NAME, WRITERS, bindings, records, snapshot

DATABASE: Final = NAME
WAL: Final = f"{NAME}-wal"
PAGE_BYTES: Final = 4096
SECTOR_BYTES: Final = 512


@dataclass(frozen=True)
class Original:
    """A store's files as they were, and what could be read from them."""

    files: Mapping[str, bytes]
    documents: Mapping[str, Loaded]
    retirements: tuple[Retirement, ...]


async def fill(store: SqliteStore, copy: Callable[[], None]) -> None:
    """Documents with and without snapshots, marks and owners, and some that have ended; ``copy`` before the end."""
    for document, last in zip(WRITERS, (60, 25, 40), strict=True):
        log = store.log(document)
        for seq in range(1, last + 1):
            await log.append(records(document, seq, seq), bindings(seq, seq))
            if document != WRITERS[1] and seq in (15, 30):
                await log.compact(snapshot(document, seq))
        await log.mark("sent", last)
    for number in (1, 2):
        await store.log(f"short-lived/{number}").append(records(f"short-lived/{number}", 1, 20))
        await store.retire(f"short-lived/{number}", "it was short", number, HEIRS, records(HEIRS, number, number))
    # An erasure has emptied the WAL; what follows stands in it.
    for document in WRITERS:
        log = store.log(document)
        seq = await log.append([]) + 1
        await log.append(records(document, seq, seq + 9), bindings(seq, seq + 9))
        await log.compact(snapshot(document, seq + 2))
    copy()


async def originals(folder: Path) -> tuple[Original, Original]:
    """The same store closed, and as the death of its process leaves it."""
    closed, left_open = emptied(folder / "closed"), emptied(folder / "left-open")

    def copy() -> None:
        for path in closed.iterdir():
            if not path.name.endswith("-shm"):
                shutil.copy(path, left_open)

    async with open_sqlite_store(closed / NAME, create=True, kind=KIND) as store:
        await fill(store, copy)
        expected = {document: await store.log(document).load() for document in await store.documents()}
        ended = tuple(await store.retirements())
    return tuple(  # type: ignore[return-value]
        Original({path.name: path.read_bytes() for path in kept.iterdir()}, expected, ended)
        for kept in (closed, left_open)
    )


def flip(files: Mapping[str, bytes], random: Random) -> tuple[str, dict[str, bytes]]:
    """One bit, anywhere in the database or its WAL; the first page rules over all others and gets more than its
    share."""
    sizes = {name: len(files.get(name, b"")) for name in (DATABASE, WAL)}
    place = random.randrange(PAGE_BYTES if random.random() < 0.1 else sum(sizes.values()))
    name = DATABASE if place < sizes[DATABASE] else WAL
    place -= 0 if name == DATABASE else sizes[DATABASE]
    content = bytearray(files[name])
    bit = random.randrange(8)
    content[place] ^= 1 << bit
    return f"bit {bit} of byte {place} of {name}", {**files, name: bytes(content)}


def misplace(files: Mapping[str, bytes], random: Random) -> tuple[str, dict[str, bytes]]:
    """A sector that reads as zeros, or a page that holds what another page should."""
    name = random.choice([name for name in (DATABASE, WAL) if files.get(name)])
    content = bytearray(files[name])
    if random.random() < 0.5:
        place = random.randrange(len(content) // SECTOR_BYTES) * SECTOR_BYTES
        content[place : place + SECTOR_BYTES] = bytes(SECTOR_BYTES)
        return f"zeros from byte {place} of {name}", {**files, name: bytes(content)}
    start, end = (random.randrange(len(content) // PAGE_BYTES) * PAGE_BYTES for _ in range(2))
    content[end : end + PAGE_BYTES] = content[start : start + PAGE_BYTES]
    return f"page at {start} over the one at {end} of {name}", {**files, name: bytes(content)}


async def judge(original: Original, damaged: Mapping[str, bytes], folder: Path) -> str:
    """How the damage was noticed: on opening, on loading, by the scrubber; ``harmless`` when everything reads as it
    was written. Raises AssertionError for one byte that was served and is another."""
    # New files, not old ones with other bytes: SQLite shares what it knows of a file with all of a process.
    emptied(folder)
    for name, content in damaged.items():
        (folder / name).write_bytes(content)
    try:
        async with open_sqlite_store(folder / NAME, create=True, kind=KIND) as store:
            return await _judge(original, store)
    except StoreError:
        return "found on opening"


async def _judge(original: Original, store: SqliteStore) -> str:
    found = set()
    try:
        assert set(await store.documents()) == original.documents.keys(), "other documents"
        assert tuple(await store.retirements()) == original.retirements, "other retirements"
    except StoreError:
        found.add("found on opening")
    for document, expected in original.documents.items():
        found.add(await _look(store, document, expected))
    for answer in ("found on opening", "found on loading", "healed", "found by the scrubber"):
        if answer in found:
            return answer
    return "harmless"


async def _look(store: SqliteStore, document: str, expected: Loaded) -> str:
    answer = "harmless"
    try:
        loaded = await store.log(document).load()
        if loaded.healed is None:
            assert loaded == expected, f"{document} is served with other {' and '.join(differing(loaded, expected))}"
        else:
            answer = "healed"
            _check_healed(document, loaded, expected)
    except StoreError:
        answer = "found on loading"
    try:
        await store.verify(document)
    except StoreError:
        return answer if answer != "harmless" else "found by the scrubber"
    assert answer == "harmless", f"{document}: the scrubber says that it is whole, but it was {answer}"
    return answer


def differing(loaded: Loaded, expected: Loaded) -> list[str]:
    return [part.name for part in fields(Loaded) if getattr(loaded, part.name) != getattr(expected, part.name)]


def _check_healed(document: str, loaded: Loaded, expected: Loaded) -> None:
    first = 1
    if loaded.snapshot is not None:
        assert loaded.snapshot == snapshot(document, loaded.snapshot.through), f"{document} has another old snapshot"
        first += loaded.snapshot.through
    assert list(loaded.tail) == records(document, first, expected.last_seq), f"{document} has other old records"
    assert (loaded.marks, loaded.bindings) == (expected.marks, expected.bindings), f"{document} has other facts"


async def rot(folder: Path, flips: int, misplaced: int, random: Random) -> tuple[Counter[str], list[str]]:
    """Damage a closed store and one that was left open so often; how each was noticed, and what was served wrongly."""
    both = await originals(folder)
    work = emptied(folder / "damaged")
    noticed: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(flips + misplaced):
        original = both[number % 2]
        what, damaged = (flip if number < flips else misplace)(original.files, random)
        kind = "flips" if number < flips else "misplaced"
        try:
            noticed[f"{kind} {await judge(original, damaged, work)}"] += 1
        except AssertionError as error:
            wrong.append(f"{what}: {error}")
        await asyncio.sleep(0)
    return noticed, wrong
