"""Who is refused before the upgrade, how, and what never reaches a log line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.raw_member import open_raw
from tests.integration.relay_process import DEADLINE_S, RelayProcess, eventually

SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(
        tmp_path_factory.mktemp("relay"),
        log_level="debug",
        free_space_bytes_min=0,
        allowed_origins=SHOP,
        handshake_timeout_s=0.2,
    ) as process:
        yield process


async def refusal(relay: RelayProcess, path: str, token: str | None, **options: str) -> tuple[int, str, str]:
    """Status, problem and sentence of a refused WebSocket."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with pytest.raises(InvalidStatus) as caught:
        await connect(relay.ws + path, additional_headers=headers, open_timeout=DEADLINE_S, **options)  # type: ignore[arg-type]
    response = caught.value.response
    assert response.headers["content-type"] == "application/problem+json"
    problem = json.loads(response.body or b"")
    assert problem["status"] == response.status_code
    assert problem["type"] == f"urn:crdt-sync:{problem['title']}"
    return response.status_code, problem["title"], problem["detail"]


@pytest.mark.parametrize("path", ["/ws/acme/shop/catalog", "/sync/acme"])
async def test_P14_without_a_good_token_nobody_comes_in(relay: RelayProcess, path: str) -> None:
    expired = relay.token(ttl_s=60, now_s=1_700_000_000)
    forged = relay.token()[:-6] + "AAAAAA"
    assert await refusal(relay, path, None) == (
        401,
        "unauthenticated",
        "no token: send one in the Authorization header, a subprotocol or the query",
    )
    assert await refusal(relay, path, expired) == (401, "unauthenticated", "the token has expired")
    assert (await refusal(relay, path, forged))[:2] == (401, "unauthenticated")
    assert (await refusal(relay, path, "no.token.atall"))[:2] == (401, "unauthenticated")
    for token in (expired, forged):
        assert token not in relay.log
        assert token.rpartition(".")[2] not in relay.log


@pytest.mark.parametrize("path", ["/ws/acme/shop/catalog", "/sync/acme"])
async def test_P14_a_token_of_another_tenant_is_forbidden(relay: RelayProcess, path: str) -> None:
    status, title, detail = await refusal(relay, path, relay.token("globex"))
    assert (status, title) == (403, "forbidden")
    assert detail == "this token is not for tenant acme"


async def test_P14_a_token_for_other_documents_is_forbidden(relay: RelayProcess) -> None:
    token = relay.token(documents=["inventory/*"])
    assert (await refusal(relay, "/ws/acme/metrics/2026-11", token))[:2] == (403, "forbidden")
    async with open_raw(relay, "inventory/2026-11", token=token) as member:
        await member.join()


@pytest.mark.parametrize(
    "path",
    [
        "/ws/acme/Catalog",
        "/ws/acme/a//b",
        "/ws/acme/%2e%2e",
        "/ws/acme/a/../b",
        "/ws/acme/a%00b",
        "/ws/acme/a%20",
        "/ws/acme/%ff",
        "/ws/acme/" + "x" * 201,
        "/ws/acme/caf%C3%A9",
        "/ws/ACME/catalog",
        "/sync/%2e%2e",
    ],
)
async def test_P14_a_name_outside_the_grammar_is_no_document(relay: RelayProcess, path: str) -> None:
    assert (await refusal(relay, path, relay.token()))[:2] == (404, "invalid-name")


async def test_pages_of_other_origins_stay_out(relay: RelayProcess) -> None:
    path, token = "/ws/acme/shop", relay.token()
    assert (await refusal(relay, path, token, origin="https://evil.example"))[:2] == (403, "forbidden")
    async with open_raw(relay, "shop", origin=SHOP) as member:
        await member.join()


async def test_a_connection_that_says_nothing_is_closed(relay: RelayProcess) -> None:
    async with open_raw(relay, "shop") as member:
        code, reason = await member.closed()
    assert code == 4408
    assert reason is not None
    assert reason.startswith("handshake-timeout: nothing was said")


async def test_headers_without_end_are_cut_off(relay: RelayProcess) -> None:
    before = relay.memory_bytes
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    try:
        writer.write(b"GET /ws/acme/shop HTTP/1.1\r\nHost: relay\r\n")
        line = b"X-Filler: " + b"x" * 1_000 + b"\r\n"
        try:
            for _ in range(20_000):
                writer.write(line)
                await writer.drain()
            answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
            assert answer.startswith(b"HTTP/1.1 4")
        except ConnectionError:
            assert relay.is_running
    finally:
        writer.close()
    assert relay.memory_bytes < before + (4 << 20)
    assert (await relay.get("/live"))[0] == 200


@pytest.mark.parametrize(
    "said", [b"", b"GET /live HTTP/1.1\r\nHost: re", b"GET /live HTTP/1.1\r\nHost: relay\r\n\r\nGET /l"]
)
async def test_a_request_that_is_never_finished_does_not_keep_its_connection(relay: RelayProcess, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    try:
        writer.write(said)
        async with asyncio.timeout(DEADLINE_S):
            answer = await read_to_the_end(reader)
        assert (b'"live"' in answer) == (b"\r\n\r\n" in said)
    finally:
        writer.close()


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while data := await reader.read(4096):
            answer += data
    return answer


async def test_a_token_that_expires_ends_its_connection(relay: RelayProcess) -> None:
    async with open_raw(relay, "shop", token=relay.token(ttl_s=2)) as member:
        await member.join()
        assert await member.closed() == (4401, "unauthenticated: the token has expired")


async def test_P19_no_credential_ever_stands_in_a_log_line(relay: RelayProcess) -> None:
    token = relay.token()
    _, body = await relay.post("/api/v1/tickets", Authorization=f"Bearer {token}")
    ticket = json.loads(body)["ticket"]
    for path in (f"/ws/acme/shop?token={token}", f"/ws/acme/shop?ticket={ticket}"):
        async with await connect(relay.ws + path, open_timeout=DEADLINE_S) as socket:
            await socket.send(b"\x09")
            await socket.wait_closed()
    assert (await refusal(relay, f"/ws/acme/shop?ticket={ticket}", None))[:2] == (401, "unauthenticated")
    assert (await relay.get(f"/ready?token={token}"))[0] == 200
    await eventually(lambda: asyncio.to_thread(lambda: relay.log), lambda log: log.count("connection refused") >= 2)
    for secret in (token, token.rpartition(".")[2], ticket):
        assert secret not in relay.log
