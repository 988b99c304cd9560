"""The number that a Hocuspocus provider shows: 0 means that everything is on disk, and it does come to 0.

The provider is a model of the stock one (4.8): what it counts, what it queues while it is offline, and when it sends
that. The other side is the real room and the real tally; only the pipes between them, and their accidents, are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import hocuspocus, state_vector
from crdt_sync.protocol.messages import Message, NewUpdate, Settled, StateReply, StateRequest
from server.rooms.room import Room
from server.rooms.tally import Tally
from server.rooms.turn import Arrived, Departed, Reply, Said
from server.web.hocuspocus import spell
from tests.unit.rooms.members import Writer, content, make_room, said

PING = PONG = None
Sent = Message | None


class Provider:
    """One page: its document, its number, and the frames on their way to the relay."""

    def __init__(self) -> None:
        self.writer = Writer(7)
        self.number = 0
        self.queue: list[Sent] = []
        self.out: list[Sent] | None = None
        self.has_begun = False
        self.has_heard = False
        self.deleted_unheard = False
        """It deleted something after it had begun and before it heard anything: that can't be told from its queue."""
        self._keys: list[str] = []
        self._count = 0

    def edit(self, *, deletes: bool) -> None:
        if deletes and not self._keys:
            return
        self._count += 1
        if deletes:
            update = self.writer.delete(self._keys.pop())
            self.deleted_unheard |= self.has_begun and not self.has_heard
        else:
            self._keys.append(f"k{self._count}")
            update = self.writer.set(self._keys[-1], self._count)
        self.number += 1
        (self.queue if self.out is None else self.out).append(NewUpdate(update))

    def open(self) -> None:
        self.out, self.has_begun, self.has_heard, self.deleted_unheard = [], False, False, False

    def begin(self) -> None:
        """Its token is there."""
        assert self.out is not None
        self.has_begun, self.number = True, 1
        self.out.append(StateRequest(state_vector.decode(self.writer.doc.get_state(), 9)))

    def hear(self, message: Sent) -> None:
        assert self.out is not None
        if not self.has_heard:
            self.has_heard = True
            self.out += self.queue
            self.queue = []
        match message:
            case None:
                self.out.append(PONG)
            case StateRequest(state):
                self.out.append(StateReply(self.writer.doc.get_update(state_vector.encode(state))))
            case Settled(True):
                self.number = max(0, self.number - 1)
            case _:
                return

    def content(self) -> Any:
        return content([self.writer.doc.get_update()])


class Relay:
    """The room, the tally of the connection that is open, and the frames on their way to the page."""

    def __init__(self, make_tally: Callable[[], Tally]) -> None:
        self.room: Room = make_room()
        self.kept: list[bytes] = []
        self.out: list[Sent] = []
        self._make_tally = make_tally
        self._member = 0
        self._tally = make_tally()
        self._is_in = self._queue_is_through = False

    def open(self) -> None:
        self._absorb(Departed(self._member))
        self._member += 1
        self._tally = self._make_tally()
        self._is_in = self._queue_is_through = False
        self.out = [PING]
        self._absorb(Arrived(self._member, "page", True, False, True, True))

    def hear(self, batch: Sequence[Sent]) -> None:
        """One turn."""
        heard: list[Said] = []
        for message in batch:
            if message is None:
                self._queue_is_through = True
                continue
            taken = said(self._member, message)
            if isinstance(message, StateRequest):
                self._is_in = True
                self._tally.began(message.state)
            elif not self._is_in:
                continue
            elif isinstance(message, StateReply):
                self._tally.heard_state()
            elif taken.update is not None:
                self._tally.heard(taken.update, from_queue=not self._queue_is_through)
            heard.append(taken)
        self._absorb(*heard)

    def _absorb(self, *envelopes: Any) -> None:
        turn = self.room.absorb(envelopes, now_s=0.0)
        assert turn.expelled == []
        self.kept += [one.update for one in turn.kept]
        spelled = partial(spell, "page", self._tally)
        for one in turn.deliveries:
            if isinstance(one, Reply) and one.member == self._member:
                frames = map(hocuspocus.open_frame, spelled(one.message))
                self.out += [hocuspocus.decode(frame, DEFAULT_LIMITS) for frame in frames]


