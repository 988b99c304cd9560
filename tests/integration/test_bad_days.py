"""A full disk, a damaged file: the relay stops promising, says so, and what it promised is still there."""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from crdt_sync.errors import NotSynced
from crdt_sync.peer import OfflinePeer
from crdt_sync.protocol.messages import NewUpdate
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import DEADLINE_S, RelayProcess, eventually

FILE_BYTES_MAX = 600_000
_BOUND_AND_RUN = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
os.execv(sys.argv[2], sys.argv[2:])
"""
SMALL_DISK = (sys.executable, "-c", _BOUND_AND_RUN, str(FILE_BYTES_MAX))
"""Starts the relay with a bound on the size of its files: the writes that a full disk would refuse are refused."""


async def refusal(relay: RelayProcess, path: str) -> tuple[int, str, str]:
    """Status, problem and sentence of a WebSocket that is refused before the upgrade."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            relay.ws + path, additional_headers={"Authorization": f"Bearer {relay.token()}"}, open_timeout=DEADLINE_S
        )
    problem = json.loads(caught.value.response.body or b"")
    return caught.value.response.status_code, problem["title"], problem["detail"]


async def fill_the_disk(relay: RelayProcess, author: Author) -> set[str]:
    """Write until the relay takes no more; the keys that it acknowledged."""
    async with open_raw(relay, "page", is_peer=True) as writer, open_raw(relay, "page") as witness:
        await writer.join()
        await witness.join()
        number = 0
        while writer.socket.close_code is None:
            update = author.put(f"k{number}", "x" * 20_000)
            number += 1
            with suppress(ConnectionClosed):
                await writer.say(NewUpdate(update))
            await writer.hears(lambda n=number: writer.acked == n or writer.has_ended)  # type: ignore[misc]
        code, reason = await writer.closed()
        assert code == 1012
        assert reason is not None
        assert reason.startswith("store-unavailable: ")
        assert (await witness.closed())[0] == 1012
        assert set(witness.content()) <= {f"k{n}" for n in range(writer.acked)}
        return {f"k{n}" for n in range(writer.acked)}


