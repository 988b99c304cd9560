"""Rule L12: what is damaged is StoreCorrupted, never fewer records, other bytes or an empty document."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crdt_sync.errors import StoreCorrupted, StoreError
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Binding, Loaded, Record
from crdt_sync.stores.wal import FRAME_HEADER_BYTES, WAL_HEADER_BYTES, frames
from tests.contracts.update_log_contract import records, snapshot

NAME = "acme.db"
PARTS = (NAME, f"{NAME}-wal", f"{NAME}.identity", f"{NAME}.lock")
FRAME_BYTES = FRAME_HEADER_BYTES + 4096
EXPECTED = {
    "inventory/2026-11": Loaded(snapshot(40), records(41, 60), {"acked": 12}),
    "inventory/2026-12": Loaded(None, (*records(1, 8), Record(bytes(range(256)) * 60, "till-2", 5)), {}),
    "metrics": Loaded(snapshot(3), (), {"acked": 3, "sent": 3}),
    "owned": Loaded(None, records(1, 3), bindings={7: Binding(7, "ada", "firm"), 8: Binding(8, "bob", "carried")}),
}


async def read_all(path: Path) -> dict[str, Loaded]:
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        return {document: await store.log(document).load() for document in await store.documents()}


async def verify_all(path: Path) -> None:
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        for document in await store.documents():
            await store.verify(document)


async def fill(path: Path, left_open: Path) -> None:
    """Make a closed store at ``path`` and, in ``left_open``, its files as a crash leaves them."""
    async with open_sqlite_store(path, create=True, kind="tenant") as store:
        log = store.log("inventory/2026-11")
        for number in range(1, 61):
            await log.append(records(number, number))
            if number in (20, 45):
                await log.compact(snapshot(20 if number == 20 else 40))
        await log.mark("acked", 12)
        for document in ("inventory/2026-12", "metrics"):
            await store.log(document).append(records(1, 8 if document == "inventory/2026-12" else 3))
        await store.log("inventory/2026-12").append([Record(bytes(range(256)) * 60, "till-2", 5)])
        owned = store.log("owned")
        await owned.append(records(1, 1), [Binding(7, "bob", "carried"), Binding(8, "bob", "carried")])
        await owned.append(records(2, 3), [Binding(7, "ada", "firm")])
        for name in ("sent", "acked"):
            await store.log("metrics").mark(name, 3)
        await store.log("metrics").compact(snapshot(3))
        left_open.mkdir()
        for part in PARTS:
            shutil.copy(path.with_name(part), left_open)


@pytest.fixture
async def closed(tmp_path: Path) -> Path:
    (tmp_path / "closed").mkdir()
    path = tmp_path / "closed" / NAME
    await fill(path, tmp_path / "left-open")
    return path


@pytest.fixture
async def left_open(closed: Path) -> Path:
    return closed.parent.parent / "left-open" / NAME


def copied(path: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part in PARTS:
        if path.with_name(part).exists():
            shutil.copy(path.with_name(part), folder)
    return folder / NAME


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def alter(path: Path, *statements: str) -> None:
    """What another program could do to the file: SQLite accepts it all."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement


def unhealed(loaded: dict[str, Loaded]) -> dict[str, Loaded]:
    return {document: one for document, one in loaded.items() if not one.healed}


async def test_L12_undamaged_stores_read_as_expected(closed: Path, left_open: Path) -> None:
    assert await read_all(closed) == EXPECTED
    await verify_all(closed)
    assert await read_all(left_open) == EXPECTED
    await verify_all(left_open)


async def test_L12_a_flipped_bit_anywhere_in_the_file_is_detected_or_harmless(closed: Path, tmp_path: Path) -> None:
    bits = closed.stat().st_size * 8
    # Fixed: a failure must come back. The first page is over-represented: it rules over all others.
    chosen = random.Random(20261120)
    positions = [chosen.randrange(bits) for _ in range(140)] + [chosen.randrange(4096 * 8) for _ in range(60)]
    detected = healed = 0
    for bit in positions:
        path = copied(closed, tmp_path / "flipped")
        flip(path, bit)
        try:
            loaded = await read_all(path)
        except StoreError:
            detected += 1
            continue
        healed += len(loaded) - len(unhealed(loaded))
        assert unhealed(loaded) == {name: EXPECTED[name] for name in unhealed(loaded)}, f"bit {bit}"
        assert {name: one.last_seq for name, one in loaded.items()} == {
            name: one.last_seq for name, one in EXPECTED.items()
        }, f"bit {bit}"
    assert detected > 30


