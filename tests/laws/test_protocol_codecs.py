"""Every message comes back from its frame; any frame gives a message or a ProtocolError, and nothing else."""

import json
from contextlib import suppress
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crdt_sync.errors import InvalidName, LimitExceeded, MalformedMessage, OutOfTurn, ProtocolError
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.protocol import hocuspocus, multiplexed, presence_codec, state_vector, wire, y_sweet, y_websocket
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
from crdt_sync.values import check_document
from tests.laws.mutants import mutant

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ids = st.integers(0, 2**53 - 1)
states = st.dictionaries(ids, st.integers(0, 2**31 - 1), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
presence_states = json_values.map(lambda value: None if value is None else json.dumps(value, ensure_ascii=False))
entries = st.builds(PresenceEntry, ids, st.integers(0, 2**32 - 1), presence_states)
presences = st.builds(Presence, st.lists(entries, max_size=4).map(tuple))
sync_messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(StateRequest, states),
    st.builds(StateReply, st.binary(max_size=60)),
    st.builds(NewUpdate, st.binary(max_size=60)),
    presences,
    st.just(PresenceRequest()),
)
provider_messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Authenticate, texts),
    st.just(TokenRequest()),
    st.builds(Admitted, st.booleans()),
    st.builds(Denied, st.from_regex(r"[a-z-]{1,12}", fullmatch=True), texts),
    st.builds(Stateless, texts),
    st.just(Leave()),
    st.builds(Ended, texts),
    st.builds(Settled, st.booleans()),
)
control_messages = st.builds(Ack, ids) | st.builds(Denied, texts, texts) | st.just(Leave())
documents = st.lists(st.from_regex(r"[a-z0-9_][a-z0-9._-]{0,8}", fullmatch=True), min_size=1, max_size=4).map("/".join)


@given(sync_messages)
def test_a_y_websocket_message_comes_back_from_its_frame(message: Message) -> None:
    assert y_websocket.decode(y_websocket.encode(message), DEFAULT_LIMITS) == message


@given(texts)
def test_the_y_websocket_dialect_keeps_the_reason_of_a_refusal(reason: str) -> None:
    frame = y_websocket.encode(Denied("forbidden", reason))
    assert y_websocket.decode(frame, DEFAULT_LIMITS) == Denied("denied", reason)


@pytest.mark.parametrize("message", [Ack(1), Leave()])
def test_the_y_websocket_dialect_has_no_word_for_an_ack(message: Message) -> None:
    with pytest.raises(OutOfTurn):
        y_websocket.encode(message)


@given(sync_messages | st.builds(SaveMark, ids))
def test_a_y_sweet_message_comes_back_from_its_frame(message: Message) -> None:
    assert y_sweet.decode(y_sweet.encode(message), DEFAULT_LIMITS) == message


@given(presences)
def test_a_y_sweet_client_answers_a_presence_request_in_its_own_words(presence: Presence) -> None:
    frame = b"\x03" + wire.blob(presence_codec.encode(presence))
    assert y_sweet.decode(frame, DEFAULT_LIMITS) == presence


@given(documents, sync_messages | control_messages)
def test_a_multiplexed_message_comes_back_from_its_frame(document: str, message: Message) -> None:
    assert multiplexed.decode(multiplexed.encode(document, message), DEFAULT_LIMITS) == (document, message)


@given(documents, st.text())
def test_a_token_is_about_no_document(document: str, token: str) -> None:
    frame = multiplexed.encode(multiplexed.CONNECTION, Authenticate(token))
    assert multiplexed.decode(frame, DEFAULT_LIMITS) == (multiplexed.CONNECTION, Authenticate(token))
    with pytest.raises(MalformedMessage):
        multiplexed.decode(multiplexed.encode(document, Authenticate(token)), DEFAULT_LIMITS)
    with pytest.raises(MalformedMessage):
        multiplexed.decode(multiplexed.encode(multiplexed.CONNECTION, Leave()), DEFAULT_LIMITS)


addresses = (
    st.tuples(texts.filter(lambda name: bool(name.partition("\0")[0].strip())), texts).map("\0".join) | documents
)


@given(addresses, sync_messages | provider_messages)
def test_a_hocuspocus_message_comes_back_from_its_frame(address: str, message: Message) -> None:
    envelope = hocuspocus.open_frame(hocuspocus.encode(address, message))
    assert (envelope.address, envelope.document) == (address, address.partition("\0")[0])
    kinds = (envelope.is_token, envelope.is_update, envelope.is_state_request, envelope.is_presence, envelope.is_leave)
    assert kinds == (
        isinstance(message, Authenticate | TokenRequest | Admitted | Denied),
        isinstance(message, NewUpdate | StateReply),
        isinstance(message, StateRequest),
        isinstance(message, Presence),
        isinstance(message, Leave | Ended),
    )
    assert hocuspocus.decode(envelope, DEFAULT_LIMITS) == message


@pytest.mark.parametrize("message", [Ack(1), SaveMark(1)])
def test_the_hocuspocus_dialect_has_no_word_for_a_number_of_acks(message: Message) -> None:
    with pytest.raises(OutOfTurn):
        hocuspocus.encode("d", message)


@given(states)
def test_a_state_vector_comes_back_from_its_bytes(state: dict[int, int]) -> None:
    assert state_vector.decode(state_vector.encode(state), 8) == state


@given(ids, st.binary(max_size=40), texts)
def test_primitives_come_back_in_sequence(number: int, data: bytes, text: str) -> None:
    reader = wire.Reader(wire.uint(number) + wire.blob(data) + wire.text(text))
    assert (reader.uint(), reader.blob(), reader.text()) == (number, data, text)
    reader.finish()


