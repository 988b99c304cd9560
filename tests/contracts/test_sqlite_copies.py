"""Copies of a store that is being written to, and stores that are made of a copy."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from crdt_sync.errors import DocumentRetired, StoreCorrupted, StoreError
from crdt_sync.stores.copying import Contents, check_copy, copy_store
from crdt_sync.stores.custody import Sidecar, beside, read_sidecar
from crdt_sync.stores.resealing import reseal_store
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Binding, Loaded, Record
from tests.contracts.test_sqlite_crashes import DOCUMENTS, child, payload
from tests.contracts.update_log_contract import records, snapshot

FRESH = "ab" * 16
FLIPS = 60


async def copied(path: Path, target: Path) -> Contents:
    identity = await copy_store(path, target, kind="tenant")
    return await check_copy(target, identity, kind="tenant")


async def became_a_store(copy: Path, identity: str) -> Path:
    """A store of its own, made of the copy."""
    store = copy.with_name("restored.db")
    shutil.copy(copy, store)
    await reseal_store(store, identity, FRESH, progress=lambda *_: None)
    return store


async def fill(path: Path) -> dict[str, Loaded]:
    """A store with every kind of row: logs, one and two snapshots, marks, a document that has ended."""
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        await store.log("a").append(records(1, 2_500))
        await store.log("b").append(records(1, 60))
        await store.log("b").compact(snapshot(20))
        await store.log("b").compact(snapshot(40))
        await store.log("b").mark("acked", 12)
        await store.log("c").append(records(1, 2), [Binding(7, "ada", "firm"), Binding(8, "bob", "carried")])
        await store.log("c").append(records(3, 3), [Binding(8, "bob", "firm")])
        await store.log("c").compact(snapshot(3))
        await store.log("d").append([Record(b"forget me" * 1_000)])
        await store.retire("d", "asked for", 7, "e")
        await store.log("f").append([Record(bytes(range(256)) * 60, "till-2", 5)])
        return {name: await store.log(name).load() for name in await store.documents()}


async def contents_of(path: Path) -> dict[str, Loaded]:
    async with open_sqlite_store(path, create=False, kind="tenant") as store:
        for name in await store.documents():
            await store.verify(name)
        return {name: await store.log(name).load() for name in await store.documents()}


def loosened(contents: dict[str, Loaded]) -> dict[str, Loaded]:
    """The same with every binding as a copy takes it: who wrote since is not known there."""
    return {
        name: replace(one, bindings={key: replace(bound, how="carried") for key, bound in one.bindings.items()})
        for name, one in contents.items()
    }


async def test_L3_a_copy_made_under_writes_has_what_was_acknowledged_and_is_whole(tmp_path: Path) -> None:
    path, rounds = tmp_path / "acme.db", 8
    with child("append", str(path)) as process:
        assert process.stdout is not None
        acked: dict[str, int] = {}
        contents = Contents("", {}, [])
        for number in range(rounds):
            for _ in range(40):
                document, *compaction, seq = process.stdout.readline().split()
                if not compaction:
                    acked[document] = int(seq)
            contents = await copied(path, tmp_path / f"copy-{number}.db")
            assert {name: contents.documents[name].last_seq >= seq for name, seq in acked.items()} == dict.fromkeys(
                acked, True
            )
        assert process.poll() is None, "the writer was disturbed"
    assert set(acked) == set(DOCUMENTS)
    store = await became_a_store(tmp_path / f"copy-{rounds - 1}.db", contents.identity)
    for document, loaded in (await contents_of(store)).items():
        first = 1 + (loaded.snapshot.through if loaded.snapshot else 0)
        assert list(loaded.tail) == [
            Record(payload(document, seq), "child", seq) for seq in range(first, loaded.last_seq + 1)
        ]
        assert loaded.last_seq == contents.documents[document].last_seq
    # The store that was copied goes on as if nothing had been.
    assert {name: loaded.last_seq >= acked[name] for name, loaded in (await contents_of(path)).items()}


async def test_a_long_copy_is_not_begun_anew_by_writes(tmp_path: Path) -> None:
    path, steps = tmp_path / "acme.db", list[tuple[int, int]]()
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        await store.log("large").append([Record(bytes(1 << 20))] * 40)
    with child("append", str(path)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = await copy_store(
            path, tmp_path / "copy.db", kind="tenant", progress=lambda *step: steps.append(step)
        )
    assert len(steps) >= 10
    assert steps == sorted(steps)
    assert (await check_copy(tmp_path / "copy.db", identity, kind="tenant")).documents["large"].last_seq == 40


async def test_a_copy_leaves_nothing_beside_it_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "acme.db"
    expected = await fill(path)
    folder = tmp_path / "copies"
    folder.mkdir()
    contents = await copied(path, folder / "acme.db")
    assert [file.name for file in folder.iterdir()] == ["acme.db"]
    assert {name: standing.last_seq for name, standing in contents.documents.items()} == {
        name: loaded.last_seq for name, loaded in expected.items()
    }
    assert contents.retired == ["d"]
    assert await contents_of(path) == expected


async def test_a_store_left_open_by_a_crash_is_copied_with_what_its_wal_holds(tmp_path: Path) -> None:
    path = tmp_path / "acme.db"
    with child("append", str(path)) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(50)]
        process.kill()
    contents = await copied(path, tmp_path / "copy.db")
    for line in seen:
        document, *_, seq = line.split()
        assert contents.documents[document].last_seq >= int(seq)


async def test_L12_a_damaged_store_is_not_copied_as_if_it_were_whole(tmp_path: Path) -> None:
    path = tmp_path / "acme.db"
    await fill(path)
    data = bytearray(path.read_bytes())
    data[data.index(bytes(range(256))) + 100] ^= 4
    path.write_bytes(data)
    with pytest.raises(StoreCorrupted, match="document 'f'"):
        await copied(path, tmp_path / "copy.db")


async def test_a_store_made_of_a_copy_says_the_same_under_an_identity_of_its_own(tmp_path: Path) -> None:
    path, copy = tmp_path / "acme.db", tmp_path / "copy.db"
    expected = await fill(path)
    contents = await copied(path, copy)
    store = await became_a_store(copy, contents.identity)
    assert read_sidecar(store) == Sidecar(FRESH, "closed")
    assert expected["c"].bindings[8].how == "firm"
    assert await contents_of(store) == loosened(expected)
    async with open_sqlite_store(store, create=False, kind="tenant") as opened:
        assert opened.identity == FRESH
        with pytest.raises(DocumentRetired):
            await opened.log("d").load()
        assert [note.successor for note in await opened.retirements()] == ["e"]
        # It goes on like any other: the chain, both snapshots and the numbers fit.
        assert await opened.log("b").append(records(61, 61)) == 61
        await opened.log("b").compact(snapshot(61))
        await opened.verify("b")
        assert (await opened.log("b").load_from_previous()).last_seq == 61


async def test_L12_no_page_of_the_store_that_was_copied_passes_in_the_one_made_of_it(tmp_path: Path) -> None:
    path, copy = tmp_path / "acme.db", tmp_path / "copy.db"
    await fill(path)
    contents = await copied(path, copy)
    store = await became_a_store(copy, contents.identity)
    sidecar = beside(store, ".identity").read_text()
    shutil.copy(copy, store)
    assert FRESH in sidecar
    with pytest.raises(StoreCorrupted):
        await contents_of(store)


async def test_L12_a_flipped_bit_in_a_row_of_a_copy_is_found_before_a_store_is_made_of_it(tmp_path: Path) -> None:
    path, copy = tmp_path / "acme.db", tmp_path / "copy.db"
    expected = await fill(path)
    contents = await copied(path, copy)
    whole, chosen, found = copy.read_bytes(), random.Random(20261120), 0
    for _ in range(FLIPS):
        damaged = bytearray(whole)
        place = chosen.randrange(len(damaged))
        damaged[place] ^= 1 << chosen.randrange(8)
        copy.write_bytes(damaged)
        try:
            store = await became_a_store(copy, contents.identity)
            assert loosened(await contents_of(store)) == loosened(expected)
        except StoreError:
            found += 1
        for suffix in ("", "-wal", "-shm", ".identity", ".lock"):
            beside(tmp_path / "restored.db", suffix).unlink(missing_ok=True)
    assert found > FLIPS // 2
