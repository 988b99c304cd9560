"""An outbox hands over everything, in order, to a socket that takes what it likes when it likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import RoomClosing, SyncError
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from server.rooms.outbox import WRITE_BYTES, Basket, Outbox
from server.rooms.parcels import Parcel

SMALL = replace(DEFAULT_LIMITS, outbox_bytes_max=400, outbox_messages_max=DEFAULT_LIMITS.turn_messages_max + 1)


@dataclass
class Socket:
    """Takes what comes while it is ready; is not ready any more once it took ``appetite`` parcels."""

    appetite: int = 1 << 30
    taken: list[bytes] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    ended: SyncError | None = None

    @property
    def is_ready(self) -> bool:
        return self.appetite > 0

    def write(self, parcels: Sequence[Parcel]) -> None:
        assert self.is_ready
        assert self.ended is None
        self.appetite -= len(parcels)
        self.writes.append(sum(parcel.size for parcel in parcels))
        for parcel in parcels:
            self.taken += parcel.frames

    def end(self, reason: SyncError) -> None:
        assert self.ended is None
        self.ended = reason


def opened(limits: Limits = DEFAULT_LIMITS, appetite: int = 1 << 30) -> tuple[Outbox, Socket]:
    socket = Socket(appetite)
    return Outbox(limits, socket), socket


PARCELS = st.lists(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5), max_size=20)


@given(parcels=PARCELS, appetites=st.lists(st.integers(0, 3), max_size=30))
def test_everything_arrives_in_order_whenever_the_socket_takes_it(
    parcels: list[list[bytes]], appetites: list[int]
) -> None:
    outbox, socket = opened(appetite=0)
    drained: list[int] = []
    for number, frames in enumerate(parcels):
        outbox.queue(Parcel(frames))
        if number == len(parcels) // 2:
            outbox.when_drained(lambda: drained.append(len(socket.taken)))
        if appetites:
            socket.appetite = appetites.pop()
            outbox.flush()
    reason = RoomClosing("over")
    outbox.end(reason)
    socket.appetite = 1 << 30
    outbox.flush()
    assert socket.taken == [frame for frames in parcels for frame in frames]
    assert socket.ended is reason
    assert not outbox.is_waiting
    if parcels:
        assert drained
        assert drained[0] >= sum(map(len, parcels[: len(parcels) // 2 + 1]))


def test_what_is_queued_waits_for_the_flush() -> None:
    outbox, socket = opened()
    outbox.queue(Parcel([b"a"]))
    outbox.queue(Parcel([b"b", b"c"]))
    assert socket.taken == []
    outbox.flush()
    assert socket.writes == [3]


def test_a_socket_is_not_given_more_at_once_than_it_should_hold_uncounted() -> None:
    outbox, socket = opened()
    for _ in range(8):
        outbox.queue(Parcel([bytes(WRITE_BYTES // 2)]))
    socket.appetite = 2
    outbox.flush()
    assert socket.writes == [WRITE_BYTES]
    assert outbox.is_waiting


def test_a_full_outbox_says_so_until_it_has_been_emptied() -> None:
    outbox, socket = opened(SMALL, appetite=0)
    outbox.put(bytes(399))
    assert not outbox.is_full
    outbox.put(b"x")
    assert outbox.is_full
    socket.appetite = 9
    outbox.flush()
    assert not outbox.is_full


def test_many_small_frames_fill_it_too() -> None:
    outbox, _ = opened(SMALL, appetite=0)
    outbox.queue(Parcel([b""] * (SMALL.outbox_messages_max - 1)))
    assert not outbox.is_full
    outbox.queue(Parcel([b""]))
    assert outbox.is_full


def test_the_first_reason_to_end_counts_and_is_told_once_after_what_is_queued() -> None:
    outbox, socket = opened(appetite=0)
    outbox.put(b"last words")
    first = RoomClosing("first")
    outbox.end(first)
    outbox.end(RoomClosing("second"))
    assert socket.ended is None
    socket.appetite = 1 << 30
    outbox.flush()
    outbox.flush()
    assert socket.taken == [b"last words"]
    assert socket.ended is first


def test_a_parcel_is_spelled_out_once_for_all_sockets() -> None:
    spelled: list[bytes] = []

    def spell(frame: bytes) -> bytes:
        spelled.append(frame)
        return b"<" + frame + b">"

    parcel = Parcel([b"one", b"two"])
    assert [parcel.wire(spell) for _ in range(3)] == [b"<one><two>"] * 3
    assert spelled == [b"one", b"two"]


async def test_who_fetches_frames_gets_all_of_them_and_then_the_end() -> None:
    basket = Basket(DEFAULT_LIMITS)
    basket.outbox.put(b"one")
    assert await basket.take() == (b"one",)
    # What comes while somebody is busy with the first waits.
    basket.outbox.put(b"two")
    basket.outbox.put(b"three")
    basket.outbox.end(RoomClosing("over"))
    assert basket.outbox.is_waiting
    assert await basket.take() == (b"two", b"three")
    assert await basket.take() == ()