def decode_everything(raw: bytes) -> None:
    """Every decoder on the same bytes: what none of them may do is raise anything but a ProtocolError."""
    decoders = (
        lambda: y_websocket.encode(y_websocket.decode(raw, DEFAULT_LIMITS)),
        lambda: y_sweet.encode(y_sweet.decode(raw, DEFAULT_LIMITS)),
        lambda: hocuspocus.encode("d", hocuspocus.decode(hocuspocus.open_frame(raw), DEFAULT_LIMITS)),
        lambda: multiplexed.encode(*multiplexed.decode(raw, DEFAULT_LIMITS)),
        lambda: state_vector.encode(state_vector.decode(raw, 100)),
        lambda: presence_codec.encode(presence_codec.decode(raw, DEFAULT_LIMITS)),
    )
    for decode in decoders:
        with suppress(ProtocolError):
            decode()


@settings(max_examples=500)
@given(st.binary(max_size=80))
@example(b"\xff" * 100_000)
@example(b"\x01" + wire.blob(b"\x01\x01\x01" + wire.text("[" * 5_000)))
@example(b"\x01" + wire.blob(b"\x01\x01\x01" + wire.text("NaN")))
@example(b"\x01" + wire.blob(b"\x01\x01\x01" + wire.text("9" * 10_000)))
@example(b"\x01" + wire.blob(b"\x01\x01\x01" + wire.text('"\\ud800"')))
@example(b"\x84\x00\x00")
def test_any_frame_is_a_message_or_a_protocol_error(raw: bytes) -> None:
    decode_everything(raw)


@settings(max_examples=300)
@given(addresses, st.lists(sync_messages | provider_messages, min_size=1, max_size=4), st.integers(0, 2**32))
def test_any_damaged_hocuspocus_frame_is_a_message_or_a_protocol_error(
    address: str, said: list[Message], seed: int
) -> None:
    random = Random(seed)
    frames = [hocuspocus.encode(address, message) for message in said]
    for frame in frames:
        decode_everything(mutant(frame, frames, random))


@settings(max_examples=300)
@given(documents, st.lists(sync_messages | control_messages, min_size=1, max_size=4), st.integers(0, 2**32))
def test_any_damaged_frame_is_a_message_or_a_protocol_error(document: str, said: list[Message], seed: int) -> None:
    random = Random(seed)
    frames = [multiplexed.encode(document, message) for message in said]
    frames += [y_websocket.encode(message) for message in said if not isinstance(message, Ack | Leave)]
    frames += [y_sweet.encode(SaveMark(seed)), b"\x03" + wire.blob(presence_codec.encode(Presence(())))]
    for frame in frames:
        decode_everything(mutant(frame, frames, random))


@pytest.mark.parametrize("frame", ["000005ffffffff07", "0105ffffffff07", "000006fffffffffffff"[:-1]])
def test_entries_that_a_frame_cannot_hold_are_refused(frame: str) -> None:
    with pytest.raises(MalformedMessage):
        y_websocket.decode(bytes.fromhex(frame), DEFAULT_LIMITS)


@pytest.mark.parametrize("frame", ["", "00", "0003", "0000", "00000101", "000201", "04", "0201", "0300", "0102ff"])
def test_an_incomplete_unknown_or_overlong_frame_is_refused(frame: str) -> None:
    with pytest.raises(MalformedMessage):
        y_websocket.decode(bytes.fromhex(frame), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "frame", ["66", "6600", "660101ff", "660180", "66020101", "6609808080808080808001", "e600", "0300", "03020100"]
)
def test_an_incomplete_or_overlong_y_sweet_frame_is_refused(frame: str) -> None:
    with pytest.raises(MalformedMessage):
        y_sweet.decode(bytes.fromhex(frame), DEFAULT_LIMITS)


doc_ids = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)


@given(st.lists(doc_ids, min_size=2, max_size=2, unique=True))
@example(["Abc", "_Abc"])
@example(["-a", "_-a"])
@example(["aB", "ab"])
def test_two_ids_of_y_sweet_are_never_one_document(pair: list[str]) -> None:
    one, two = map(y_sweet.document_of, pair)
    assert one != two


@given(documents)
def test_a_name_of_ours_means_itself_to_a_y_sweet_page(document: str) -> None:
    assert y_sweet.document_of(document) == document


@given(st.text(max_size=20))
def test_any_id_is_a_document_or_an_invalid_name(doc_id: str) -> None:
    with suppress(InvalidName):
        assert check_document(y_sweet.document_of(doc_id))


@pytest.mark.parametrize("document", ["", "A", "a//b", "../a", "a/", "a%2fb", "a" * 201])
def test_a_frame_about_a_document_of_no_lawful_name_is_refused(document: str) -> None:
    with pytest.raises(MalformedMessage):
        multiplexed.decode(wire.text(document) + b"\x03", DEFAULT_LIMITS)


def test_more_than_agreed_is_refused_by_name() -> None:
    many = Presence(tuple(PresenceEntry(client, 0, None) for client in range(3)))
    with pytest.raises(LimitExceeded):
        presence_codec.decode(presence_codec.encode(many), Limits(presence_states_max=2))
    large = Presence((PresenceEntry(1, 0, json.dumps("x" * 100)),))
    with pytest.raises(LimitExceeded) as caught:
        presence_codec.decode(presence_codec.encode(large), Limits(presence_state_bytes_max=100))
    assert (caught.value.limit, caught.value.allowed, caught.value.actual) == ("presence_state_bytes_max", 100, 102)
    with pytest.raises(LimitExceeded):
        state_vector.decode(state_vector.encode({1: 1, 2: 1, 3: 1}), 2)
    with pytest.raises(MalformedMessage):
        state_vector.decode(b"\x02\x01\x01\x01\x02", 9)
