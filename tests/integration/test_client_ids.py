"""P33 over real sockets: what hostile members try with the client ids of others, and what honest ones carry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.errors import NotSynced
from crdt_sync.peer import OfflinePeer
from crdt_sync.protocol import wire
from crdt_sync.protocol.messages import NewUpdate, Presence, PresenceEntry, StateReply, StateRequest
from crdt_sync.updates.encode import write_entries
from tests.integration.raw_member import Author, RawMember, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually
from tests.integration.test_backups import backed_up, restored

VICTIM = 7
DOCUMENT = "notes"

Attack = Callable[[RawMember, RawMember], Awaitable[None]]


def forged(clock: int, client: int = VICTIM) -> bytes:
    return write_entries(client, clock, "m", {"forged": clock})


def burnt(clock: int, client: int = VICTIM) -> bytes:
    """A collected range, as long as an update may move a clock and nobody notices by its size."""
    return b"\x01\x01" + wire.uint(client) + wire.uint(clock) + b"\x00" + wire.uint(50_000) + b"\x00"


async def spoof(_victim: RawMember, villain: RawMember) -> None:
    await villain.say(NewUpdate(forged(2)))


async def burn(_victim: RawMember, villain: RawMember) -> None:
    await villain.say(NewUpdate(burnt(2)))


async def spoof_in_an_answer(_victim: RawMember, villain: RawMember) -> None:
    await villain.say(StateReply(forged(2)))


async def burn_in_an_answer(_victim: RawMember, villain: RawMember) -> None:
    await villain.say(StateReply(burnt(2)))


async def pre_empt(victim: RawMember, villain: RawMember) -> None:
    """F14: the id is seen in presence before its owner has written."""
    await announce(victim, villain, 70)
    await villain.say(NewUpdate(forged(0, 70)))


async def pre_empt_in_an_answer(victim: RawMember, villain: RawMember) -> None:
    await announce(victim, villain, 70)
    await villain.say(StateReply(forged(0, 70)))


async def announce(victim: RawMember, villain: RawMember, client: int) -> None:
    ada = Presence((PresenceEntry(client, 5, '{"name":"Ada"}'),))
    await victim.say(ada)
    await villain.hears(lambda: ada in villain.heard)


PLAIN: dict[str, Attack] = {"spoof": spoof, "burn": burn, "pre-empt": pre_empt}
ANSWERS: dict[str, Attack] = {
    "spoof in an answer": spoof_in_an_answer,
    "burn in an answer": burn_in_an_answer,
    "pre-empt in an answer": pre_empt_in_an_answer,
}


@asynccontextmanager
async def opened(folder: Path, carry: str, **settings: Any) -> AsyncIterator[RelayProcess]:
    async with RelayProcess(folder, carry=carry, free_space_bytes_min=0, **settings) as relay:
        yield relay


async def check_attack(relay: RelayProcess, document: str, attack: Attack, *, is_kept: bool) -> None:
    author = Author(client_id=VICTIM)
    async with (
        open_raw(relay, document, token=relay.token(subject="ada")) as victim,
        open_raw(relay, document, token=relay.token(subject="mallory")) as villain,
    ):
        await victim.join()
        await villain.join()
        await victim.save(author.put("price", 100))
        await victim.save(author.put("price", 101))
        stored, carried = await relay.meter("updates_stored_total"), await relay.meter("structs_carried_total")
        await attack(victim, villain)
        if is_kept:
            await eventually(lambda: relay.meter("structs_carried_total"), lambda count: count > carried)
            return
        assert await villain.closed() == (4403, await reason_for(villain))
        await victim.save(author.put("price", 102))
        assert await relay.meter("updates_stored_total") == stored + 1
        assert await relay.meter("structs_carried_total") == carried
    assert await content_of(relay, document) == {"price": 102}


async def reason_for(villain: RawMember) -> str:
    _, reason = villain.ending
    assert reason is not None
    assert reason.startswith("client-id-taken: client id 7")
    return reason


async def test_P33_nothing_of_the_hostile_suite_is_accepted_without_carrying(tmp_path: Path) -> None:
    async with opened(tmp_path, "off") as relay:
        for number, attack in enumerate({**PLAIN, **ANSWERS}.values()):
            await check_attack(relay, f"hostile/{number}", attack, is_kept=False)
        assert await relay.meter('updates_refused_total{reason="client-id-taken"}') == 6
        assert await relay.meter("structs_carried_total") == 0


async def test_P33_with_carrying_no_edit_is_accepted_and_each_answer_is_on_record(tmp_path: Path) -> None:
    async with opened(tmp_path, "on") as relay:
        for number, attack in enumerate(PLAIN.values()):
            await check_attack(relay, f"plain/{number}", attack, is_kept=False)
        assert await relay.meter("structs_carried_total") == 0
        for number, attack in enumerate(ANSWERS.values()):
            await check_attack(relay, f"answers/{number}", attack, is_kept=True)
        log = [line for line in relay.log.splitlines() if "carried what is under another's client id" in line]
        assert len(log) == len(ANSWERS)
        assert all("bringer=mallory" in line and "owner=ada" in line for line in log)
        assert await relay.meter("structs_carried_total") == 50_002


async def test_P33_owners_outlive_kills_and_compactions(tmp_path: Path) -> None:
    async with opened(tmp_path, "off", compact_log_records_max=20) as relay:
        author = Author(client_id=VICTIM)
        async with open_raw(relay, DOCUMENT, token=relay.token(subject="ada")) as victim:
            await victim.join()
            for number in range(30):
                await victim.save(author.put("price", number))
            await eventually(lambda: relay.meter("compactions_total"), lambda count: count >= 1)
        for _ in range(2):
            await relay.kill()
            await relay.start()
            async with open_raw(relay, DOCUMENT, token=relay.token(subject="mallory")) as villain:
                await villain.join()
                await villain.say(NewUpdate(forged(30)))
                code, _ = await villain.closed()
                assert code == 4403
        async with open_raw(relay, DOCUMENT, token=relay.token(subject="ada")) as victim:
            await victim.join()
            await victim.save(author.put("price", 30))
        assert await content_of(relay, DOCUMENT) == {"price": 30}


async def test_P33_a_peer_can_not_hide_an_edit_among_the_parts_of_an_answer_without_carrying(tmp_path: Path) -> None:
    async with opened(tmp_path, "off") as relay:
        author = Author(client_id=VICTIM)
        async with (
            open_raw(relay, DOCUMENT, token=relay.token(subject="ada")) as victim,
            open_raw(relay, DOCUMENT, token=relay.token(subject="mallory"), is_peer=True) as villain,
        ):
            await victim.join()
            await victim.save(author.put("price", 1))
            await villain.join()
            assert StateRequest({VICTIM: 1}) in villain.heard
            await villain.say(NewUpdate(forged(1)))
            code, _ = await villain.closed()
            assert code == 4403


def till(relay: RelayProcess, path: Path, subject: str) -> AbstractAsyncContextManager[OfflinePeer]:
    return OfflinePeer.open(path, tenant="acme", name="till", relay=relay.ws, token=relay.token(subject=subject))


async def receive(peer: OfflinePeer, ref: str) -> None:
    async with peer.edit(period="2026-11") as docs:
        docs.inventory.receive("tea", 1, at="shop", ref=ref)


@pytest.mark.parametrize("carry", ["on", "off"])
async def test_P33_a_till_that_is_handed_on_brings_what_was_done_before(tmp_path: Path, carry: str) -> None:
    path, refs = tmp_path / "till.db", {"first", "online", "offline", "bob", "bob online"}
    async with opened(tmp_path / "relay", carry) as relay:
        async with till(relay, path, "ada") as peer:
            async with peer.edit(period="2026-11") as docs:
                docs.inventory.add_product("tea", price=450)
                docs.inventory.add_location("shop")
                docs.inventory.receive("tea", 10, at="shop", ref="first")
            async with peer.online():
                await peer.settled()
                await receive(peer, "online")
                await peer.settled()
            # Under an id that she has written under before the relay's eyes.
            await receive(peer, "offline")
        async with till(relay, path, "bob") as peer:
            await receive(peer, "bob")
            if carry == "off":
                with pytest.raises(NotSynced, match="client-id-taken"):
                    await peer.sync()
                assert peer.status().unsynced == 2
        if carry == "off":
            async with till(relay, path, "ada") as peer:
                await peer.sync()
        async with till(relay, path, "bob") as peer:
            await peer.sync()
            async with peer.online():
                await receive(peer, "bob online")
                await peer.settled()
            assert peer.status().unsynced == 0
        assert (await relay.meter("structs_carried_total") > 0) == (carry == "on")
        async with till(relay, tmp_path / "other.db", "auditor") as peer:
            await peer.sync()
            async with peer.read() as docs:
                assert docs.inventory.refs() == refs


@pytest.mark.parametrize("carry", ["on", "off"])
async def test_P33_members_heal_a_relay_that_was_restored_from_an_older_backup(tmp_path: Path, carry: str) -> None:
    async with opened(tmp_path / "relay", carry) as relay:
        page = Author(client_id=VICTIM)
        async with open_raw(relay, DOCUMENT, token=relay.token(subject="ada")) as ada:
            await ada.join()
            await ada.save(page.put("kept", 1))
            backup = await backed_up(relay, tmp_path / "backup")
            await ada.save(page.put("acked after", 2))
        later = Author(client_id=8)
        later.learn([page.doc.get_update()])
        async with open_raw(relay, DOCUMENT, token=relay.token(subject="zoe")) as zoe:
            await zoe.join()
            await zoe.save(later.put("by a newcomer", 3))
        page.learn([later.doc.get_update()])
        await restored(relay, backup, tmp_path / "restored")
        assert await content_of(relay, DOCUMENT) == {"kept": 1}
        # Bob, who has never written, is the first to come back; all that he holds is by others.
        async with open_raw(relay, DOCUMENT, token=relay.token(subject="bob")) as bob:
            await bob.join()
            await bob.say(StateReply(later.doc.get_update()))
            await eventually(lambda: relay.meter("structs_carried_total"), lambda count: count >= 1)
            everything = {"kept": 1, "acked after": 2, "by a newcomer": 3}
            await eventually(lambda: content_of(relay, DOCUMENT), lambda content: content == everything)
        # And then those whose ids these are go on under them.
        for name, author in (("ada", page), ("zoe", later)):
            async with open_raw(relay, DOCUMENT, token=relay.token(subject=name)) as member:
                await member.join()
                await member.save(author.put(name, 1))
        async with open_raw(relay, DOCUMENT, token=relay.token(subject="bob")) as bob:
            await bob.join()
            await bob.say(NewUpdate(forged(3)))
            assert (await bob.closed())[0] == 4403
        assert await content_of(relay, DOCUMENT) == {**everything, "ada": 1, "zoe": 1}
