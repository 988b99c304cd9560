"""What is taken back ends, in every dialect, on connections that are open; and API keys open what tokens open (P30)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from crdt_sync.peer import OfflinePeer
from crdt_sync.protocol.messages import Authenticate, Denied, Ended, NewUpdate, Settled, StateRequest
from tests.integration.http_requests import ask
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.raw_provider import open_provider
from tests.integration.relay_process import DEADLINE_S, RelayProcess, eventually

REVOKED = "revoked: show a token that was issued since"
ENDED = (4401, f"unauthenticated: {REVOKED}")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(
        tmp_path_factory.mktemp("relay"), free_space_bytes_min=0, steward="off", handshake_timeout_s=2
    ) as process:
        yield process


async def revoke(relay: RelayProcess, *options: str) -> str:
    done = await relay.run_command("token", "revoke", "--tenant", "acme", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def api_key(relay: RelayProcess, subject: str, *options: str) -> str:
    done = await relay.run_command(
        "api-key", "create", "--tenant", "acme", "--role", "operator", "--subject", subject, *options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def refused(relay: RelayProcess, path: str, token: str) -> tuple[int, str]:
    """Status and sentence of an upgrade that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(relay.ws + path, additional_headers={"Authorization": f"Bearer {token}"}, open_timeout=DEADLINE_S)
    return caught.value.response.status_code, json.loads(caught.value.response.body or b"")["detail"]


async def test_P30_a_revoked_user_is_out_and_everybody_else_is_not(relay: RelayProcess) -> None:
    ada, bob = relay.token(subject="shop/ada"), relay.token(subject="bob")
    async with (
        open_raw(relay, "p30/user", token=ada) as page,
        open_raw(relay, "p30/user", token=ada, is_peer=True) as peer,
        open_raw(relay, "p30/user", token=bob) as other,
    ):
        for member in (page, peer, other):
            await member.join()
        await revoke(relay, "--user", "shop")
        assert await page.closed() == ENDED
        assert await peer.closed() == ENDED
        await other.save(Author().put("still", "here"))
    assert await refused(relay, "/ws/acme/p30/user", ada) == (401, REVOKED)
    assert await relay.meter('auth_refusals_total{reason="revoked"}') >= 1
    # The command has waited out the second: what is issued now is newer.
    async with open_raw(relay, "p30/user", token=relay.token(subject="shop/ada")) as page:
        await page.join()


async def test_P30_of_a_peers_documents_just_the_revoked_one_is_lost(relay: RelayProcess) -> None:
    token = relay.token(subject="till-1")
    async with open_raw(relay, "p30/kept", token=token, is_peer=True) as kept:
        await kept.join()
        lost = type(kept)(kept.socket, "p30/lost")
        lost._reading.cancel()
        await lost.say(StateRequest({}))
        await revoke(relay, "--user", "till-1", "--document", "p30/lost")
        await kept.hears(lambda: Denied("unauthenticated", REVOKED) in kept.heard)
        # What was on its way is heard by nobody, and asking again is refused; the connection goes on.
        await lost.say(NewUpdate(Author().put("late", 1)))
        await lost.say(StateRequest({}))
        await kept.hears(lambda: kept.heard.count(Denied("unauthenticated", REVOKED)) == 2)
        await kept.save(Author().put("kept", 1))
    assert await content_of(relay, "p30/lost") == {}


async def test_P30_a_hocuspocus_connection_loses_the_documents_of_the_revoked_token(relay: RelayProcess) -> None:
    carol, dave = relay.token(subject="carol"), relay.token(subject="dave")
    async with open_provider(relay) as provider:
        await provider.enter("p30/hers", carol)
        await provider.enter("p30/his", dave)
        await revoke(relay, "--user", "carol")
        await provider.hears(lambda: Ended(f"unauthenticated: {REVOKED}") in provider.about("p30/hers"))
        await provider.say("p30/his", NewUpdate(Author().put("his", 1)))
        await provider.hears(lambda: provider.settled("p30/his") == 2)
        await provider.say("p30/hers", Authenticate(carol))
        await provider.hears(lambda: Denied("unauthenticated", REVOKED) in provider.about("p30/hers"))
        await provider.enter("p30/hers", relay.token(subject="carol"))
        await revoke(relay, "--all-before", "now")
        # With the last of its tokens it becomes a stranger again, and strangers have little time.
        assert await provider.closed() == (4408, "handshake-timeout: no token that holds was shown within 2 s")
    assert Settled(True) in provider.about("p30/his")


