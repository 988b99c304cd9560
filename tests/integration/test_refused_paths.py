"""A write beyond one's rights, as each dialect tells it; and the command line and backends that set such rights."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from asyncio import to_thread
from collections.abc import Iterator
from typing import Any

import pytest

from crdt_sync.protocol.messages import Authenticate, Denied, Message, NewUpdate, Settled, StateReply, StateRequest
from server.auth.keys import KeyRing, secret_key
from server.auth.tokens import TokenVerifier
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.raw_provider import open_provider
from tests.integration.relay_process import RelayProcess, run_command

BOUNDS = ("*#m/mine", "*#m/mine/*")
REASON = "this token does not allow to write m/theirs in {}; the edits stay with you"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


def refusals(heard: list[Message]) -> list[str]:
    return [message.reason for message in heard if isinstance(message, Denied)]


@pytest.mark.parametrize("is_peer", [True, False], ids=["multiplexed", "y-websocket"])
async def test_P29_it_is_told_once_and_neither_kept_nor_shown(relay: RelayProcess, is_peer: bool) -> None:
    document = "peer" if is_peer else "page"
    mine, theirs = Author(), Author()
    token = relay.token(write=BOUNDS)
    async with (
        open_raw(relay, document) as other,
        open_raw(relay, document, token=token, is_peer=is_peer) as bounded,
    ):
        await other.join()
        await bounded.join()
        if is_peer:
            await bounded.say(StateReply(b"\x00\x00"))
        await bounded.save(mine.put("mine", 1))
        for value in (1, 2):
            await bounded.say(NewUpdate(theirs.put("theirs", value)))
        await bounded.hears(lambda: bool(refusals(bounded.heard)))
        # What is its own still arrives, so everything before it has been decided.
        await bounded.say(NewUpdate(Author().put("mine", 3)))
        await other.hears(lambda: len(other.updates) == 3)
        (reason,) = refusals(bounded.heard)
        assert REASON.format(document) in reason
        assert "theirs" not in other.content()
    assert "theirs" not in await content_of(relay, document)


async def test_P29_hocuspocus_says_that_it_is_not_saved_until_a_token_allows_it(relay: RelayProcess) -> None:
    author = Author()
    async with open_provider(relay) as provider:
        await provider.enter("hocus", relay.token(write=BOUNDS))
        await provider.say("hocus", NewUpdate(author.put("theirs", 1)))
        await provider.hears(
            lambda: Settled(False) in provider.about("hocus") and bool(refusals(provider.about("hocus")))
        )
        assert (provider.settled("hocus"), len(refusals(provider.about("hocus")))) == (1, 1)
        assert REASON.format("hocus") in refusals(provider.about("hocus"))[0]
        asked = len([one for one in provider.about("hocus") if isinstance(one, StateRequest)])
        await provider.say("hocus", Authenticate(relay.token()))
        await provider.hears(
            lambda: len([one for one in provider.about("hocus") if isinstance(one, StateRequest)]) > asked
        )
        await provider.say("hocus", StateReply(author.doc.get_update()))
        await provider.hears(lambda: provider.settled("hocus") > 1)
    assert await content_of(relay, "hocus") == {"theirs": 1}


def _post(relay: RelayProcess, path: str, body: bytes, token: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{relay.port}{path}", body, {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


async def test_P28_a_backend_bounds_what_its_page_may_write(relay: RelayProcess) -> None:
    clerk = relay.token(role="operator", write=("sweet#m/*",))
    ask = {"write": ["sweet#m/mine"]}
    status, given = await to_thread(_post, relay, "/doc/sweet/auth", json.dumps(ask).encode(), clerk)
    assert (status, given["authorization"]) == (200, "full")
    page = given["token"]
    assert (await to_thread(_post, relay, "/d/sweet/update", Author().put("mine", 1), page))[0] == 200
    status, problem = await to_thread(_post, relay, "/d/sweet/update", Author().put("theirs", 1), page)
    assert (status, problem["detail"]) == (403, REASON.format("sweet"))
    assert await content_of(relay, "sweet") == {"mine": 1}
    for wider, status in (("sweet", 403), ("*#m/mine", 403), ("sweet#", 400), (7, 400)):
        body = json.dumps({"write": [wider]}).encode()
        assert (await to_thread(_post, relay, "/doc/sweet/auth", body, clerk))[0] == status


async def test_P29_the_command_line_makes_tokens_with_bounds(relay: RelayProcess) -> None:
    options = ("--tenant", "acme", "--role", "operator", "--data", str(relay.data))
    bounds = ("--write", "notes#m/mine", "--write", "location:lyon", "--location", "paris")
    made = await to_thread(run_command, "token", *options, *bounds)
    assert (made.returncode, made.stderr) == (0, "")
    secret = secret_key(base64.b64decode((relay.data / "secret.key").read_text()))
    grant = TokenVerifier(KeyRing([secret])).verify(made.stdout.strip(), now_s=time.time())
    assert (grant.documents, grant.locations) == ((), ("paris",))
    assert [pattern.text for pattern in grant.write or ()] == ["notes#m/mine", "location:lyon"]
    wrong = await to_thread(run_command, "token", *options, "--write", "notes#")
    assert wrong.returncode == 1
    assert "path pattern" in wrong.stderr
