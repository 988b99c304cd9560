"""The very bytes of each dialect, as other implementations write them."""

import pytest

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import hocuspocus, multiplexed, wire, y_sweet, y_websocket
from crdt_sync.protocol.messages import (
    Ack,
    Admitted,
    Authenticate,
    Denied,
    Ended,
    Leave,
    Message,
    NewUpdate,
    Presence,
    PresenceEntry,
    PresenceRequest,
    SaveMark,
    Settled,
    Stateless,
    StateReply,
    StateRequest,
    TokenRequest,
)

FRAMES: dict[str, Message] = {
    "00000100": StateRequest({}),
    "00000401e80702": StateRequest({1000: 2}),
    "0001020000": StateReply(b"\x00\x00"),
    "0002020000": NewUpdate(b"\x00\x00"),
    "010100": Presence(()),
    "010901070305" + "7b7d202020": Presence((PresenceEntry(7, 3, "{}   "),)),
    "010801070404" + "6e756c6c": Presence((PresenceEntry(7, 4, None),)),
    "0200026e6f": Denied("denied", "no"),
    "03": PresenceRequest(),
}
CONTROL: dict[str, Message] = {"04002a": Ack(42), "04010163026e6f": Denied("c", "no"), "0402": Leave()}


@pytest.mark.parametrize("frame", FRAMES)
def test_y_websocket_frames_are_those_of_y_protocols(frame: str) -> None:
    raw, message = bytes.fromhex(frame), FRAMES[frame]
    assert y_websocket.decode(raw, DEFAULT_LIMITS) == message
    assert y_websocket.encode(message) == raw


@pytest.mark.parametrize("frame", FRAMES)
def test_y_sweet_frames_begin_as_those_of_y_websocket(frame: str) -> None:
    raw, message = bytes.fromhex(frame), FRAMES[frame]
    assert y_sweet.decode(raw, DEFAULT_LIMITS) == message
    assert y_sweet.encode(message) == raw


@pytest.mark.parametrize(("frame", "version"), [("660100", 0), ("66017f", 127), ("660380f101", 30_848)])
def test_a_sync_status_of_y_sweet_is_a_mark(frame: str, version: int) -> None:
    raw = bytes.fromhex(frame)
    assert y_sweet.decode(raw, DEFAULT_LIMITS) == SaveMark(version)
    assert y_sweet.encode(SaveMark(version)) == raw


@pytest.mark.parametrize(
    ("doc_id", "document"),
    [
        ("notes-1", "notes-1"),
        ("inventory/2026-11", "inventory/2026-11"),
        ("myDoc", "my.doc"),
        ("V1StGXR8", "_..v1.st.g.x.r8"),
        ("-x", "_.-x"),
        ("_X", "_.x"),
    ],
)
def test_the_id_of_a_y_sweet_document_is_a_name_of_ours(doc_id: str, document: str) -> None:
    assert y_sweet.document_of(doc_id) == document


@pytest.mark.parametrize("frame", [frame for frame in (*FRAMES, *CONTROL) if not frame.startswith("02")])
def test_our_own_dialect_puts_the_document_in_front(frame: str) -> None:
    message = (FRAMES | CONTROL)[frame]
    raw = b"\x0dinventory/all" + bytes.fromhex(frame)
    assert multiplexed.encode("inventory/all", message) == raw
    assert multiplexed.decode(raw, DEFAULT_LIMITS) == ("inventory/all", message)


def test_the_sign_of_life_is_an_empty_presence() -> None:
    assert y_websocket.encode(Presence(())) == y_websocket.SIGN_OF_LIFE


PROVIDER_FRAMES = {
    "016100000100": StateRequest({}),
    "0161020003746f6b05342e382e30": Authenticate("tok"),
    "01610200": TokenRequest(),
    "016102020a726561642d7772697465": Admitted(True),
    "0161020208726561646f6e6c79": Admitted(False),
    "016103": PresenceRequest(),
    "0161050568656c6c6f": Stateless("hello"),
    "016107": Leave(),
    "01610704676f6e65": Ended("gone"),
    "01610801": Settled(True),
    "01610800": Settled(False),
}


@pytest.mark.parametrize("frame", PROVIDER_FRAMES)
def test_hocuspocus_frames_are_those_of_its_provider(frame: str) -> None:
    raw, message = bytes.fromhex(frame), PROVIDER_FRAMES[frame]
    assert hocuspocus.decode(hocuspocus.open_frame(raw), DEFAULT_LIMITS) == message
    if not isinstance(message, Authenticate):
        # The provider says its version behind its token; we leave that empty.
        assert hocuspocus.encode("a", message) == raw


def test_a_session_stands_behind_the_name_of_its_document() -> None:
    envelope = hocuspocus.open_frame(wire.text("inventory/catalog\0k3j4") + b"\x07")
    assert (envelope.document, envelope.address) == ("inventory/catalog", "inventory/catalog\0k3j4")