async def test_P30_what_a_page_got_with_a_revoked_token_is_revoked_with_it(relay: RelayProcess) -> None:
    backend = relay.token(subject="backend")
    status, issued = await ask(relay, "POST", "/doc/p30-sweet/auth", backend, {"userId": "eve"})
    assert status == 200
    status, ticket = await ask(relay, "POST", "/api/v1/tickets", backend)
    assert status == 201
    path = "/d/p30-sweet/ws/p30-sweet"
    async with connect(f"{relay.ws}{path}?token={issued['token']}", open_timeout=DEADLINE_S) as page:
        await page.send(b"\x00\x00\x01\x00")
        await revoke(relay, "--user", "backend")
        await page.wait_closed()
        assert (page.close_code, page.close_reason) == ENDED
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{relay.ws}/ws/acme/x?ticket={ticket['ticket']}", open_timeout=DEADLINE_S)
    assert REVOKED in (caught.value.response.body or b"").decode()
    assert (await ask(relay, "GET", "/d/p30-sweet/as-update", issued["token"]))[0] == 401


async def test_P30_who_does_not_read_the_farewell_goes_without_it(relay: RelayProcess) -> None:
    token = relay.token(subject="stuck")
    async with (
        open_raw(relay, "p30/stuck", token=token, receive_buffer_bytes=4_096) as stuck,
        open_raw(relay, "p30/stuck") as writer,
    ):
        await stuck.join()
        await writer.join()
        stuck.reads.clear()
        for number in range(8):
            await writer.save(Author().put("filler", str(number) * 300_000))
        before = await relay.meter("connections")
        await revoke(relay, "--user", "stuck")

        async def connections() -> float:
            return await relay.meter("connections")

        await eventually(connections, lambda now: now == before - 1, what="the stuck connection's end")


async def test_P30_an_api_key_opens_what_a_token_opens_in_every_dialect_until_it_is_revoked(
    relay: RelayProcess,
) -> None:
    key = await api_key(relay, "billing", "--document", "p30/*")
    async with (
        open_raw(relay, "p30/key", token=key) as page,
        open_raw(relay, "p30/key", token=key, is_peer=True) as peer,
        open_provider(relay) as provider,
        connect(
            f"{relay.ws}/ws/acme/p30/key",
            subprotocols=["crdt-sync", f"bearer.{key}"],  # type: ignore[list-item]
            open_timeout=DEADLINE_S,
        ) as offered,
        connect(f"{relay.ws}/d/p30/key/ws/p30/key?token={key}", open_timeout=DEADLINE_S) as sweet,
    ):
        for member in (page, peer):
            await member.join()
        await provider.enter("p30/key", key)
        await peer.save(Author().put("by", "a key"))
        for socket in (offered, sweet):
            await socket.send(b"\x00\x00\x01\x00")
        assert (await ask(relay, "POST", "/doc/p30%2Fkey/auth", key, {}))[0] == 200
        assert (await refused(relay, "/ws/acme/shop", key))[0] == 403
        wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
        assert await refused(relay, "/ws/acme/p30/key", wrong) == (401, "there is no such API key")
        done = await relay.run_command("api-key", "revoke", key.split("_")[1])
        assert done.returncode == 0, done.stderr
        assert await page.closed() == ENDED
        assert await peer.closed() == ENDED
        await provider.hears(lambda: Ended(f"unauthenticated: {REVOKED}") in provider.about("p30/key"))
        for socket in (offered, sweet):
            await socket.wait_closed()
            assert socket.close_code == 4401
    assert await refused(relay, "/ws/acme/p30/key", key) == (401, REVOKED)
    listed = await relay.run_command("api-key", "list", "--tenant", "acme", "--plain")
    [row] = [line.split("\t") for line in listed.stdout.splitlines() if "billing" in line]
    assert (row[2], row[4], row[-1]) == ("billing", "p30/*", "revoked")
    for secret in (key, key.split("_", 2)[2]):
        assert secret not in relay.log
        assert secret not in (relay.data / "access.jsonl").read_text()


