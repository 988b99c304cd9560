"""Bad frames over real sockets: their sender is closed with a code and a reason, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.protocol import wire, y_websocket
from crdt_sync.protocol.messages import NewUpdate, Presence, PresenceEntry, StateReply, StateRequest
from crdt_sync.protocol.state_vector import encode as encode_state
from tests.integration.raw_member import Author, RawMember, open_raw
from tests.integration.relay_process import RelayProcess

FRAME_BYTES_MAX = 1 << 20


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    folder = tmp_path_factory.mktemp("relay")
    limits: dict[str, Any] = {
        "limits.frame_bytes_max": FRAME_BYTES_MAX,
        "limits.update_part_bytes_max": FRAME_BYTES_MAX // 2,
    }
    with RelayProcess(folder, log_level="debug", free_space_bytes_min=0, **limits) as process:
        yield process


@pytest.fixture
def document(request: pytest.FixtureRequest) -> str:
    plain = "".join(char if char.isalnum() else "-" for char in request.node.name.lower()).strip("-")
    return f"hostile/{plain}"[:120].rstrip("-")


def update_frame(text: str) -> bytes:
    return y_websocket.encode(NewUpdate(bytes.fromhex(text)))


def awareness_frame(payload: bytes) -> bytes:
    return b"\x01" + wire.blob(payload)


def deep_array(depth: int) -> bytes:
    return y_websocket.encode(NewUpdate(b"\x01\x01\x01\x00\x08\x01\x01r\x01" + b"\x75\x01" * depth + b"\x7e\x00"))


FRAMES: Mapping[str, bytes | str] = {
    "nothing at all": b"",
    "text": "hello",
    "an unknown type": b"\x09",
    "another dialect's type": b"\x66\x01\x00",
    "an unknown sync step": b"\x00\x03\x00",
    "a truncated step": b"\x00\x00",
    "fewer bytes than announced": b"\x00\x02\x7f" + bytes(15),
    "bytes after the message": b"\x00\x00\x01\x00\xff",
    "an integer without end": b"\xff" * 200_000,
    "an update that is none": update_frame("ffffff"),
    "a state vector of 2^28 clients": b"\x00\x00\x05" + bytes.fromhex("8080808001"),
    "a state vector of 11,000 clients": b"\x00\x00" + wire.blob(encode_state(dict.fromkeys(range(11_000), 1))),
    "presence of 2^28 ids": awareness_frame(bytes.fromhex("8080808001")),
    "presence of 100,000 ids": awareness_frame(
        wire.uint(100_000) + b"".join(wire.uint(n) + b"\x01" + wire.text("{}") for n in range(100_000))
    ),
    "presence that is no JSON": awareness_frame(b"\x01\x07\x01" + wire.text("{name}")),
    "presence with NaN": awareness_frame(b"\x01\x07\x01" + wire.text('{"x":NaN}')),
    "presence nested without end": awareness_frame(b"\x01\x07\x01" + wire.text("[" * 5_000 + "]" * 5_000)),
    "presence of 20 KB": awareness_frame(b"\x01\x07\x01" + wire.text('"' + "x" * 20_000 + '"')),
    "presence that is not UTF-8": awareness_frame(b"\x01\x07\x01\x02\xff\xfe"),
    "F1 an origin inside its own item": update_frame("01010100a401020361626300"),
    "F2 a time bomb for typed reads": update_frame(
        "020301030a0204010174016108010174037e7e7e030100410108038101010344010602616200"
    ),
    "F3 an array nested 26,268 deep": deep_array(26_268),
    "F3 87,500 empty sections": y_websocket.encode(NewUpdate(wire.uint(87_500) + b"\x00\x01\x00" * 87_500 + b"\x00")),
    "F4 a client without structs": update_frame("0100010000"),
    "F5 a collected range of length 0": update_frame("01010101000000"),
    "F6 a text of length 0": update_frame("01020100040101740161000000"),
    "F7 content as JSON": update_frame("010102010201016d0201310131013100"),
    "F8 two sections of one client": update_frame("020101000001010100000200"),
    "F10 2^27 clients": update_frame("80808020"),
    "F13 a clock burnt to its end": update_frame("010107" + "0000" + "ffffffff0f" + "00"),
    "F13 in a deletion": update_frame("000107" + "01" + "00" + "ffffffff0f"),
}
TOO_MUCH = frozenset({"F3 an array nested 26,268 deep"})


async def check_alive(witness: RawMember, author: Author) -> None:
    """The room still takes and tells edits, and all that the witness ever heard comes from its author."""
    await witness.save(author.put("alive", author.root.get("alive", 0) + 1))
    assert witness.content() == author.root.to_py()
    presences = [message for message in witness.heard if isinstance(message, Presence) and message.entries]
    assert presences == []


@pytest.mark.parametrize("name", FRAMES)
async def test_P15_a_bad_frame_closes_its_sender_with_a_reason_and_nobody_else_notices(
    relay: RelayProcess, document: str, name: str
) -> None:
    author, pid = Author(), relay.pid
    async with open_raw(relay, document) as witness:
        await witness.join()
        await check_alive(witness, author)
        heard = len(witness.frames)
        async with open_raw(relay, document) as villain:
            await villain.join()
            await villain.send(FRAMES[name])
            code, reason = await villain.closed()
        assert code in {4400, 1009}
        if not name.startswith(("a state", "presence")):
            assert code == (1009 if name in TOO_MUCH else 4400)
        assert reason
        assert reason.split(":")[0] in {"malformed-message", "malformed-update", "limit-exceeded"}
        await check_alive(witness, author)
        assert len(witness.frames) == heard + 1
        assert (relay.pid, relay.is_running) == (pid, True)


@pytest.mark.parametrize("name", ["an update that is none", "F5 a collected range of length 0"])
async def test_P15_a_peer_with_a_bad_frame_is_closed_alike(relay: RelayProcess, document: str, name: str) -> None:
    frame = FRAMES[name]
    assert isinstance(frame, bytes)
    async with open_raw(relay, document, is_peer=True) as villain:
        await villain.join()
        await villain.send(wire.text(document) + frame)
        code, reason = await villain.closed()
    assert code == 4400
    assert reason is not None
    assert reason.startswith("malformed-update: ")


async def test_a_frame_above_the_limit_is_refused_unread(relay: RelayProcess, document: str) -> None:
    author = Author()
    async with open_raw(relay, document) as witness:
        await witness.join()
        async with open_raw(relay, document) as villain:
            await villain.join()
            await villain.send(b"\x00\x02" + wire.blob(bytes(FRAME_BYTES_MAX)))
            code, _ = await villain.closed()
        assert code == 1009
        await check_alive(witness, author)


async def test_P6_what_makes_yrs_hang_is_stored_as_bytes_and_served_as_bytes(
    relay: RelayProcess, document: str
) -> None:
    """F9 is what Yjs itself writes, so it is kept; reading it as an array would hang this process, which never does."""
    pid, update = relay.pid, bytes.fromhex("010103000401016106c3a9f09f988000")
    author = Author()
    async with open_raw(relay, document) as witness, open_raw(relay, document) as villain:
        await witness.join()
        await villain.join()
        await villain.save(update)
        await witness.hears(lambda: update in witness.updates)
        await witness.save(author.put("alive", 0))
    assert (relay.pid, relay.is_running) == (pid, True)


async def test_P6_the_serving_process_never_loads_native_crdt_code(relay: RelayProcess, document: str) -> None:
    author = Author()
    async with open_raw(relay, document) as writer, open_raw(relay, document) as reader:
        await writer.join()
        await writer.save(author.put("k", 1))
        await reader.join()
    maps = Path(f"/proc/{relay.pid}/maps")
    if not maps.exists():
        pytest.skip("this system does not show a process's libraries; run it on Linux")
    loaded = maps.read_text()
    assert "_sqlite3" in loaded
    assert "pycrdt" not in loaded


@pytest.mark.parametrize("text", ["01010101a401030361626300", "01010103000100"], ids=["first", "second"])
async def test_what_crashes_yrs_in_two_steps_hangs_on_nothing_and_is_not_kept(
    relay: RelayProcess, document: str, text: str
) -> None:
    """F1 as it was found: both updates build on clocks that nobody has, so the sender is asked for them."""
    async with open_raw(relay, document) as villain:
        await villain.join()
        asked = villain.heard.count(StateRequest({}))
        await villain.say(NewUpdate(bytes.fromhex(text)))
        await villain.hears(lambda: villain.heard.count(StateRequest({})) == asked + 1)
        await villain.say(StateReply(bytes.fromhex(text)))
        async with open_raw(relay, document) as fresh:
            await fresh.join()
            assert fresh.updates == [b"\x00\x00"]


async def test_P9_two_contents_under_one_id_close_the_second_writer(relay: RelayProcess, document: str) -> None:
    async with open_raw(relay, document) as victim, open_raw(relay, document) as villain:
        await victim.join()
        await villain.join()
        await victim.say(NewUpdate(bytes.fromhex("0101070004010174075041592031303000")))
        await victim.hears(lambda: len(victim.updates) == 2)
        await villain.say(NewUpdate(bytes.fromhex("0101070004010174075041592039393900")))
        code, reason = await villain.closed()
        assert (code, reason) == (
            4400,
            "client-id-reused: client id 7 is used twice: clock 4 already holds other content",
        )
        async with open_raw(relay, document) as fresh:
            await fresh.join()
            assert fresh.updates == [bytes.fromhex("0101070004010174075041592031303000")]


async def test_a_burnt_clock_leaves_its_victim_able_to_write(relay: RelayProcess, document: str) -> None:
    author = Author(client_id=7)
    async with open_raw(relay, document) as victim, open_raw(relay, document) as villain:
        await victim.join()
        await villain.join()
        await villain.send(FRAMES["F13 a clock burnt to its end"])
        await villain.closed()
        await victim.save(author.put("k", "still mine"))
        async with open_raw(relay, document) as fresh:
            await fresh.join()
            assert fresh.content() == {"k": "still mine"}


async def test_P8_an_update_with_a_hole_is_not_kept_but_asked_about(relay: RelayProcess, document: str) -> None:
    author = Author(client_id=9)
    first, second = author.put("k", 1), author.put("k", 2)
    async with open_raw(relay, document) as member:
        await member.join()
        asked = member.heard.count(StateRequest({}))
        await member.say(NewUpdate(second))
        await member.hears(lambda: member.heard.count(StateRequest({})) == asked + 1)
        await member.say(StateReply(author.doc.get_update()))
        await member.hears(lambda: len(member.updates) == 2)
        async with open_raw(relay, document) as fresh:
            await fresh.join()
            assert fresh.content() == {"k": 2}
    assert first


async def test_P11_somebody_elses_presence_can_neither_be_taken_nor_ended(relay: RelayProcess, document: str) -> None:
    ada = PresenceEntry(70, 5, '{"name":"Ada"}')
    async with (
        open_raw(relay, document) as owner,
        open_raw(relay, document, token=relay.token(subject="villain")) as villain,
    ):
        await owner.join()
        await villain.join()
        await owner.say(Presence((ada,)))
        await villain.hears(lambda: Presence((ada,)) in villain.heard)
        await villain.say(Presence((PresenceEntry(70, 6, None),)))
        await villain.say(Presence((PresenceEntry(70, 7, '{"name":"Eve"}'),)))
        await villain.say(StateRequest({}))
        await villain.hears(lambda: len(villain.updates) == 2)
        async with open_raw(relay, document) as newcomer:
            await newcomer.join()
            await newcomer.hears(lambda: Presence((ada,)) in newcomer.heard)
        assert [message for message in owner.heard if isinstance(message, Presence)] == []
