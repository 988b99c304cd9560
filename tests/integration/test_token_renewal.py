"""A peer goes on with another token on the same connection, and with nobody else's (P30)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdt_sync.errors import Unauthenticated
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer import OfflinePeer
from crdt_sync.peer.renewal import ends_at_s, wait_s
from crdt_sync.protocol import multiplexed
from crdt_sync.protocol.messages import Authenticate, Denied, NewUpdate
from tests.integration.raw_member import Author, content_of, open_raw
from tests.integration.relay_process import RelayProcess, eventually


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("relay"), free_space_bytes_min=0) as process:
        yield process


def shown(token: str) -> bytes:
    return multiplexed.encode(multiplexed.CONNECTION, Authenticate(token))


async def has_expired(relay: RelayProcess, token: str) -> bool:
    ends_s = ends_at_s(token)
    assert ends_s is not None
    return time.time() > ends_s + 1.5


async def test_P30_a_connection_lives_on_with_the_token_that_it_was_shown_last(relay: RelayProcess) -> None:
    first = relay.token(subject="till", ttl_s=2)
    author = Author()
    async with (
        open_raw(relay, "renewal/on", token=first, is_peer=True) as renewed,
        open_raw(relay, "renewal/on", token=first, is_peer=True) as forgetful,
    ):
        await renewed.join()
        await forgetful.join()
        await renewed.send(shown(relay.token(subject="till")))
        assert (await forgetful.closed())[0] == 4401
        await eventually(lambda: has_expired(relay, first), bool)
        await renewed.save(author.put("after", 1))
    assert await content_of(relay, "renewal/on") == {"after": 1}


async def test_P30_what_the_next_token_does_not_open_is_lost_and_what_it_does_not_write_is_refused(
    relay: RelayProcess,
) -> None:
    author = Author()
    token = relay.token(subject="clerk", documents=["renewal/kept", "renewal/gone"])
    async with open_raw(relay, "renewal/kept", token=token, is_peer=True) as member:
        await member.join()
        await member.save(author.put("before", 1))
        narrower = relay.token(subject="clerk", role="viewer", documents=["renewal/kept"])
        await member.send(shown(narrower))
        await member.say(NewUpdate(author.put("after", 2)))
        await member.hears(lambda: any(isinstance(heard, Denied) for heard in member.heard))
        wider = relay.token(subject="clerk", documents=["renewal/other"])
        await member.send(shown(wider))
        await member.hears(lambda: sum(isinstance(heard, Denied) for heard in member.heard) == 2)
    assert await content_of(relay, "renewal/kept") == {"before": 1}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"subject": "somebody-else"}, 4403),
        ({"subject": "till", "tenant": "bravo"}, 4403),
        ({"subject": "till", "now_s": 1_000_000.0}, 4401),
        (None, 4401),
    ],
)
async def test_P30_nobody_elses_token_keeps_a_connection(
    relay: RelayProcess, claims: dict[str, object] | None, code: int
) -> None:
    token = "no.token.atall" if claims is None else relay.token(**claims)  # type: ignore[arg-type]
    async with open_raw(relay, "renewal/foreign", token=relay.token(subject="till"), is_peer=True) as member:
        await member.join()
        await member.send(shown(token))
        assert (await member.closed())[0] == code


async def test_a_peer_shows_fresh_tokens_in_time_and_keeps_its_connection(relay: RelayProcess, tmp_path: Path) -> None:
    given: list[str] = []

    def fresh() -> str:
        given.append(relay.token(subject="till", ttl_s=3))
        return given[-1]

    opened = await relay.meter("connections_opened_total")
    async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till", relay=relay.ws, token=fresh) as till:
        async with till.online():
            async with till.edit() as docs:
                docs.inventory.add_product("tea")

            async def first_is_over() -> bool:
                return len(given) >= 3 and await has_expired(relay, given[0])

            await eventually(first_is_over, bool)
            async with till.edit() as docs:
                docs.inventory.add_product("coffee")
        await till.sync()
    # One while it was online, and one to sync.
    assert await relay.meter("connections_opened_total") == opened + 2


async def test_what_a_peers_tokens_come_from_fails_is_not_hidden(relay: RelayProcess, tmp_path: Path) -> None:
    asked: list[int] = []

    def fails() -> str:
        asked.append(1)
        if len(asked) > 1:
            raise Unauthenticated("the issuer is out of order")
        return relay.token(subject="till", ttl_s=2)

    async def has_failed() -> bool:
        return len(asked) > 1

    async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till", relay=relay.ws, token=fails) as till:
        async with till.online():
            await eventually(has_failed, bool)
        with pytest.raises(Unauthenticated, match="out of order"):
            await till.sync()


def test_when_a_token_should_be_followed_by_another() -> None:
    assert ends_at_s("csk_1_secret") is None
    assert ends_at_s("a.b.c") is None
    assert ends_at_s("a." + "e30" + ".c") is None
    token = "a.eyJleHAiOjEwMDB9.c"  # {"exp":1000}
    assert ends_at_s(token) == 1000
    assert wait_s(token, 0) == 940
    assert wait_s(token, 910) == 60
    assert wait_s(token, 1000) is None


def test_a_message_about_no_document_is_a_token_or_nothing() -> None:
    frame = shown("secret")
    assert frame == b"\x00\x04\x03\x06secret"
    assert multiplexed.decode(frame, DEFAULT_LIMITS) == (multiplexed.CONNECTION, Authenticate("secret"))
    assert "secret" not in repr(multiplexed.decode(frame, DEFAULT_LIMITS))
