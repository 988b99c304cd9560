"""The serving path without sockets: a frame is decoded as at the edge, and a room absorbs what it says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from crdt_sync.errors import SyncError
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import hocuspocus, multiplexed, y_sweet, y_websocket
from crdt_sync.protocol.messages import Message, NewUpdate, StateReply, StateRequest
from crdt_sync.updates.pieces import EMPTY_UPDATE
from server.rooms.history import History
from tests.laws.histories import write_history
from tests.laws.hostile_inputs import Inputs
from tests.unit.rooms.members import Writer, absorb, arrive, kept, make_room, replies, said, told

DECODERS: Final[Mapping[str, Callable[[bytes], Message]]] = {
    "y-websocket": lambda frame: y_websocket.decode(frame, DEFAULT_LIMITS),
    "y-sweet": lambda frame: y_sweet.decode(frame, DEFAULT_LIMITS),
    "hocuspocus": lambda frame: hocuspocus.decode(hocuspocus.open_frame(frame), DEFAULT_LIMITS),
    "multiplexed": lambda frame: multiplexed.decode(frame, DEFAULT_LIMITS)[1],
}
DIALECTS: Final = tuple(DECODERS)
CORPUS_HISTORIES: Final = 30
HONEST: Final = 0
ITS_CLIENT: Final = 999


class AttackedRoom:
    """A room with one honest member, and attackers that come back whenever they are expelled."""

    def __init__(self, inputs: Inputs, random: Random, reached: Counter[str]) -> None:
        self.room = make_room()
        self.log: list[bytes] = []
        """What the relay would have on disk."""
        self.slowest: tuple[float, int, str] = (0.0, 0, "")
        """CPU seconds of the input that took longest, its bytes and its dialect."""
        self._inputs, self._random, self._reached = inputs, random, reached
        inputs.clocks = self.room.history.ledger.clocks
        self._members = 0
        self._attackers = {dialect: self._admit(dialect) for dialect in DIALECTS}
        self._writer, self._honest_edits = Writer(ITS_CLIENT), 0
        arrive(self.room, HONEST, author="honest")
        # Attackers get it, and build on it.
        self.check_honest()

    def _admit(self, dialect: str) -> int:
        self._members += 1
        arrive(self.room, self._members, wants_echo=dialect == "y-websocket", author="attacker")
        return self._members

    def attack(self) -> None:
        """One input of one dialect. Only errors of our own tree may come of it."""
        dialect = self._random.choice(DIALECTS)
        frame = self._inputs.frame(dialect)
        begun_s = time.thread_time()
        try:
            message = DECODERS[dialect](frame)
            turn = absorb(self.room, said(self._attackers[dialect], message))
        except SyncError as error:
            turn = None
            self._reached[f"refused as {error.code}"] += 1
        spent_s = time.thread_time() - begun_s
        if spent_s > self.slowest[0]:
            self.slowest = spent_s, len(frame), dialect
        self._reached["inputs"] += 1
        if turn is None:
            return
        fresh = kept(turn)
        self.log += fresh
        self._reached["kept"] += bool(fresh)
        self._reached["gaps"] += turn.gaps
        for _, expelled in turn.expelled:
            self._reached[f"refused as {expelled.code}"] += 1
            self._attackers[dialect] = self._admit(dialect)

    def check_honest(self) -> None:
        """The honest member's edit is kept and told to a newcomer, and all that is on disk can be read again."""
        self._honest_edits += 1
        update = self._writer.set("alive", self._honest_edits)
        turn = absorb(self.room, said(HONEST, NewUpdate(update)))
        assert turn.expelled == []
        assert update in kept(turn)
        self.log += kept(turn)
        self._members += 1
        arrive(self.room, self._members, author="newcomer")
        answer = absorb(self.room, said(self._members, StateRequest({})))
        updates = [one for one in told(answer, self._members) if one != EMPTY_UPDATE]
        assert any(isinstance(reply, StateReply) for reply in replies(answer, self._members))
        history = History.load(b"", 0, b"", self.log, DEFAULT_LIMITS, document="acme/attacked")
        assert history.ledger.clocks == self.room.history.ledger.clocks
        assert history.ledger.clocks[ITS_CLIENT] == self._honest_edits
        assert sum(map(len, updates)) >= len(update)


def corpus(random: Random) -> list[bytes]:
    return [update for _ in range(CORPUS_HISTORIES) for update in write_history(random, steps=12).updates]


def attack(seed: int, inputs: int, per_room: int, reached: Counter[str]) -> list[AttackedRoom]:
    """Rooms that took ``inputs`` hostile inputs together, each proven to serve."""
    random = Random(seed)
    source = Inputs(random, corpus(random))
    rooms = []
    for _ in range(inputs // per_room):
        room = AttackedRoom(source, random, reached)
        for _ in range(per_room):
            room.attack()
        room.check_honest()
        rooms.append(room)
    return rooms
