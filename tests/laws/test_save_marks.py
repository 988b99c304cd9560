"""A mark is said back only when all that its page had done by then is kept (P27), whatever is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map

from crdt_sync.protocol.messages import Message, NewUpdate, SaveMark, StateReply, StateRequest
from server.rooms.room import Room
from server.rooms.turn import Arrived, Departed, Turn
from tests.unit.rooms.members import Writer, absorb, content, make_room, replies, said

PAGES = 2


@dataclass
class SweetPage:
    """What y-sweet's client does: every edit is sent with a mark, a connection begins with both questions."""

    number: int
    writer: Writer
    member: int = 0
    version: int = 0
    acked: int = 0
    outgoing: list[Message] = field(default_factory=list)

    @property
    def is_connected(self) -> bool:
        return self.member > 0

    def edit(self) -> None:
        self.version += 1
        # The same keys again and again, so that deletes and gaps are common.
        update = self.writer.set(f"page-{self.number}-{self.version % 3}", self.version)
        if self.is_connected:
            self.outgoing += [NewUpdate(update), SaveMark(self.version)]

    def connect(self, room: Room, member: int) -> None:
        self.member = member
        absorb(room, Arrived(member, f"user-{self.number}", True, wants_echo=False, keeps_pending=True))
        self.outgoing = [StateRequest({}), SaveMark(self.version)]

    def cut(self, room: Room) -> None:
        absorb(room, Departed(self.member))
        self.member, self.outgoing = 0, []

    def send(self, room: Room, count: int, kept: list[bytes]) -> None:
        """Send the next messages in one turn, and hear the answers; answers of its own wait to be sent."""
        sent, self.outgoing = self.outgoing[:count], self.outgoing[count:]
        turn = absorb(room, *(said(self.member, message) for message in sent))
        assert not turn.expelled
        kept += [one.update for one in turn.kept]
        for message in replies(turn, self.member):
            match message:
                case SaveMark(version):
                    self.acked = max(self.acked, version)
                case StateRequest():
                    self.outgoing.append(StateReply(self.writer.doc.get_update()))
                case NewUpdate(update) | StateReply(update):
                    self.writer.apply(update)
                case _:
                    continue


def shown(kept: list[bytes]) -> dict[str, float]:
    values: dict[str, float] = content(kept)[0] or {}
    return values


steps = st.lists(
    st.tuples(
        st.integers(0, PAGES - 1),
        st.sampled_from(["edit", "edit", "send", "send", "connect", "cut"]),
        st.integers(1, 4),
    ),
    max_size=40,
)


Story: TypeAlias = Sequence[tuple[int, str, int]]


@settings(max_examples=150)
@given(steps)
def test_P27_what_a_mark_says_to_be_on_disk_is_kept(story: Story) -> None:
    act_out(story)


def test_a_room_that_answers_before_it_was_told_the_state_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page did its edit before it came, and has not said so yet."""
    acknowledge = Room._acknowledge

    def eagerly(room: Room, turn: Turn) -> None:
        for member in room._members.values():
            member.is_here = True
        acknowledge(room, turn)

    story: Story = [(0, "edit", 1), (0, "connect", 1), (0, "send", 2)]
    act_out(story)
    monkeypatch.setattr(Room, "_acknowledge", eagerly)
    with pytest.raises(AssertionError):
        act_out(story)


def act_out(story: Story) -> None:
    """Let the pages do all of it; whatever a mark has said to be on disk must have been kept by then."""
    room, kept = make_room(), list[bytes]()
    pages = [SweetPage(number, Writer(100 + number)) for number in range(PAGES)]
    for member, (number, what, count) in enumerate(story, 1):
        page = pages[number]
        match what:
            case "edit":
                page.edit()
            case "connect" if not page.is_connected:
                page.connect(room, member)
            case "cut" if page.is_connected:
                page.cut(room)
            case "send" if page.is_connected:
                page.send(room, count, kept)
        values = shown(kept)
        for one in pages:
            for version in range(max(1, one.acked - 2), one.acked + 1):
                # A later edit may have taken its place; an earlier one may not.
                assert values.get(f"page-{one.number}-{version % 3}", 0) >= version
    for page in pages:
        if not page.is_connected:
            page.connect(room, len(story) + 1 + page.number)
        while page.outgoing:
            page.send(room, 100, kept)
        assert page.acked == page.version
    doc: Doc = Doc()
    for update in kept:
        doc.apply_update(update)
    assert doc.get("stock", type=Map).to_py() == shown(kept)
