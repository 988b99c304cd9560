"""Who edits: a till, which is one of our own peers with a log of its own, and a browser, which is stock Yjs."""

from __future__ import annotations

import json
from collections import deque
from random import Random
from typing import Any, Final, NamedTuple

from pycrdt import Array, Doc, Map, Text, TransactionEvent

from crdt_sync.documents.keys import movement_id
from crdt_sync.errors import ProtocolError
from crdt_sync.protocol import multiplexed, state_vector, y_websocket
from crdt_sync.protocol.messages import (
    Ack,
    Message,
    NewUpdate,
    Presence,
    PresenceEntry,
    StateReply,
    StateRequest,
)
from crdt_sync.replica import Replica, Write, replay
from crdt_sync.session import PeerSession, Received
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import EMPTY_UPDATE
from server.rooms.dialect import MULTIPLEXED, Y_WEBSOCKET, Dialect
from tests.simulation.bounds import LIMITS, ROOM
from tests.simulation.contents import content_of, seeded
from tests.simulation.disk import PeerDisk
from tests.simulation.network import Link
from tests.simulation.witness import Witness

SHARED_KEYS: Final = ("shirt", "shoe", "hat")


PRESENCE_EXPIRES_S: Final = 30.0
"""y-protocols forgets whom it has not heard for so long."""


class Neighbour(NamedTuple):
    """Somebody else's presence."""

    clock: int
    state: str | None
    heard_at_s: float


NEVER_SEEN: Final = Neighbour(-1, None, 0.0)


class Actor:
    """What tills and browsers share: a connection, and presence."""

    dialect: Dialect

    def __init__(self, name: str, chance: Random, witness: Witness) -> None:
        self.name = name
        self.chance = chance
        self.witness = witness
        self.is_up = False
        self.is_partitioned = False
        self.link: Link | None = None
        self.serial = 0
        self.presence_id = 0
        self.presence_clock = 0
        self.others: dict[int, Neighbour] = {}

    @property
    def is_linked(self) -> bool:
        return self.link is not None and self.link.is_open

    def send(self, message: Message) -> None:
        if self.link is not None and self.link.is_open:
            self.link.up.send(self._encode(message), self.witness.now_s)

    def _encode(self, message: Message) -> bytes:
        if self.dialect is MULTIPLEXED:
            return multiplexed.encode(ROOM.document, message)
        return y_websocket.encode(message)

    def attach(self, link: Link) -> None:
        self.link = link
        self.others.clear()
        self.greet()
        self.announce()

    def announce(self) -> None:
        """Say that we are here, and how it goes."""
        self.presence_clock += 1
        state = json.dumps({"name": self.name, "turn": self.presence_clock})
        self.send(Presence((PresenceEntry(self.presence_id, self.presence_clock, state),)))

    def hang_up(self) -> None:
        if self.link is not None:
            self.link.cut()
            self.link = None

    def vanish(self) -> None:
        self.hang_up()
        self.witness.left_at_s[self.presence_id] = self.witness.now_s

    def hear(self, frame: bytes) -> None:
        message = self.witness.read(self.dialect, frame)
        if isinstance(message, Presence):
            self._meet(message)
            return
        self.take(message)

    def _meet(self, presence: Presence) -> None:
        """The rule of y-protocols' applyAwarenessUpdate."""
        for entry in presence.entries:
            known = self.others.get(entry.client, NEVER_SEEN)
            is_farewell = entry.clock == known.clock and entry.state is None and known.state is not None
            if entry.clock > known.clock or is_farewell:
                self.others[entry.client] = Neighbour(entry.clock, entry.state, self.witness.now_s)

    def sees(self) -> set[int]:
        """Who is here, as far as this actor knows."""
        since_s = self.witness.now_s - PRESENCE_EXPIRES_S
        return {client for client, one in self.others.items() if one.state is not None and one.heard_at_s >= since_s}

    def fresh_client_id(self) -> int:
        self.presence_id, self.presence_clock = self.chance.getrandbits(32), 0
        return self.presence_id

    def greet(self) -> None:
        raise NotImplementedError

    def take(self, message: Message) -> None:
        raise NotImplementedError


