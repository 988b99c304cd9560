"""y-sweet's paths as a stranger meets them: who is refused, and how."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import y_sweet
from crdt_sync.protocol.messages import Message, NewUpdate, SaveMark, StateReply, StateRequest
from crdt_sync.updates.pieces import EMPTY_UPDATE
from tests.integration.raw_member import Author, content_of
from tests.integration.relay_process import DEADLINE_S, RelayProcess

SHOP = "https://shop.example"
PUBLIC = "https://sync.shop.example"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(
        tmp_path_factory.mktemp("relay"),
        log_level="debug",
        free_space_bytes_min=0,
        allowed_origins=SHOP,
        public_url=PUBLIC,
    ) as process:
        yield process


async def ask(
    relay: RelayProcess, method: str, path: str, body: bytes = b"{}", *, token: str | None = None, **headers: str
) -> tuple[int, Any]:
    """Status, and the body as JSON if it is some."""
    wanted = {"Authorization": f"Bearer {token or relay.token()}", **headers}
    return await asyncio.to_thread(_ask, f"http://127.0.0.1:{relay.port}{path}", method, body, wanted)


def _ask(url: str, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    data = None if method == "GET" else body
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            return response.status, _read(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _read(error.read())


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw


async def refused(relay: RelayProcess, path: str, token: str | None, **headers: str) -> tuple[int, str]:
    """Status and problem of a refused WebSocket."""
    query = "" if token is None else f"?token={token}"
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{relay.ws}{path}{query}", open_timeout=DEADLINE_S, additional_headers=headers)
    return caught.value.response.status_code, json.loads(caught.value.response.body or b"")["title"]


async def test_a_client_token_says_where_pages_reach_the_relay(relay: RelayProcess) -> None:
    status, given = await ask(relay, "POST", "/doc/Notes/auth")
    assert (status, given["url"], given["baseUrl"]) == (
        200,
        "wss://sync.shop.example/d/Notes/ws",
        "https://sync.shop.example/d/Notes",
    )
    assert (given["docId"], given["authorization"]) == ("Notes", "full")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/doc/new", b"", 400),
        ("/doc/new", b"[]", 400),
        ("/doc/new", b'{"docId": 1}', 400),
        ("/doc/new", b'{"docId": "a", "docId": "b"}', 400),
        ("/doc/new", b'{"more": "a"}', 400),
        ("/doc/new", b'{"docId": "a//b"}', 404),
        ("/doc/new", b'{"docId": "../a"}', 404),
        ("/doc/new", b'{"docId": "' + b"a" * 5_000 + b'"}', 413),
        ("/doc/notes/auth", b'{"authorization": "root"}', 400),
        ("/doc/notes/auth", b'{"role": "root"}', 400),
        ("/doc/notes/auth", b'{"validForSeconds": true}', 400),
        ("/doc/notes/auth", b'{"validForSeconds": 0}', 400),
        ("/doc/notes/auth", b'{"userId": ""}', 400),
        ("/doc/a%2f%2fb/auth", b"{}", 404),
        ("/doc/%C3%A9/auth", b"{}", 404),
    ],
)
async def test_a_request_that_means_nothing_is_refused(
    relay: RelayProcess, path: str, body: bytes, status: int
) -> None:
    found, problem = await ask(relay, "POST", path, body)
    assert (found, problem["status"]) == (status, status)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/doc/new"),
        ("POST", "/doc/notes/auth"),
        ("GET", "/d/notes/as-update"),
        ("POST", "/d/notes/update"),
    ],
)
async def test_P14_without_a_good_token_there_is_no_answer(relay: RelayProcess, method: str, path: str) -> None:
    forged = relay.token()[:-6] + "AAAAAA"
    assert (await ask(relay, method, path, token=forged))[0] == 401
    assert (await ask(relay, method, path, Origin="https://evil.example"))[0] == 403
    assert forged not in relay.log
    if path != "/doc/new":
        assert (await ask(relay, method, path, token=relay.token(documents=["other"])))[0] == 403


async def test_P14_a_page_is_refused_before_the_upgrade(relay: RelayProcess) -> None:
    _, given = await ask(relay, "POST", "/doc/notes/auth")
    token = given["token"]
    assert await refused(relay, "/d/notes/ws/notes", None) == (401, "unauthenticated")
    assert await refused(relay, "/d/notes/ws/notes", token[:-6] + "AAAAAA") == (401, "unauthenticated")
    assert await refused(relay, "/d/other/ws/other", token) == (403, "forbidden")
    assert await refused(relay, "/d/notes/ws/notes", token, Origin="https://evil.example") == (403, "forbidden")
    for path in ("/d/notes/ws/other", "/d/notes/ws", "/d/notes", "/d/ws/", "/d//ws/", "/d/a%2f%2fb/ws/a%2f%2fb"):
        assert await refused(relay, path, token) == (404, "invalid-name")
    assert token not in relay.log


async def test_P27_a_mark_comes_after_the_state_and_not_before_it(relay: RelayProcess) -> None:
    """Frame by frame, as the stock client says them when it comes back with an edit that it made offline."""
    author = Author()
    author.put("offline", True)
    _, given = await ask(relay, "POST", "/doc/folder/ws/marks/auth")
    heard: list[Message] = []

    async with connect(
        f"{relay.ws}/d/folder/ws/marks/ws/folder/ws/marks?token={given['token']}", compression=None, origin=Origin(SHOP)
    ) as page:

        async def hears(wanted: type[Message]) -> Message:
            async with asyncio.timeout(DEADLINE_S):
                while not any(isinstance(message, wanted) for message in heard):
                    heard.append(y_sweet.decode(await page.recv(decode=False), DEFAULT_LIMITS))
            return next(message for message in heard if isinstance(message, wanted))

        await page.send(y_sweet.encode(StateRequest({})))
        await page.send(y_sweet.encode(SaveMark(1)))
        await hears(StateRequest)
        # A question that is answered in order: had the mark been said back, it would have come before the answer.
        heard.clear()
        await page.send(y_sweet.encode(StateRequest({})))
        assert await hears(StateReply) == StateReply(EMPTY_UPDATE)
        assert SaveMark(1) not in heard
        await page.send(y_sweet.encode(StateReply(author.doc.get_update())))
        assert await hears(SaveMark) == SaveMark(1)
        assert not any(isinstance(message, NewUpdate) for message in heard)
        assert await content_of(relay, "folder/ws/marks") == {"offline": True}


@pytest.mark.parametrize("frame", ["66", "6600", "66020101", "0300", "04", ""])
async def test_P15_a_frame_that_is_none_ends_the_connection(relay: RelayProcess, frame: str) -> None:
    _, given = await ask(relay, "POST", "/doc/hostile/auth")
    async with connect(f"{relay.ws}/d/hostile/ws/hostile?token={given['token']}", compression=None) as page:
        await page.send(bytes.fromhex(frame))
        async with asyncio.timeout(DEADLINE_S):
            await page.wait_closed()
        assert page.close_code == 4400


async def test_an_update_larger_than_a_frame_is_refused(relay: RelayProcess) -> None:
    body = bytes(DEFAULT_LIMITS.frame_bytes_max + 1)
    status, problem = await ask(relay, "POST", "/d/large/update", body)
    assert (status, problem["title"]) == (413, "limit-exceeded")
