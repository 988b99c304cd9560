"""Documents that end, at a real relay: nobody enters them any more, and their bytes are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdt_sync.errors import DocumentRetired
from crdt_sync.protocol.messages import Denied, NewUpdate, StateRequest
from tests.integration.raw_member import Author, RawMember, open_raw
from tests.integration.relay_process import RelayProcess, eventually, run_command
from tests.integration.retiring import places_of, post, retire

SECRET = "token-of-mrs-miller"
PII = "pii/customer-1042"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0, steward="off") as process:
        yield process


async def denial(member: RawMember) -> Denied:
    await member.hears(lambda: any(isinstance(message, Denied) for message in member.heard))
    return next(message for message in member.heard if isinstance(message, Denied))


async def test_P23_members_of_a_retired_document_are_told_and_nobody_comes_in_again(relay: RelayProcess) -> None:
    tenant, author = "told", Author()
    async with (
        open_raw(relay, "shop", tenant=tenant) as page,
        open_raw(relay, "shop", tenant=tenant, is_peer=True) as peer,
    ):
        await page.join()
        await peer.join()
        await page.save(author.put("tea", 450))
        status, note = await retire(relay, tenant, "shop", successor="shop.2", why="begun anew")
        assert (status, note["document"], note["successor"], note["why"]) == (200, "shop", "shop.2", "begun anew")
        assert await page.closed() == (4410, "document-retired: succeeded by shop.2; begun anew")
        told = await denial(peer)
        assert (told.code, told.reason) == (DocumentRetired.code, "succeeded by shop.2; begun anew")
        # What was on its way meanwhile meets nobody, and the connection goes on with other documents.
        await peer.say(NewUpdate(author.put("tea", 460)))
        await peer.say(StateRequest({}))
        await peer.hears(lambda: sum(isinstance(message, Denied) for message in peer.heard) == 2)
        assert peer.acked == 0
    for is_peer in (False, True):
        async with open_raw(relay, "shop", tenant=tenant, is_peer=is_peer) as member:
            if is_peer:
                await member.say(StateRequest({}))
                assert (await denial(member)).reason == "succeeded by shop.2; begun anew"
            else:
                assert (await member.closed())[0] == 4410
    assert (await relay.readiness())[0] == 200


async def test_P23_a_document_that_the_relay_never_had_can_be_retired_before_a_peer_brings_it(
    relay: RelayProcess,
) -> None:
    assert (await retire(relay, "never", PII))[0] == 200
    async with open_raw(relay, PII, tenant="never") as page:
        assert await page.closed() == (4410, "document-retired: ended for good; asked for")


async def test_P23_it_stays_so_after_a_kill_and_for_a_second_order(relay: RelayProcess) -> None:
    tenant = "kill"
    assert (await retire(relay, tenant, "shop", successor="shop.2"))[0] == 200
    await relay.kill()
    await relay.start()
    async with open_raw(relay, "shop", tenant=tenant) as page:
        assert (await page.closed())[0] == 4410
    assert (await retire(relay, tenant, "shop", successor="shop.2"))[0] == 200
    status, problem = await retire(relay, tenant, "shop")
    assert (status, problem["title"], problem["successor"]) == (410, "document-retired", "shop.2")


async def test_P24_no_byte_of_a_retired_document_is_left_while_the_relay_runs_on(relay: RelayProcess) -> None:
    tenant, author, other = "bytes", Author(), Author()
    async with open_raw(relay, PII, tenant=tenant) as page, open_raw(relay, "shop", tenant=tenant) as shop:
        await page.join()
        await shop.join()
        for number in range(30):
            await page.save(author.put(f"name {number % 3}", f"{SECRET} {number}"))
            await shop.save(other.put("tea", number))
        assert places_of(SECRET, relay.data) != []
        assert (await retire(relay, tenant, PII))[0] == 200
        assert places_of(SECRET, relay.data) == []
        await shop.save(other.put("tea", 99))
    assert SECRET not in relay.log
    await relay.kill()
    await relay.start()
    assert places_of(SECRET, relay.data) == []
    async with open_raw(relay, "shop", tenant=tenant) as member:
        await member.join()
        assert member.content() == {"tea": 99.0}


async def test_P24_who_writes_while_the_document_ends_was_acked_before_or_is_told(relay: RelayProcess) -> None:
    tenant, author = "race", Author()
    async with open_raw(relay, PII, tenant=tenant, is_peer=True) as peer:
        await peer.join()
        for number in range(200):
            await peer.say(NewUpdate(author.put("name", f"{SECRET} {number}")))
            if number == 100:
                status, _ = await retire(relay, tenant, PII)
                assert status == 200
        await denial(peer)
    assert places_of(SECRET, relay.data) == []
    assert (await relay.readiness())[0] == 200


@pytest.mark.parametrize("role", ["manager", "operator", "viewer"])
async def test_only_an_admin_of_the_tenant_retires(relay: RelayProcess, role: str) -> None:
    status, problem = await retire(relay, "acme", "shop", token=relay.token("acme", role))
    assert (status, problem["title"]) == (403, "forbidden")
    status, _ = await retire(relay, "acme", "shop", token=relay.token("acme", "admin", documents=["metrics/*"]))
    assert status == 403
    status, _ = await retire(relay, "acme", "shop", token=relay.token("acme", "admin", write=["shop#m/*"]))
    assert status == 403
    status, _ = await retire(relay, "acme", "shop", token="none")
    assert status == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"document": "shop"}', 400),
        (b'{"document": "shop", "why": 3}', 400),
        (b'{"document": "shop", "why": "x", "force": true}', 400),
        (b'{"document": "shop", "document": "other", "why": "x"}', 400),
        (b'{"document": "Shop", "why": "x"}', 404),
        (b'{"document": "shop", "why": " "}', 404),
        (b'{"document": "shop", "why": "two\\nlines"}', 404),
        (b'{"document": "shop", "why": "x", "successor": "shop"}', 404),
        (json.dumps({"document": "shop", "why": "x", "successor": "s" * 81}).encode(), 404),
        (b'{"why": "' + b"x" * 5_000 + b'"}', 413),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(relay: RelayProcess, body: bytes, status: int) -> None:
    assert (await post(relay, body, relay.token("acme", "admin")))[0] == status
    async with open_raw(relay, "shop") as member:
        await member.join()


async def test_P24_the_command_ends_a_document_of_a_stopped_relay(tmp_path: Path) -> None:
    author = Author()
    async with RelayProcess(tmp_path / "relay", free_space_bytes_min=0, steward="off") as relay:
        async with open_raw(relay, PII) as page:
            await page.join()
            await page.save(author.put("name", SECRET))
        refused = await relay.run_command("retire", "acme", PII, "--why", "asked for")
        assert refused.returncode != 0
        assert "held by another opener" in refused.stderr
        assert await relay.stop() == 0
        assert places_of(SECRET, relay.data) == ["acme.db"]
        done = await relay.run_command("retire", "acme", PII, "--why", "asked for")
        assert (done.returncode, done.stdout) == (0, f"acme/{PII} ended for good; asked for\n"), done.stderr
        assert places_of(SECRET, relay.data) == []
        again = await relay.run_command("retire", "acme", PII, "--why", "anew", "--successor", "pii/other")
        assert (again.returncode, again.stdout) == (1, "")
        listed = await relay.run_command("rooms", "--ended", "--plain")
        document, _, successor, why = listed.stdout.removesuffix("\n").split("\t")
        assert (document, successor, why) == (f"acme/{PII}", "-", "asked for")
        assert (await relay.run_command("rooms", "--ended")).stdout.startswith("document")
        assert (await relay.run_command("rooms", "--plain")).stdout == ""
        await relay.start()
        async with open_raw(relay, PII) as page:
            assert (await page.closed())[0] == 4410
    nonsense = run_command("retire", "acme", "No Document", "--why", "x", "--data", str(tmp_path))
    assert nonsense.returncode == 2
    assert "Traceback" not in nonsense.stderr


async def test_a_room_whose_document_ends_is_no_failure(relay: RelayProcess) -> None:
    async with open_raw(relay, "shop", tenant="calm", is_peer=True) as peer:
        await peer.join()
        assert (await retire(relay, "calm", "shop"))[0] == 200
        await denial(peer)

    async def rooms() -> tuple[int, dict[str, object]]:
        return await relay.readiness()

    await eventually(rooms, lambda seen: seen[0] == 200 and "reasons" not in seen[1])
    assert await relay.meter('store_failures_total{reason="document-retired"}') == 0