class Till(Actor):
    """Our own peer: replica, session, and a log that is written before anything is sent."""

    dialect = MULTIPLEXED

    def __init__(self, name: str, chance: Random, witness: Witness) -> None:
        super().__init__(name, chance, witness)
        self.disk = PeerDisk()
        self.replica: Replica | None = None
        self.session: PeerSession | None = None
        self._is_flat = True
        self._unsynced: deque[tuple[int, bytes]] = deque()
        self._unacked: deque[tuple[int, bytes]] = deque()

    def start(self) -> None:
        """Rebuild the replica from snapshot and rows as a peer does, under a new client id."""
        snapshot = self.disk.snapshot
        replica_type = seeded(self.next_client_id())
        if snapshot is None:
            self.replica = replica_type(LIMITS)
        elif self._is_flat:
            self.replica = replica_type.restored(snapshot.state, Ledger.decode(snapshot.ledger), LIMITS)
        else:
            self.replica = replay([snapshot.state], LIMITS, onto=replica_type(LIMITS))
        for number, row in enumerate(self.disk.rows, self.disk.through + 1):
            if self.replica.merge(row).gap:
                self.witness.accuse("P8", f"row {number} of {self.name}'s log builds on something that is not in it")
            self.witness.stored(self.name, row)
        self._unsynced.clear()
        self._unacked = deque(enumerate(self.disk.rows, self.disk.through + 1))
        self.is_up = True

    def next_client_id(self) -> int:
        return self.fresh_client_id()

    def tidy(self) -> bool:
        """Let a snapshot stand for the log, once nothing in it waits for the relay."""
        if self.replica is None or self.disk.is_dirty or self._unacked or not self.disk.rows:
            return False
        self._is_flat = self.replica.is_flat
        self.disk.compact(self.replica.snapshot(), self.replica.ledger.encode())
        self.witness.reached("peers' snapshots")
        return True

    def crash(self) -> None:
        self.vanish()
        self.session = self.replica = None
        self.is_up = False
        self.witness.reached("peer crashes")
        if self.disk.crash(self.chance):
            self.witness.reached("peer crashes that lose unsynced rows")

    def edit(self) -> None:
        assert self.replica is not None
        self.serial += 1
        mid = movement_id(self.replica.client_id, self.serial)
        writes = [Write("mv", mid, ["adj", "shirt", self.name, self.serial])]
        if self.chance.random() < 0.6:
            writes.append(Write("products", self.chance.choice(SHARED_KEYS), f"{self.name} {self.serial}"))
        if self.chance.random() < 0.2:
            writes = writes[-1:]
        update = self.replica.write(writes)
        assert update is not None
        self.witness.authored(self.name, update)
        self._unsynced.append((self.log(update, update), update))

    def log(self, row: bytes, source: bytes) -> int:
        self.witness.peer_logged(self.name, row, source)
        return self.disk.append(row)

    def sync_disk(self) -> bool:
        """The appends return: only now the edits are promised, and announced."""
        if not self.disk.is_dirty:
            return False
        self.disk.sync()
        for mark, update in self._unsynced:
            self.witness.stored(self.name, update)
            self._unacked.append((mark, update))
            if self.session is not None:
                for message in self.session.local(update, mark):
                    self.send(message)
        self._unsynced.clear()
        return True

    def greet(self) -> None:
        assert self.replica is not None
        self.session = PeerSession(self.replica, self.disk.mark)
        for message in self.session.open():
            self.send(message)

    def hang_up(self) -> None:
        super().hang_up()
        self.session = None

    def take(self, message: Message) -> None:
        assert self.session is not None
        assert self.link is not None
        try:
            received = self.session.receive(message)
        except ProtocolError as error:
            self.witness.reached("sessions ended by their peer")
            if not self.link.hostile:
                self.witness.accuse("P10", f"{self.name} ends a clean connection: {error}")
            self.hang_up()
            return
        self.keep(message, received)
        if isinstance(message, Ack):
            self._note_ack(self.session.durable_mark)
        for reply in received.replies:
            if isinstance(reply, StateRequest):
                self.witness.reached("gaps seen by peers")
                if not self.link.hostile:
                    self.witness.accuse("P10", f"{self.name} was sent what builds on something that it was not sent")
            self.send(reply)

    def keep(self, message: Message, received: Received) -> None:
        for row in received.fresh:
            assert isinstance(message, NewUpdate | StateReply)
            self.log(row, message.update)

    def _note_ack(self, durable_mark: int) -> None:
        assert self.link is not None
        acked = []
        while self._unacked and self._unacked[0][0] <= durable_mark:
            acked.append(self._unacked.popleft()[1])
        # An ack counts what was sent on an ordered stream; over one that loses and repeats it says nothing.
        if not self.link.hostile:
            self.witness.acked(self.name, acked, "Ack")

    @property
    def state(self) -> dict[int, int]:
        assert self.replica is not None
        native = state_vector.decode(self.replica._doc.get_state(), LIMITS.clients_max)
        if native != dict(self.replica.state):
            self.witness.accuse("P7", f"{self.name}'s ledger and its document disagree about what they hold")
        return native

    @property
    def content(self) -> dict[str, Any]:
        assert self.replica is not None
        return content_of(self.replica._doc)


