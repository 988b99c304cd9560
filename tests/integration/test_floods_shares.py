"""Every share, reached: what is one too many is refused with a reason, what is too fast is slowed and loses nothing."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from crdt_sync.protocol import hocuspocus
from crdt_sync.protocol.messages import Authenticate, NewUpdate, Presence, PresenceEntry
from tests.integration import floods
from tests.integration.floods import pulse
from tests.integration.raw_member import Author, open_raw
from tests.integration.raw_provider import open_provider
from tests.integration.relay_process import DEADLINE_S, RelayProcess, eventually

HERE, ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}


def relay_with(folder: Path, **limits: int) -> RelayProcess:
    names: dict[str, Any] = {f"limits.{name}": value for name, value in limits.items()}
    return RelayProcess(folder, free_space_bytes_min=0, **names)


async def reached(relay: RelayProcess, limit: str) -> float:
    return await relay.meter(f'limits_reached_total{{limit="{limit}"}}')


async def refusal(relay: RelayProcess, path: str, token: str | None, headers: dict[str, str]) -> tuple[int, str, int]:
    """Status, problem and Retry-After of a WebSocket that is refused before the upgrade."""
    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
    with pytest.raises(InvalidStatus) as caught:
        await connect(relay.ws + path, additional_headers={**shown, **headers}, open_timeout=DEADLINE_S)
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"")["title"], int(response.headers.get("Retry-After", 0))


async def hold(stack: AsyncExitStack, relay: RelayProcess, tenant: str, subject: str, headers: dict[str, str]) -> None:
    token = relay.token(tenant, subject=subject)
    await stack.enter_async_context(
        connect(
            f"{relay.ws}/ws/{tenant}/page",
            additional_headers={"Authorization": f"Bearer {token}", **headers},
            compression=None,
            open_timeout=DEADLINE_S,
        )
    )


@pytest.mark.parametrize("path", ["/ws/acme/page", "/sync/acme"])
@pytest.mark.parametrize(
    ("limit", "who", "where"),
    [
        ("user_connections_max", "ada", ELSEWHERE),
        ("tenant_connections_max", "bob", ELSEWHERE),
        ("address_connections_max", "bob", HERE),
        ("connections_max", "bob", ELSEWHERE),
    ],
)
async def test_P32_one_connection_too_many_is_refused_before_the_upgrade(
    tmp_path: Path, path: str, limit: str, who: str, where: dict[str, str]
) -> None:
    async with relay_with(tmp_path, **{limit: 2}) as relay, AsyncExitStack() as stack:
        async with AsyncExitStack() as first:
            await hold(first, relay, "acme", "ada", HERE)
            await hold(stack, relay, "acme", "ada", HERE)
            assert await refusal(relay, path, relay.token(subject=who), where) == (429, "rate-limited", 5)
            assert await reached(relay, limit) == 1
            if limit != "connections_max":
                await hold(stack, relay, "other", "somebody", ELSEWHERE)
        # One has gone, so there is a place.
        await eventually(lambda: relay.meter("connections"), lambda open_now: open_now <= 2)
        if limit != "connections_max":
            await hold(stack, relay, "acme", "ada", HERE)


async def test_P32_strangers_are_counted_until_somebody_vouches_for_them(tmp_path: Path) -> None:
    limits = {"strangers_max": 1, "user_connections_max": 1}
    async with relay_with(tmp_path, **limits) as relay, open_provider(relay) as known:
        assert await refusal(relay, "/hocuspocus/acme", None, {}) == (429, "rate-limited", 5)
        await known.enter("d", relay.token())
        async with open_provider(relay) as second:
            await second.say("d", Authenticate(relay.token()))
            code, reason = await second.closed()
            assert code == 4429
            assert reason is not None
            assert reason.startswith("rate-limited: too many connections of this user")


async def test_P32_a_burst_of_an_honest_client_is_slowed_and_loses_nothing(tmp_path: Path) -> None:
    async with relay_with(tmp_path, connection_messages_per_s=200, burst_s=1) as relay:
        author = Author()
        async with open_raw(relay, "page", is_peer=True) as peer:
            await peer.join()
            for number in range(400):
                await peer.say(NewUpdate(author.put(f"k{number}", number)))
            await peer.hears(lambda: peer.acked == 400)
        assert await reached(relay, "connection_messages_per_s") > 0
        assert await relay.meter('limit_wait_seconds_total{limit="connection_messages_per_s"}') > 0


async def test_P32_bytes_are_slowed_likewise(tmp_path: Path) -> None:
    limits = {f"{whose}_bytes_per_s": 1 << 20 for whose in ("connection", "user", "tenant")}
    async with relay_with(tmp_path, burst_s=1, **limits) as relay:
        author = Author()
        async with open_raw(relay, "page", is_peer=True) as peer:
            await peer.join()
            for number in range(8):
                await peer.say(NewUpdate(author.put(f"k{number}", "x" * 256_000)))
            await peer.hears(lambda: peer.acked == 8)
        assert await reached(relay, "connection_bytes_per_s") > 0


async def test_P32_a_user_that_floods_does_not_starve_another_of_its_tenant(tmp_path: Path) -> None:
    limits = {"connection_messages_per_s": 400, "user_messages_per_s": 500, "tenant_messages_per_s": 2_000}
    async with relay_with(tmp_path, burst_s=1, **limits) as relay:
        question = floods.frame(floods.BINARY, b"\x00\x00\x01\x00")
        async with pulse(relay, tenant="acme") as honest, floods.websockets(relay, "/ws/acme/flood", 4) as opened:
            flooding = asyncio.create_task(floods.endlessly(opened, question * 500, 1 << 30))
            await eventually(lambda: reached(relay, "user_messages_per_s"), lambda times: times >= 4)
            await honest.more(20)
            assert await reached(relay, "tenant_messages_per_s") == 0
            flooding.cancel()
            await asyncio.wait([flooding])


async def test_P32_presence_is_slowed_and_nobody_is_lost(tmp_path: Path) -> None:
    async with relay_with(tmp_path, presence_per_s=50, burst_s=1) as relay:
        other = relay.token(subject="other")
        async with open_raw(relay, "page") as mouse, open_raw(relay, "page", token=other) as watcher:
            await mouse.join()
            await watcher.join()
            for clock in range(1, 101):
                await mouse.say(Presence((PresenceEntry(7, clock, '{"x":1}'),)))
            await watcher.hears(lambda: Presence((PresenceEntry(7, 100, '{"x":1}'),)) in watcher.heard)
        assert await reached(relay, "presence_per_s") > 0


async def test_P32_a_room_holds_so_much_presence_and_no_more(tmp_path: Path) -> None:
    async with relay_with(tmp_path, presence_state_bytes_max=4_000, room_presence_bytes_max=10_000) as relay:
        state = '{"name":"' + "x" * 3_000 + '"}'
        async with open_raw(relay, "page") as member, open_raw(relay, "page") as watcher:
            await member.join()
            await watcher.join()
            for client in range(5):
                await member.say(Presence((PresenceEntry(client, 1, state),)))
            await member.say(Presence((PresenceEntry(0, 2, '{"small":1}'),)))
            await watcher.hears(lambda: Presence((PresenceEntry(0, 2, '{"small":1}'),)) in watcher.heard)
            seen = {
                entry.client for message in watcher.heard if isinstance(message, Presence) for entry in message.entries
            }
            assert seen == {0, 1, 2}
        assert await reached(relay, "room_presence_bytes_max") == 2


@pytest.mark.parametrize("path", ["/ws/acme/page", "/sync/acme"])
async def test_P32_wrong_tokens_are_limited_by_address_and_a_good_one_gets_in(tmp_path: Path, path: str) -> None:
    async with relay_with(tmp_path, wrong_tokens_per_s=1, burst_s=3) as relay:
        answers = [await refusal(relay, path, "no.good.token", HERE) for _ in range(6)]
        assert answers[0][0] == 401
        assert answers[-1][:2] == (429, "rate-limited")
        assert answers[-1][2] >= 1
        assert (await refusal(relay, path, "no.good.token", ELSEWHERE))[0] == 401
        async with AsyncExitStack() as stack:
            await hold(stack, relay, "acme", "ada", HERE)
        assert await reached(relay, "wrong_tokens_per_s") >= 1


async def test_P32_wrong_tokens_within_a_connection_end_it(tmp_path: Path) -> None:
    async with relay_with(tmp_path, connection_wrong_tokens_max=3) as relay, open_provider(relay) as provider:
        for number in range(4):
            await provider.send(hocuspocus.encode(f"d{number}", Authenticate("nonsense")))
        code, reason = await provider.closed()
        assert (code, reason) == (1009, "limit-exceeded: connection_wrong_tokens_max: 4 is more than the 3 allowed")
        assert await reached(relay, "connection_wrong_tokens_max") == 1


@pytest.mark.parametrize("path", ["/api/v1/tickets", "/doc/page/auth"])
async def test_P32_requests_with_a_token_are_limited_by_user(tmp_path: Path, path: str) -> None:
    async with relay_with(tmp_path, user_requests_per_s=1, burst_s=2) as relay:

        def post(subject: str) -> tuple[int, str | None]:
            headers = {"Authorization": f"Bearer {relay.token(subject=subject)}"}
            request = urllib.request.Request(f"http://127.0.0.1:{relay.port}{path}", b"{}", headers)
            try:
                with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                    return response.status, None
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.headers["Retry-After"]

        answers = [await asyncio.to_thread(post, "ada") for _ in range(5)]
        assert answers[0][0] in (200, 201)
        assert answers[-1] == (429, "1")
        assert (await asyncio.to_thread(post, "bob"))[0] in (200, 201)
        assert await reached(relay, "user_requests_per_s") >= 1


@pytest.mark.parametrize("limit", ["rooms_max", "tenant_rooms_max"])
async def test_P32_one_room_too_many_closes_an_idle_one_or_is_refused(tmp_path: Path, limit: str) -> None:
    async with relay_with(tmp_path, **{limit: 2}) as relay:
        async with open_raw(relay, "first") as first:
            await first.join()
            async with open_raw(relay, "second") as second:
                await second.join()
                assert await refusal(relay, "/ws/acme/third", relay.token(), {}) == (429, "rate-limited", 5)
            await eventually(lambda: relay.meter("members"), lambda members: members == 1)
            async with open_raw(relay, "third") as third:
                await third.join()
            assert await relay.meter("rooms") <= 2
        assert await reached(relay, limit) == 2


async def test_P32_one_document_too_many_is_refused_and_the_others_stay(tmp_path: Path) -> None:
    async with relay_with(tmp_path, tenant_documents_max=2) as relay:
        for document in ("one", "two"):
            async with open_raw(relay, document) as member:
                await member.join()
                await member.save(Author().put("k", 1))
        status, title, _ = await refusal(relay, "/ws/acme/three", relay.token(), {})
        assert (status, title) == (429, "rate-limited")
        async with open_raw(relay, "one") as member, open_raw(relay, "one", tenant="other") as other:
            await member.join()
            await other.join()


async def test_P32_the_oldest_half_open_connection_makes_room(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"limits.half_open_max": 20, "handshake_timeout_s": 15, "free_space_bytes_min": 0}
    async with RelayProcess(tmp_path, **settings) as relay, floods.sockets(relay, 40) as opened:
        for each in opened[:20]:
            await each.ended()
        assert await reached(relay, "half_open_max") >= 20
        assert await reached(relay, "handshake_timeout_s") == 0, "they went for want of room"
        async with open_raw(relay, "page") as honest:
            await honest.join()


async def test_P32_unfinished_messages_have_a_bound_together(tmp_path: Path) -> None:
    async with relay_with(tmp_path, unfinished_bytes_max=8 << 20) as relay:
        before = relay.memory_bytes
        await floods.unfinished_messages(relay, 8)
        assert await reached(relay, "unfinished_bytes_max") >= 5
        assert relay.peak_memory_bytes - before < 24 << 20
        await floods.all_closed(relay)
        assert await relay.meter("unfinished_bytes") == 0


async def test_P32_a_body_that_trickles_is_cut_off(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0, request_timeout_s=0.5) as relay:
        async with floods.sockets(relay, 1) as [each]:
            head = ["POST /doc/new HTTP/1.1", "Host: r", f"Authorization: Bearer {relay.token()}", "Content-Length: 99"]
            await each.send("\r\n".join([*head, "", "{"]).encode())
            assert await each.ended() == b""
        assert await reached(relay, "request_timeout_s") == 1


async def test_P32_requests_on_one_connection_are_answered_one_after_the_other(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay, floods.sockets(relay, 1) as [each]:
        await each.send(
            b"GET /live HTTP/1.1\r\nHost: r\r\n\r\n" * 50
            + b"GET /live HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n"
        )
        assert (await each.ended()).count(b"HTTP/1.1 200") == 51


ENDPOINTS = ("/ws/acme/page", "/sync/acme", "/d/page/ws/page", "/hocuspocus/acme")


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_P32_pages_of_other_origins_stay_out_of_every_endpoint(tmp_path: Path, path: str) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0, allowed_origins="https://shop.example") as relay:
        evil = {"Origin": "https://evil.example"}
        assert (await refusal(relay, path, relay.token(), evil))[:2] == (403, "forbidden")
        for request in ("/api/v1/tickets", "/doc/new", "/doc/page/auth", "/check_store"):
            status, _ = await relay.post(request, Authorization=f"Bearer {relay.token()}", **evil)
            assert status == 403, request
