"""P1, P2, P4 at a real relay: kills, failing syncs, a full disk, files that are gone, and a wall clock that jumps."""

from __future__ import annotations

import errno
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from crdt_sync.protocol.messages import NewUpdate
from tests.faults.relays import kill_relays, relay_under
from tests.faults.shim import Action, Op, Shim
from tests.integration.raw_member import Author, RawMember, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually
from tests.integration.test_bad_days import refusal, write_two_documents

SEED = 20261120
KILLS = 10


@pytest.fixture
def shim(library: Path, scratch: Path) -> Shim:
    return Shim(library, scratch / "data", scratch / "words")


async def test_P2_no_kill_of_a_relay_loses_what_was_acked_or_seen(shim: Shim, scratch: Path) -> None:
    toll = await kill_relays(shim, scratch / "relay", KILLS, Random(SEED))
    print(toll)
    assert toll.lost == []
    assert toll.tried == KILLS
    assert min(toll.acks, toll.seen) > 10 * KILLS


async def write_until_refused(
    member: RawMember, author: Author, prefix: str
) -> tuple[set[str], tuple[int | None, str]]:
    """Write until the relay takes no more: the keys that it acknowledged, close code and reason."""
    number = 0
    while not member.has_ended:
        await member.say(NewUpdate(author.put(f"{prefix}{number}", "x" * 500)))
        number += 1
        await member.hears(lambda n=number: member.acked == n or member.has_ended)  # type: ignore[misc]
    code, reason = await member.closed()
    return {f"{prefix}{n}" for n in range(member.acked)}, (code, reason or "")


@pytest.mark.parametrize("action", [Action.FAIL_ONCE, Action.FAIL_ALWAYS])
async def test_P4_after_a_failed_sync_nothing_is_acked_until_the_disk_was_read_again(
    shim: Shim, scratch: Path, action: Action
) -> None:
    async with relay_under(shim, scratch / "relay") as relay:
        async with open_raw(relay, "page", is_peer=True) as writer, open_raw(relay, "page") as witness:
            await writer.join()
            await witness.join()
            shim.arm(action, after=9, ops=Op.SYNC, errno=errno.EIO)
            acked, (code, reason) = await write_until_refused(writer, Author(), "before")
            assert shim.fired
            assert (code, reason.partition(": ")[0]) == (1012, "store-unavailable")
            assert (await witness.closed())[0] == 1012
            assert set(witness.content()) <= acked
        assert len(acked) >= 3
        status, body = await relay.readiness()
        assert status == 503
        assert "disk I/O error" in body["reasons"]["tenant acme"]
        if action == Action.FAIL_ALWAYS:
            assert (await refusal(relay, "/ws/acme/page"))[:2] == (503, "store-unavailable")
            shim.disarm()
        assert acked - set(await content_of(relay, "page")) == set()
        await eventually(relay.readiness, lambda seen: seen[0] == 200)
        async with open_raw(relay, "page", is_peer=True) as writer:
            await writer.join()
            await writer.save(Author().put("after", True))
        assert await relay.stop() == 0


async def test_P4_on_a_full_disk_reading_goes_on_and_writing_comes_back_by_itself(shim: Shim, scratch: Path) -> None:
    async with relay_under(shim, scratch / "relay") as relay:
        author = Author()
        async with open_raw(relay, "page", is_peer=True) as writer:
            await writer.join()
            shim.arm(Action.FAIL_ALWAYS, after=30, ops=Op.WRITE | Op.CREATE, errno=errno.ENOSPC)
            acked, (code, reason) = await write_until_refused(writer, author, "before")
        assert (code, reason.partition(": ")[0]) == (1012, "store-unavailable")
        assert acked
        assert (await relay.readiness())[0] == 503
        found = set(await content_of(relay, "page"))
        assert acked <= found
        async with open_raw(relay, "page", is_peer=True) as writer:
            await writer.join()
            none, (code, reason) = await write_until_refused(writer, Author(), "meanwhile")
            assert (none, code) == (set(), 1012)
        shim.disarm()
        async with open_raw(relay, "page", is_peer=True) as writer:
            await writer.join()
            await writer.save(author.doc.get_update())
        assert set(await content_of(relay, "page")) == set(author.root.to_py() or {})
        assert await relay.stop() == 0
        assert (await relay.run_command("verify")).returncode == 0


def of_another_tenant(file: Path) -> None:
    shutil.copy(file.with_name("globex.db"), file)


def of_another_program(file: Path) -> None:
    file.write_bytes(b"%PDF-1.7\n" + bytes(8_000))


def without_its_wal(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink()


def with_a_foreign_wal(file: Path) -> None:
    shutil.copy(file.with_name("globex.db-wal"), file.with_name(f"{file.name}-wal"))


@pytest.mark.parametrize(
    ("become", "is_killed"),
    [
        (of_another_tenant, False),
        (of_another_program, True),
        (without_its_wal, True),
        (with_a_foreign_wal, True),
    ],
)
async def test_P4_files_that_are_not_what_they_were_are_never_an_empty_document(
    tmp_path: Path, become: Callable[[Path], None], is_killed: bool
) -> None:
    """Files that are gone or empty: tests/integration/test_bad_days.py."""
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        await write_two_documents(relay)
        async with open_raw(relay, "page", tenant="globex", is_peer=True) as writer:
            await writer.join()
            await writer.save(Author().put("k", "of globex"))
        await relay.stop(signal.SIGKILL if is_killed else signal.SIGTERM)
        become(relay.data / "tenants" / "acme.db")
        await relay.start()
        for _ in range(2):
            status, title, detail = await refusal(relay, "/ws/acme/whole")
            assert (status, title) == (500, "store-corrupted")
            assert "acme.db" in detail
        status, body = await relay.readiness()
        assert (status, "acme.db" in body["reasons"]["tenant acme"]) == (503, True)
        assert await content_of(relay, "page", tenant="globex") == {"k": "of globex"}
