"""What is kept of a connection that has shown no token: the latest of what will be asked for, and not much of it."""

from __future__ import annotations

from crdt_sync.limits import Limits
from crdt_sync.protocol import hocuspocus
from crdt_sync.protocol.messages import Leave, Message, NewUpdate, Presence, PresenceRequest, StateReply, StateRequest
from server.web.waiting import Early, Waiting

BYTES_MAX = 4_096


def keep(waiting: Waiting, address: str, *messages: Message) -> None:
    for message in messages:
        frame = hocuspocus.encode(address, message)
        waiting.keep(hocuspocus.open_frame(frame), frame)


def make_waiting() -> Waiting:
    return Waiting(Limits(waiting_bytes_max=BYTES_MAX))


def test_the_latest_request_and_presence_are_kept_and_updates_are_counted_from_there() -> None:
    waiting, presence = make_waiting(), Presence(())
    keep(waiting, "d", NewUpdate(b"1"), StateRequest({1: 1}), NewUpdate(b"2"), StateRequest({1: 2}))
    keep(waiting, "d", NewUpdate(b"3"), presence, PresenceRequest(), StateReply(b"4"))
    assert waiting.claim("d") == Early(
        hocuspocus.encode("d", StateRequest({1: 2})), hocuspocus.encode("d", presence), worth=3
    )
    assert waiting.claim("d") == Early()
    assert waiting.size_bytes == 0


def test_what_is_put_back_is_as_good_as_said() -> None:
    waiting, request = make_waiting(), hocuspocus.encode("d", StateRequest({1: 1}))
    waiting.put_back("d", request, 0)
    keep(waiting, "d", NewUpdate(b"1"))
    assert waiting.claim("d") == Early(request, worth=1)


def test_who_leaves_is_forgotten() -> None:
    waiting = make_waiting()
    keep(waiting, "d", StateRequest({}), Leave())
    assert waiting.claim("d") == Early()
    assert waiting.size_bytes == 0


def test_the_oldest_address_is_forgotten_when_there_are_too_many_bytes() -> None:
    waiting = make_waiting()
    for number in range(1_000):
        keep(waiting, f"d{number}", StateRequest({}))
        assert waiting.size_bytes <= BYTES_MAX
    assert waiting.claim("d0") == Early()
    assert waiting.claim("d999").state_request is not None


def test_a_frame_that_is_too_large_is_not_kept() -> None:
    waiting = make_waiting()
    keep(waiting, "d", StateRequest(dict.fromkeys(range(2_000), 1)))
    assert waiting.claim("d") == Early()
    assert waiting.size_bytes == 0