class Browser(Actor):
    """A stock Yjs page with y-websocket: no log, no gate, echo for an ack. Closing it loses what was not echoed."""

    dialect = Y_WEBSOCKET

    def __init__(self, name: str, chance: Random, witness: Witness) -> None:
        super().__init__(name, chance, witness)
        self.doc: Doc[Any] = Doc()
        self._unechoed: list[bytes] = []
        self._carried: dict[bytes, list[bytes]] = {}

    def start(self) -> None:
        self.doc = Doc(client_id=self.fresh_client_id())
        self._unechoed = []
        self.is_up = True

    def crash(self) -> None:
        self.vanish()
        self.is_up = False
        self.witness.reached("tabs closed")

    def edit(self) -> None:
        self.serial += 1
        made: list[bytes] = []

        def keep(event: TransactionEvent) -> None:
            made.append(event.update)

        subscription = self.doc.observe(keep)
        with self.doc.transaction():
            for _ in range(self.chance.randint(1, 3)):
                self._change(f"{self.name} {self.serial}")
        self.doc.unobserve(subscription)
        for update in made:
            if update != EMPTY_UPDATE:
                self.witness.authored(self.name, update)
                self._unechoed.append(update)
                self._carried[update] = [update]
                self.send(NewUpdate(update))

    def _change(self, text: str) -> None:
        products, queue, notes = self.doc.get("products", type=Map), self._queue(), self._notes()
        match self.chance.randrange(10):
            case 8:
                mid = movement_id(self.doc.client_id, self.serial)
                self._movements()[mid] = ["adj", "shirt", text, self.chance.randint(1, 9)]
            case 9 if len(self._movements()):
                self._correct(self.chance.choice(sorted(self._movements().keys())), text)
            case 0 | 1:
                products[self.chance.choice(SHARED_KEYS)] = text
            case 2:
                products.pop(self.chance.choice(SHARED_KEYS), None)
            case 3 | 4:
                queue.insert(self.chance.randint(0, len(queue)), text)
            case 5 if len(queue):
                del queue[self.chance.randrange(len(queue))]
            case 6 if len(notes) > 2:
                start = self.chance.randrange(len(notes) - 1)
                del notes[start : start + self.chance.randint(1, 2)]
            case _:
                notes.insert(self.chance.randint(0, len(notes)), self.chance.choice(("ab", "c", "def")))

    def _correct(self, mid: str, text: str) -> None:
        """What nobody may do: write a movement once more, or delete it."""
        movements = self._movements()
        if self.chance.random() < 0.3:
            del movements[mid]
        elif self.chance.random() < 0.3:
            movements[mid] = movements[mid]
        else:
            movements[mid] = ["adj", "shirt", f"corrected by {text}", 100]

    def _movements(self) -> Map[Any]:
        return self.doc.get("mv", type=Map)

    def _queue(self) -> Array[Any]:
        return self.doc.get("queue", type=Array)

    def _notes(self) -> Text:
        return self.doc.get("notes", type=Text)

    def greet(self) -> None:
        self._carried.clear()
        self.send(StateRequest(state_vector.decode(self.doc.get_state(), LIMITS.clients_max)))

    def take(self, message: Message) -> None:
        match message:
            case StateRequest(state):
                answer = self.doc.get_update(state_vector.encode(state))
                self._carried[answer] = list(self._unechoed)
                self.send(StateReply(answer))
            case NewUpdate(update) | StateReply(update):
                self.doc.apply_update(update)
                if isinstance(message, NewUpdate) and update in self._carried:
                    self._note_echo(self._carried.pop(update))
            case _:
                return

    def _note_echo(self, edits: list[bytes]) -> None:
        self.witness.acked(self.name, edits, "echo")
        self._unechoed = [edit for edit in self._unechoed if edit not in edits]

    def sync_disk(self) -> bool:
        """A page has no disk."""
        return False

    @property
    def state(self) -> dict[int, int]:
        return state_vector.decode(self.doc.get_state(), LIMITS.clients_max)

    @property
    def content(self) -> dict[str, Any]:
        return content_of(self.doc)