@pytest.mark.parametrize("note_survives", [True, False])
async def test_L12_a_flipped_bit_in_the_wal_is_detected_or_harmless(
    left_open: Path, tmp_path: Path, note_survives: bool
) -> None:
    """SQLite alone forgets everything behind the flip.

    When only the process died, the note beside the file tells of every commit. After a power cut it may be an old
    one; then the last transaction can look torn (not durable), and with it one that a flip made endless."""
    wal = left_open.with_name(f"{NAME}-wal")
    seen = list(frames(wal))
    judged_frames = len(seen) if note_survives else [frame.number for frame in seen if frame.commits][-3]
    chosen = random.Random(20261120)
    detected = 0
    for _ in range(80):
        path = copied(left_open, tmp_path / "flipped")
        if not note_survives:
            path.with_name(f"{NAME}.lock").unlink()
        bit = chosen.randrange((WAL_HEADER_BYTES + judged_frames * FRAME_BYTES) * 8)
        flip(path.with_name(wal.name), bit)
        try:
            assert await read_all(path) == EXPECTED, f"bit {bit}"
        except StoreError:
            detected += 1
    assert detected > 70


async def test_L12_a_wal_that_lost_its_last_transactions_is_detected_when_only_the_process_died(
    left_open: Path,
) -> None:
    wal = left_open.with_name(f"{NAME}-wal")
    commits = [frame.number for frame in frames(wal) if frame.commits]
    with wal.open("r+b") as file:
        file.truncate(WAL_HEADER_BYTES + commits[-2] * FRAME_BYTES)
    for _ in range(2):
        with pytest.raises(StoreCorrupted, match="last durable commits are missing"):
            await read_all(left_open)


