"""Who gets in at /hocuspocus, what is kept of those who have not yet, and what bad frames cost."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from crdt_sync.protocol import hocuspocus, wire
from crdt_sync.protocol.messages import (
    Admitted,
    Authenticate,
    Denied,
    Leave,
    NewUpdate,
    Presence,
    PresenceEntry,
    PresenceRequest,
    Settled,
    Stateless,
    StateReply,
    StateRequest,
    TokenRequest,
)
from tests.integration.raw_member import Author, content_of
from tests.integration.raw_provider import RawProvider, open_provider
from tests.integration.relay_process import RelayProcess, eventually

ADDRESS = "d"
HOLDS_UPDATE = (NewUpdate, StateReply)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    folder = tmp_path_factory.mktemp("relay")
    settings: dict[str, Any] = {"limits.documents_per_connection_max": 20, "allowed_origins": "https://shop.example"}
    # What a stranger may send is bound by its bytes here, not by how long a busy machine takes to send them.
    settings["handshake_timeout_s"] = 15
    with RelayProcess(folder, log_level="debug", free_space_bytes_min=0, **settings) as process:
        yield process


@pytest.fixture
def document(request: pytest.FixtureRequest) -> str:
    plain = "".join(char if char.isalnum() else "-" for char in request.node.name.lower()).strip("-")
    return f"hocuspocus/{plain}"[:120].rstrip("-")


@pytest.mark.parametrize(("tenant", "origin", "status"), [("acme", "https://evil.example", 403), ("Acme!", None, 404)])
async def test_P14_a_foreign_origin_and_a_name_that_is_none_are_refused_before_the_upgrade(
    relay: RelayProcess, tenant: str, origin: str | None, status: int
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with open_provider(relay, tenant=tenant, origin=origin):
            pass
    assert caught.value.response.status_code == status


async def test_a_page_of_an_allowed_origin_comes_in(relay: RelayProcess, document: str) -> None:
    async with open_provider(relay, origin="https://shop.example") as provider:
        await provider.enter(document, relay.token())


BUSY: Mapping[str, list[bytes]] = {
    "silence": [],
    "pongs": [hocuspocus.PONG] * 50,
    "a token that does not hold": [hocuspocus.encode(ADDRESS, Authenticate("nonsense"))],
    "questions without a token": [hocuspocus.encode(f"d{n}", StateRequest({})) for n in range(50)],
}


@pytest.mark.parametrize("busy", BUSY)
async def test_P26_who_shows_no_token_that_holds_is_closed_in_time(tmp_path: Path, busy: str) -> None:
    async with (
        RelayProcess(tmp_path, handshake_timeout_s=0.5, free_space_bytes_min=0) as quick,
        open_provider(quick) as provider,
        open_provider(quick) as good,
    ):
        await good.enter("good", quick.token())
        for frame in BUSY[busy]:
            await provider.send(frame)
        code, reason = await provider.closed()
        assert code == 4408
        assert reason is not None
        assert reason.startswith("handshake-timeout: ")
        # A connection with a token stays, even when it has left all its documents.
        await good.say("good", Leave())
        await good.enter("again", quick.token())


async def test_P26_what_is_said_before_a_token_costs_little_and_is_never_kept(relay: RelayProcess) -> None:
    before, stored = relay.memory_bytes, await relay.meter("updates_stored_total")
    update = NewUpdate(Author().put("k", "x" * 30_000))
    state = StateRequest(dict.fromkeys(range(9_000), 1))
    async with open_provider(relay) as provider:
        for number in range(400):
            await provider.say(f"flood/{number}", state, update)
        for number in range(5_000):
            await provider.say(f"many/{number}", PresenceRequest())
        await provider.say("d", Authenticate("nonsense"))
        await provider.hears(lambda: any(isinstance(message, Denied) for message in provider.about("d")))
        assert relay.memory_bytes - before < 24 << 20
        assert await relay.meter("updates_stored_total") == stored


async def test_P26_what_a_provider_said_before_its_token_is_answered_after_it(
    relay: RelayProcess, document: str
) -> None:
    presence = Presence((PresenceEntry(5, 1, '{"name":"Ada"}'),))
    author = Author()
    async with open_provider(relay) as provider, open_provider(relay) as other:
        await other.enter(document, relay.token())
        await provider.say(document, StateRequest({}), presence, NewUpdate(author.put("k", 1)))
        await provider.say(document, Authenticate(relay.token()))
        await provider.hears(lambda: {StateReply, StateRequest} <= set(map(type, provider.about(document))))
        await other.hears(lambda: presence in other.about(document))
        assert await content_of(relay, document) == {}
        assert provider.settled(document) == 0
        await provider.say(document, StateReply(author.doc.get_update()))
        # One for its state, and one for the update that it had counted and that came again with it.
        await provider.hears(lambda: provider.settled(document) == 2)
        assert await content_of(relay, document) == {"k": 1}


BAD: Mapping[str, tuple[bytes | str, int]] = {
    "nothing at all": (b"", 4400),
    "text": ("hello", 4400),
    "no document": (wire.text("") + b"\x03", 4400),
    "blanks": (wire.text("  ") + b"\x03", 4400),
    "an address of 600 bytes": (wire.text("d" * 600) + b"\x03", 1009),
    "an address that is not UTF-8": (b"\x02\xff\xfe\x03", 4400),
    "an unknown type": (wire.text(ADDRESS) + b"\x0b", 4400),
    "what servers say to each other": (wire.text(ADDRESS) + b"\x06" + wire.text("x"), 4400),
    "an answer of servers": (wire.text(ADDRESS) + b"\x04\x00\x01\x00", 4400),
    "a stateless message of 20 KB": (hocuspocus.encode(ADDRESS, Stateless("x" * 20_000)), 1009),
    "an ack": (hocuspocus.encode(ADDRESS, Settled(True)), 4409),
    "a grant": (hocuspocus.encode(ADDRESS, Admitted(True)), 4409),
    "a denial": (hocuspocus.encode(ADDRESS, Denied("forbidden", "no")), 4409),
    "a token request": (hocuspocus.encode(ADDRESS, TokenRequest()), 4409),
    "an unknown scope": (wire.text(ADDRESS) + b"\x02\x02" + wire.text("root"), 4400),
    "bytes after the message": (wire.text(ADDRESS) + b"\x03\x00", 4400),
    "an update that is none": (hocuspocus.encode(ADDRESS, NewUpdate(b"\xff\xff\xff")), 4400),
    "a state vector of 2^28 clients": (wire.text(ADDRESS) + b"\x00\x00\x05" + bytes.fromhex("8080808001"), 4400),
}


@pytest.mark.parametrize("bad", BAD)
async def test_P15_a_bad_frame_ends_its_connection_and_nobody_elses(relay: RelayProcess, bad: str) -> None:
    frame, wanted = BAD[bad]
    async with open_provider(relay) as sender, open_provider(relay) as other:
        await other.enter(ADDRESS, relay.token())
        await sender.enter(ADDRESS, relay.token())
        await sender.send(frame)
        code, reason = await sender.closed()
        assert (code, bool(reason)) == (wanted, True)
        await other.say(ADDRESS, NewUpdate(Author().put(bad, 1)))
        await other.hears(lambda: other.settled(ADDRESS) == 2)


async def test_a_name_that_is_none_shuts_one_document_only(relay: RelayProcess, document: str) -> None:
    async with open_provider(relay) as provider:
        await provider.enter(document, relay.token())
        await provider.say("Not A Name", Authenticate(relay.token()), StateRequest({}))
        await provider.hears(lambda: bool(provider.about("Not A Name")))
        (denied,) = provider.about("Not A Name")[:1]
        assert isinstance(denied, Denied)
        assert denied.code == "invalid-name"
        await provider.say(document, NewUpdate(Author().put("k", 1)))
        await provider.hears(lambda: provider.settled(document) == 2)


async def test_more_documents_than_agreed_end_the_connection(relay: RelayProcess, document: str) -> None:
    async with open_provider(relay) as provider:
        for number in range(21):
            await provider.say(f"{document}/{number}", Authenticate(relay.token()))
        assert (await provider.closed())[0] == 1009


async def test_a_ping_is_answered_and_one_greets(relay: RelayProcess) -> None:
    async with open_provider(relay) as provider:
        await provider.hears(lambda: provider.signs == [hocuspocus.PING])
        await provider.send(hocuspocus.PING)
        await provider.hears(lambda: provider.signs == [hocuspocus.PING, hocuspocus.PONG])


async def test_presence_is_told_to_who_asks(relay: RelayProcess, document: str) -> None:
    presence = Presence((PresenceEntry(5, 1, '{"name":"Ada"}'),))
    async with open_provider(relay) as one, open_provider(relay) as two:
        await one.enter(document, relay.token())
        await two.enter(document, relay.token())
        await one.say(document, presence)
        await two.hears(lambda: presence in two.about(document))
        await two.say(document, PresenceRequest())
        await two.hears(lambda: two.about(document).count(presence) == 2)


async def test_a_ticket_is_as_good_as_a_token_once(relay: RelayProcess, document: str) -> None:
    status, body = await relay.post("/api/v1/tickets", Authorization=f"Bearer {relay.token()}")
    assert status == 201
    ticket = json.loads(body)["ticket"]
    async with open_provider(relay) as provider:
        await provider.enter(document, ticket)
        await provider.say(f"{document}-2", Authenticate(ticket))
        await provider.hears(lambda: bool(provider.about(f"{document}-2")))
        assert isinstance(provider.about(f"{document}-2")[0], Denied)
    assert ticket not in relay.log


async def test_P10_acks_survive_that_their_reader_was_shed(relay: RelayProcess, document: str) -> None:
    """It stops reading while it writes and others flood the room; once it reads, each of its updates is settled."""
    reader, writer = Author(), Author()
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    stream.setblocking(False)
    await asyncio.get_running_loop().sock_connect(stream, ("127.0.0.1", relay.port))
    async with open_provider(relay, sock=stream) as slow, open_provider(relay) as busy:
        await slow.enter(document, relay.token())
        await busy.enter(document, relay.token())
        slow.reads.clear()
        shed = await relay.meter("members_shed_total")
        sent = 0
        for number in range(10):
            await slow.say(document, NewUpdate(reader.put(f"s{number}", number)))
        while await relay.meter("members_shed_total") == shed:
            await busy.say(document, NewUpdate(writer.put(f"b{sent}", "x" * 200_000)))
            sent += 1
            await busy.hears(partial(has_settled, busy, document, 1 + sent))
        slow.reads.set()
        await slow.hears(lambda: slow.settled(document) == 11)

        async def held() -> int:
            return len(Author().learn([one.update for one in slow.about(document) if isinstance(one, HOLDS_UPDATE)]))

        await eventually(held, lambda seen: seen == sent)
        assert len(await content_of(relay, document)) == 10 + sent


def has_settled(provider: RawProvider, document: str, count: int) -> bool:
    return provider.settled(document) == count
