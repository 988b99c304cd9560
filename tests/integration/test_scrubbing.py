"""P35 at a real relay: damage under a room that is in use is found, told, and not served."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually

BEFORE, AFTER = b"damaged number 2", b"damaged number 7"


def damage(folder: Path, before: bytes, after: bytes) -> int:
    """Change bytes in a store's files, under a relay that has them open; how many places there were."""
    places = 0
    for path in folder.glob("*.db*"):
        content = path.read_bytes()
        place = content.find(before)
        with open(path, "r+b") as file:
            while place >= 0:
                os.pwrite(file.fileno(), after, place)
                places += 1
                place = content.find(before, place + 1)
    return places


async def write(relay: RelayProcess, document: str, count: int) -> None:
    author = Author()
    async with open_raw(relay, document, is_peer=True) as writer:
        await writer.join()
        for number in range(count):
            await writer.save(author.put(f"k{number}", f"{document} number {number}"))


async def test_P35_a_room_whose_log_has_rotted_under_it_is_ended(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0, scrub_interval_s=0.2) as relay:
        for document in ("whole", "damaged"):
            await write(relay, document, 5)
        async with open_raw(relay, "damaged") as member, open_raw(relay, "whole") as other:
            await member.join()
            await other.join()
            await eventually(lambda: relay.meter("scrub_passes_total"), lambda passes: passes > 1)
            assert damage(relay.data / "tenants", BEFORE, AFTER)
            code, reason = await member.closed()
            assert code == 1011
            assert reason is not None
            assert reason.startswith("store-corrupted: ")
            assert not other.has_ended
        _, body = await eventually(relay.readiness, lambda seen: seen[0] == 503)
        assert "does not match its checksum" in body["reasons"]["room acme/damaged"]
        assert list(body["reasons"]) == ["room acme/damaged"]
        assert await content_of(relay, "whole") == {f"k{n}": f"whole number {n}" for n in range(5)}
        assert await relay.meter('damage_found_total{readable="no"}') >= 1
        assert "damage found" in relay.log
        async with open_raw(relay, "damaged", is_peer=True) as peer:
            await peer.send(b"\x07damaged\x00\x00\x01\x00")
            assert (await peer.closed())[0] == 1011


async def test_P35_damage_to_a_spare_copy_is_told_and_ends_no_room(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0, scrub_interval_s=0.2, compact_log_records_max=4) as relay:
        await write(relay, "damaged", 20)
        await eventually(lambda: relay.meter("compactions_total"), lambda count: count >= 2)
        assert await relay.stop() == 0
        assert damage_what_the_snapshot_holds(relay.data / "tenants" / "acme.db")
        await relay.start()
        _, body = await eventually(relay.readiness, lambda seen: "at_risk" in seen[1])
        assert body["status"] == "ready"
        assert list(body["at_risk"]) == ["room acme/damaged"]
        assert await content_of(relay, "damaged") == {f"k{n}": f"damaged number {n}" for n in range(20)}
        assert await relay.meter('damage_found_total{readable="yes"}') >= 1
        async with open_raw(relay, "damaged", is_peer=True) as writer:
            await writer.join()
            await writer.save(Author().put("after", True))


def damage_what_the_snapshot_holds(path: Path) -> int:
    """Records that are kept only for the case that the current snapshot is damaged; how many."""
    with closing(sqlite3.connect(path)) as connection, connection:
        statement = "UPDATE records SET payload = x'00' WHERE seq <= (SELECT max(through) FROM snapshots)"
        return connection.execute(statement).rowcount