async def test_P4_a_full_disk_stops_the_room_and_it_goes_on_once_there_is_space(tmp_path: Path) -> None:
    author = Author()
    async with RelayProcess(tmp_path, wrapper=SMALL_DISK, free_space_bytes_min=0) as relay:
        acked = await fill_the_disk(relay, author)
        assert acked
        status, body = await relay.readiness()
        assert status == 503
        assert "room acme/page" in body["reasons"] or "tenant acme" in body["reasons"]
        assert "room stopped" in relay.log
        resource.prlimit(relay.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        async def found() -> set[str]:
            return set(await content_of(relay, "page"))

        assert acked - await found() == set()
        async with open_raw(relay, "page", is_peer=True) as writer:
            await writer.join()
            await writer.say(NewUpdate(author.doc.get_update()))
            await writer.hears(lambda: writer.acked == 1)
        assert await found() == set(author.root.to_py() or {})
        assert await relay.readiness() == (200, {"status": "ready", "rooms": 1, "steward": "off"})
        assert await relay.stop() == 0
        assert (await relay.run_command("verify")).returncode == 0


async def test_a_kill_on_a_full_disk_loses_nothing_either(tmp_path: Path) -> None:
    author = Author()
    async with RelayProcess(tmp_path, wrapper=SMALL_DISK, free_space_bytes_min=0) as relay:
        acked = await fill_the_disk(relay, author)
        await relay.kill()
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        assert acked - set(await content_of(relay, "page")) == set()


async def test_too_little_free_space_is_said_before_anybody_writes(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=1 << 60) as relay:
        status, body = await relay.readiness()
        assert status == 503
        assert f"less than free_space_bytes_min = {1 << 60}" in body["reasons"]["disk"]
        for path in ("/ws/acme/page", "/sync/acme"):
            status, title, detail = await refusal(relay, path)
            assert (status, title) == (503, "store-unavailable")
            assert "bytes are free in" in detail
        assert (await relay.get("/live"))[0] == 200
        await relay.kill()
        await relay.start(free_space_bytes_min=0)
        assert (await relay.readiness())[0] == 200
        assert await content_of(relay, "page") == {}


async def write_two_documents(relay: RelayProcess) -> None:
    for document in ("whole", "damaged"):
        author = Author()
        async with open_raw(relay, document, is_peer=True) as writer:
            await writer.join()
            for number in range(5):
                await writer.save(author.put("k", f"{document} number {number}"))


async def test_P4_a_damaged_row_closes_its_room_and_no_other(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        await write_two_documents(relay)
        assert await relay.stop() == 0
        file = relay.data / "tenants" / "acme.db"
        content = bytearray(file.read_bytes())
        place = content.index(b"damaged number 2")
        content[place] ^= 1
        file.write_bytes(content)

        verified = await relay.run_command("verify")
        assert verified.returncode == 1
        [line] = [line for line in verified.stdout.splitlines() if line.startswith("DAMAGED")]
        assert "acme/damaged" in line
        assert "3" in line.partition("acme/damaged")[2], "the row"
        assert "ok       acme/whole" in verified.stdout

        await relay.start()
        status, title, detail = await refusal(relay, "/ws/acme/damaged")
        assert (status, title) == (500, "store-corrupted")
        assert "damaged" in detail
        async with open_raw(relay, "damaged", is_peer=True) as peer:
            await peer.send(b"\x07damaged\x00\x00\x01\x00")
            code, reason = await peer.closed()
            assert code == 1011
            assert reason is not None
            assert reason.startswith("store-corrupted: ")
        status, body = await relay.readiness()
        assert status == 503
        assert "room acme/damaged" in body["reasons"]
        assert await content_of(relay, "whole") == {"k": "whole number 4"}
        async with open_raw(relay, "whole", is_peer=True) as writer:
            await writer.join()
            await writer.save(Author().put("after", True))
        assert await content_of(relay, "whole") == {"k": "whole number 4", "after": True}


async def test_a_damaged_room_does_not_end_the_sync_of_a_peers_other_documents_unsaid(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        options = {"tenant": "acme", "relay": relay.ws, "token": relay.token()}
        async with OfflinePeer.open(tmp_path / "till.db", name="till", **options) as till:  # type: ignore[arg-type]
            async with till.edit(period="2026-11") as docs:
                docs.inventory.add_product("a very peculiar product")
            await till.sync()
            assert await relay.stop() == 0
            file = relay.data / "tenants" / "acme.db"
            content = file.read_bytes()
            file.write_bytes(content.replace(b"peculiar", b"Peculiar"))
            await relay.start()
            async with till.edit(period="2026-11") as docs:
                docs.inventory.add_product("tea")
            with pytest.raises(NotSynced, match="1011 store-corrupted"):
                await till.sync()
            assert till.status().unsynced == 1


@pytest.mark.parametrize("loss", ["the file", "its content", "its identity"])
async def test_a_store_that_is_gone_is_never_taken_for_an_empty_one(tmp_path: Path, loss: str) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        await write_two_documents(relay)
        assert await relay.stop() == 0
        file = relay.data / "tenants" / "acme.db"
        match loss:
            case "the file":
                file.unlink()
            case "its content":
                file.write_bytes(b"")
            case _:
                file.with_name("acme.db.identity").unlink()
        await relay.start()
        assert (await refusal(relay, "/ws/acme/whole"))[:2] == (500, "store-corrupted")
        status, body = await relay.readiness()
        assert status == 503
        assert "tenant acme" in body["reasons"]
        assert await content_of(relay, "page", tenant="globex") == {}
        assert (await relay.run_command("verify", "--tenant", "acme")).returncode != 0


async def test_ready_says_what_failed_until_it_works_again(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        await write_two_documents(relay)
        assert await relay.stop() == 0
        file = relay.data / "tenants" / "acme.db"
        whole = file.read_bytes()
        file.write_bytes(whole.replace(b"damaged number 2", b"damaged number 7"))
        await relay.start()
        assert (await refusal(relay, "/ws/acme/damaged"))[0] == 500
        assert (await relay.readiness())[0] == 503
        assert await relay.stop() == 0
        file.write_bytes(whole)
        await relay.start()
        assert await content_of(relay, "damaged") == {"k": "damaged number 4"}
        await eventually(relay.readiness, lambda seen: seen[0] == 200)