class World:
    """Takes steps, and looks at the number after each."""

    def __init__(self, make_tally: Callable[[], Tally] = Tally) -> None:
        self.page = Provider()
        self.relay = Relay(make_tally)
        self.zeros = 0

    def step(self, name: str, much: int) -> None:
        page = self.page
        match name:
            case "edit" | "delete":
                page.edit(deletes=name == "delete")
            case "open" if page.out is None:
                page.open()
                self.relay.open()
            case "begin" if page.out is not None and not page.has_begun:
                page.begin()
            case "cut" if page.out is not None:
                page.out, page.has_begun = None, False
            case "up" if page.out:
                batch, page.out = page.out[:much], page.out[much:]
                self.relay.hear(batch)
            case "down" if page.out is not None:
                batch, self.relay.out = self.relay.out[:much], self.relay.out[much:]
                for message in batch:
                    page.hear(message)
                    self.look()
            case _:
                return
        self.look()

    def look(self) -> None:
        if self.page.number == 0 and self.page.has_begun:
            self.zeros += 1
            assert content(self.relay.kept) == self.page.content(), "the page says saved, and something is not"

    def come_to_rest(self) -> None:
        self.step("open", 0)
        self.step("begin", 0)
        while self.page.out or self.relay.out:
            self.step("up", 3)
            self.step("down", 3)
        assert content(self.relay.kept) == self.page.content()
        # Too little may be said of what can't be told from the queue, and then the next connection says it.
        assert self.page.number == 0 or self.page.deleted_unheard


steps = st.tuples(
    st.sampled_from(["edit", "edit", "delete", "open", "begin", "up", "up", "down", "down", "cut"]), st.integers(1, 4)
)
OFFLINE = [("edit", 1), ("edit", 1), ("edit", 1), ("open", 1), ("begin", 1), ("down", 4), ("up", 4), ("down", 4)]


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=60))
@example([*OFFLINE, ("edit", 1), ("up", 1), ("down", 4), ("up", 4), ("down", 4)])
@example([("edit", 1), ("open", 1), ("down", 1), ("edit", 1), ("begin", 1), ("edit", 1), ("up", 4), ("down", 4)])
def test_P25_a_number_of_0_is_true_and_is_reached(taken: list[tuple[str, int]]) -> None:
    world = World()
    for name, much in taken:
        world.step(name, much)
    world.come_to_rest()
    # And once more, with nothing in doubt.
    world.step("cut", 0)
    world.come_to_rest()
    assert world.page.number == 0
    assert world.zeros


class EveryUpdate(Tally):
    """The planted bug of the stock server: an ack for each update, counted or not."""

    def heard(self, update: Any, *, from_queue: bool) -> None:
        super().heard(update._replace(sections=()), from_queue=False)


class NoQueue(Tally):
    """What is only deleted counts, wherever it comes from."""

    def heard(self, update: Any, *, from_queue: bool) -> None:
        super().heard(update, from_queue=False)


class EveryState(Tally):
    """Each answer with a state counts, not only the first."""

    def heard_state(self) -> None:
        super().heard_state()
        self._worth[-1] = 1


SETTLED = [("edit", 1), ("open", 1), ("begin", 1), ("up", 9), ("down", 9), ("up", 9), ("down", 9)]
BACK = [("open", 1), ("begin", 1), ("down", 1), ("up", 9), ("down", 9), ("edit", 1), ("up", 1), ("down", 9)]
AHEAD_OF_THE_TOKEN = [
    ("open", 1),
    ("edit", 1),
    ("begin", 1),
    ("edit", 1),
    ("up", 9),
    ("down", 9),
    ("up", 2),
    ("down", 9),
]


@pytest.mark.parametrize(
    ("planted", "taken"),
    [
        (EveryUpdate, [("edit", 1), ("edit", 1), *BACK]),
        (NoQueue, [*SETTLED, ("cut", 1), ("delete", 1), *BACK]),
        (EveryState, [*AHEAD_OF_THE_TOKEN, ("edit", 1), ("up", 1), ("down", 9)]),
    ],
)
def test_a_planted_bug_in_the_tally_is_found(planted: type[Tally], taken: list[tuple[str, int]]) -> None:
    def play(world: World) -> None:
        for name, much in taken:
            world.step(name, much)
        world.come_to_rest()

    play(World())
    with pytest.raises(AssertionError, match="the page says saved"):
        play(World(planted))