async def test_L3_a_wal_whose_last_transaction_was_torn_opens_without_it(left_open: Path) -> None:
    wal = left_open.with_name(f"{NAME}-wal")
    commits = [frame.number for frame in frames(wal) if frame.commits]
    left_open.with_name(f"{NAME}.lock").unlink()
    # Cut inside the last transaction, as a power cut before its fsync does; it was the compaction of metrics.
    with wal.open("r+b") as file:
        file.truncate(WAL_HEADER_BYTES + (commits[-1] - 1) * FRAME_BYTES + 100)
    assert (await read_all(left_open))["metrics"] == Loaded(None, records(1, 3), {"acked": 3, "sent": 3})


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM records WHERE document = 1 AND seq = 50", "record 50 is missing"),
        ("DELETE FROM records WHERE document = 1 AND seq = 41", "record 41 is missing"),
        ("DELETE FROM records WHERE document = 1 AND seq = 60", "ends at record 59, but 60 was durable"),
        ("DELETE FROM records WHERE document = 2", "ends at record 0, but 9 was durable"),
        ("UPDATE records SET payload = x'00' WHERE document = 1 AND seq = 55", "record 55 does not match"),
        ("UPDATE records SET author = 'mallory' WHERE document = 1 AND seq = 55", "record 55 does not match"),
        ("UPDATE records SET at_ms = at_ms + 1 WHERE document = 1 AND seq = 55", "record 55 does not match"),
        ("UPDATE records SET link = zeroblob(16) WHERE document = 1 AND seq = 55", "record 55 does not match"),
        ("UPDATE heads SET last_seq = 59 WHERE id = 1", "head"),
        ("UPDATE heads SET marks = '{\"acked\":99}' WHERE id = 1", "head"),
        ("UPDATE heads SET name = 'another' WHERE id = 1", "head"),
        ("DELETE FROM heads WHERE id = 1", "3 heads of documents are there, not 4"),
        ("DELETE FROM owners WHERE number = 1", "owner 1 of a client id is missing"),
        ("DELETE FROM owners WHERE number = 3", "2 owners of client ids are there, but 3 were durable"),
        ("DELETE FROM owners", "0 owners of client ids are there, but 3 were durable"),
        ("UPDATE owners SET subject = 'mallory' WHERE number = 3", "owner 3 of a client id does not match"),
        ("UPDATE owners SET client = 9 WHERE number = 2", "owner 2 of a client id does not match"),
        ("UPDATE owners SET how = 'firm' WHERE number = 2", "owner 2 of a client id does not match"),
        ("INSERT INTO owners SELECT document, 4, client, subject, how, link FROM owners WHERE number = 3", "owner 4"),
        ("UPDATE heads SET owners = 2 WHERE name = 'owned'", "head"),
        ("UPDATE heads SET owners_link = x'00' WHERE name = 'metrics'", "head"),
        ("UPDATE meta SET value = '5' WHERE name = 'documents'", "meta row b'documents'"),
        ("DELETE FROM meta WHERE name = 'kind'", "meta rows are missing: kind"),
        ("UPDATE meta SET value = '1' || value WHERE name = 'identity'", "which should be there"),
        ("INSERT INTO records SELECT 1, 61, author, at_ms, payload, link FROM records WHERE seq = 60", "record 61"),
    ],
)
async def test_L12_a_row_that_was_changed_or_is_missing_names_its_place(
    closed: Path, statement: str, place: str
) -> None:
    with closing(sqlite3.connect(closed)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
    alter(closed, statement)
    with pytest.raises(StoreCorrupted, match=place) as caught:
        await read_all(closed)
    assert NAME in str(caught.value)


async def test_L12_swapped_records_are_detected(closed: Path) -> None:
    alter(
        closed,
        "UPDATE records SET seq = 1000 WHERE document = 1 AND seq = 50",
        "UPDATE records SET seq = 50 WHERE document = 1 AND seq = 51",
        "UPDATE records SET seq = 51 WHERE document = 1 AND seq = 1000",
    )
    with pytest.raises(StoreCorrupted, match="'inventory/2026-11': record 50 does not match"):
        await read_all(closed)


async def test_L12_damage_in_one_document_leaves_the_others_usable(closed: Path) -> None:
    alter(closed, "UPDATE heads SET last_seq = 59 WHERE id = 1", "DELETE FROM records WHERE document = 2 AND seq = 9")
    async with open_sqlite_store(closed, create=False, kind="tenant") as store:
        assert await store.log("metrics").load() == EXPECTED["metrics"]
        assert await store.log("metrics").append(records(4, 4)) == 4
        for document in ("inventory/2026-11", "never-written-or-lost"):
            with pytest.raises(StoreCorrupted):
                await store.log(document).load()
            with pytest.raises(StoreCorrupted):
                await store.log(document).append(records(1, 1))
        with pytest.raises(StoreCorrupted, match="ends at record 8, but 9 was durable"):
            await store.log("inventory/2026-12").load()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshots SET state = x'00' WHERE document = 1 AND through = 40",
        "UPDATE snapshots SET ledger = x'00' WHERE document = 1 AND through = 40",
        "UPDATE snapshots SET link = zeroblob(16) WHERE document = 1 AND through = 40",
        "UPDATE snapshots SET seal = zeroblob(16) WHERE document = 1 AND through = 40",
        "DELETE FROM snapshots WHERE document = 1 AND through = 40",
    ],
)
async def test_L12_a_damaged_current_snapshot_heals_from_the_previous_one(closed: Path, statement: str) -> None:
    alter(closed, statement)
    async with open_sqlite_store(closed, create=False, kind="tenant") as store:
        log = store.log("inventory/2026-11")
        healed = await log.load()
        assert (healed.snapshot, healed.tail, healed.last_seq) == (snapshot(20), records(21, 60), 60)
        assert healed.healed is not None
        assert "snapshot through 40" in healed.healed
        with pytest.raises(StoreCorrupted, match="snapshot through 40"):
            await store.verify("inventory/2026-11")
        # What it fell back to stays until a sound snapshot has taken its place for a whole round.
        await log.compact(snapshot(50))
        await store.verify("inventory/2026-11")
        assert await log.load() == Loaded(snapshot(50), records(51, 60), {"acked": 12})
        await store._writer.run(lambda writer: writer.execute("DELETE FROM snapshots WHERE through = 50"))
        assert (await log.load()).snapshot == snapshot(20)