async def test_P30_revocations_and_keys_outlast_a_restart_by_kill(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as own:
        token, key = own.token(subject="shop"), await api_key(own, "billing")
        async with open_raw(own, "notes", token=token) as member:
            await member.join()
        await revoke(own, "--user", "shop")
        await own.kill()
        await own.start()
        assert await refused(own, "/ws/acme/notes", token) == (401, REVOKED)
        async with open_raw(own, "notes", token=key) as member:
            await member.join()


async def test_P30_the_relays_own_steward_outlives_the_revocation_of_its_tenant(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0, steward="on", steward_interval_s=0.1) as own:

        async def rounds() -> float:
            return await own.meter("steward_rounds_total")

        async with open_raw(own, "inventory/catalog", token=own.token(subject="shop")) as member:
            await member.join()
            seen = await eventually(rounds, lambda count: count > 0, what="the steward's round")
            await revoke(own, "--all-before", "now")
            assert await member.closed() == ENDED
        async with open_raw(own, "inventory/catalog", token=own.token(subject="shop")) as member:
            await member.join()
            await member.save(Author().put("something", "to look at"))
            await eventually(rounds, lambda count: count > seen, what="the steward's next round")
        assert await own.meter("steward_failures_total") == 0


async def test_a_peer_with_a_fresh_token_goes_on_after_a_revocation(relay: RelayProcess, tmp_path: Path) -> None:
    tokens = [relay.token(subject="till-9", role="manager")]
    async with (
        OfflinePeer.open(
            tmp_path / "till.db", tenant="acme", name="till-9", relay=relay.ws, token=lambda: tokens[-1]
        ) as till,
        till.online(),
    ):
        await till.settled()
        await revoke(relay, "--user", "till-9")
        tokens.append(relay.token(subject="till-9", role="manager"))
        async with till.edit() as docs:
            docs.inventory.add_product("tea", price=450)
        await till.settled()


# Over HTTP


async def test_an_admin_revokes_over_http_and_nothing_is_open_when_the_answer_comes(relay: RelayProcess) -> None:
    admin, frank = relay.token(role="admin", subject="root"), relay.token(subject="frank")
    async with open_raw(relay, "p30/http", token=frank) as member:
        await member.join()
        status, entry = await ask(relay, "POST", "/api/v1/tokens/revoke", admin, {"user": "frank"})
        assert (status, entry["user"], entry["by"]) == (200, "frank", "root")
        assert await refused(relay, "/ws/acme/p30/http", frank) == (401, REVOKED)
        assert await member.closed() == ENDED


@pytest.mark.parametrize("role", ["manager", "operator", "viewer"])
async def test_only_an_admin_of_the_whole_tenant_revokes_and_reads_the_record(relay: RelayProcess, role: str) -> None:
    for token in (relay.token(role=role), relay.token(role="admin", documents=["inventory/*"])):
        for method, path in (("POST", "/api/v1/tokens/revoke"), ("GET", "/api/v1/audit")):
            status, problem = await ask(relay, method, path, token, {"user": "x"} if method == "POST" else None)
            assert (status, problem["title"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": None},
        {"user": 7},
        {"user": ""},
        {"role": "x"},
        {"document": "a*"},
        {"all_before": "soon"},
        {"all_before": "2099-01-01T00:00:00Z"},
        {"all_before": "2026-11-20T00:00:00"},
        b"[]",
        b"x" * 5_000,
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(relay: RelayProcess, body: object) -> None:
    token = relay.token(role="admin", subject="sense")
    status, problem = await ask(relay, "POST", "/api/v1/tokens/revoke", token, body)
    assert status in {400, 404, 413}
    assert problem["detail"]
    assert (await ask(relay, "GET", "/api/v1/audit", token))[0] == 200


async def test_a_relay_is_not_started_on_a_damaged_access_file(tmp_path: Path) -> None:
    relay = RelayProcess(tmp_path)
    await revoke(relay, "--user", "ada")
    path = relay.data / "access.jsonl"
    path.write_bytes(path.read_bytes().replace(b"ada", b"bob"))
    started = await relay.run_command("serve", "--port", "0")
    assert started.returncode == 1
    assert "access.jsonl is damaged (line 1)" in started.stderr
    assert "Traceback" not in started.stderr