async def test_L12_a_first_snapshot_heals_from_the_whole_log(closed: Path) -> None:
    alter(closed, "DELETE FROM snapshots WHERE document = 3")
    async with open_sqlite_store(closed, create=False, kind="tenant") as store:
        log = store.log("metrics")
        healed = await log.load()
        assert (healed.snapshot, healed.tail, healed.marks) == (None, records(1, 3), EXPECTED["metrics"].marks)
        await log.compact(snapshot(3))
        assert await log.load() == EXPECTED["metrics"]
        await store.verify("metrics")


async def test_L12_compaction_refuses_to_replace_a_log_that_is_damaged(closed: Path) -> None:
    alter(closed, "UPDATE records SET payload = x'00' WHERE document = 1 AND seq = 45")
    async with open_sqlite_store(closed, create=False, kind="tenant") as store:
        with pytest.raises(StoreCorrupted, match="record 45"):
            await store.log("inventory/2026-11").compact(snapshot(60))


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE records SET payload = x'00' WHERE document = 1 AND seq = 30", "record 30 does not match"),
        ("UPDATE snapshots SET state = x'00' WHERE document = 1 AND through = 20", "snapshot through 20"),
        ("INSERT INTO records VALUES (1, 7, '', 0, x'00', x'00')", "1 records and 0 snapshots too many"),
    ],
)
async def test_L12_verify_also_reads_what_load_does_not_need(closed: Path, statement: str, place: str) -> None:
    alter(closed, statement)
    assert await read_all(closed) == EXPECTED
    with pytest.raises(StoreCorrupted, match=place):
        await verify_all(closed)


@pytest.mark.parametrize("part", [NAME, f"{NAME}.identity"])
async def test_L12_a_file_that_has_gone_is_not_made_again(closed: Path, part: str) -> None:
    closed.with_name(part).unlink()
    for _ in range(2):
        with pytest.raises(StoreCorrupted, match="has gone"):
            await read_all(closed)


@pytest.mark.parametrize("bytes_left", [0, 100, 4096, 12_000])
async def test_L12_a_truncated_file_is_detected(closed: Path, bytes_left: int) -> None:
    assert closed.stat().st_size > 12_000
    with closed.open("r+b") as file:
        file.truncate(bytes_left)
    with pytest.raises(StoreCorrupted):
        await verify_all(closed)


@pytest.mark.parametrize("bytes_left", [None, 0, WAL_HEADER_BYTES])
async def test_L12_a_store_left_open_that_lost_its_wal_is_detected(left_open: Path, bytes_left: int | None) -> None:
    wal = left_open.with_name(f"{NAME}-wal")
    wal.write_bytes(wal.read_bytes()[:bytes_left]) if bytes_left is not None else wal.unlink()
    for _ in range(2):
        with pytest.raises(StoreCorrupted, match="last commits of a store left open"):
            await read_all(left_open)


async def test_L12_a_file_of_another_store_is_not_taken_for_ours(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / NAME
    async with open_sqlite_store(other, create=True, kind="tenant") as store:
        await store.log("metrics").append(records(1, 3))
    shutil.copy(other, closed)
    with pytest.raises(StoreCorrupted, match="which should be there"):
        await read_all(closed)


async def test_L12_a_damaged_sidecar_is_detected(closed: Path) -> None:
    sidecar = closed.with_name(f"{NAME}.identity")
    whole = sidecar.read_bytes()
    for bit in range(0, len(whole) * 8, 7):
        sidecar.write_bytes(whole)
        flip(sidecar, bit)
        with pytest.raises(StoreCorrupted):
            await read_all(closed)


async def test_L14_a_wal_removed_while_the_store_is_open_stops_it(closed: Path) -> None:
    with pytest.raises(StoreCorrupted, match="removed while the store was open"):  # noqa: PT012
        async with open_sqlite_store(closed, create=False, kind="tenant") as store:
            closed.with_name(f"{NAME}-wal").unlink()
            await store.log("metrics").append(records(4, 4))
    assert isinstance(store.failure, StoreCorrupted)
