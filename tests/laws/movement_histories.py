"""Pages that write movements, and then write or delete some of them again, in front of a room of the relay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pycrdt import Doc, Map, TransactionEvent

from crdt_sync.documents.keys import movement_id
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import Message, NewUpdate, StateReply
from crdt_sync.replica import replay
from server.rooms.history import History
from server.rooms.keeper import AUTHOR, Keeper, open_keeper
from server.rooms.room import Room
from tests.unit.rooms.members import absorb, arrive, said

CLIENTS = (1, 36, 70_000, 2**31, 2**53 - 1)
DOCUMENT = "inventory/2026-11"
STAMP = 889_500_467_200_000
Row = list[Any]
OpenKeeper = Callable[[int, Sequence[tuple[bytes, str | None]]], Keeper | None]


def real_keeper(client: int, log: Sequence[tuple[bytes, str | None]]) -> Keeper | None:
    return open_keeper(DOCUMENT, client, log, DEFAULT_LIMITS)


@dataclass
class Deed:
    """One transaction of a page, and what it leaves under the ids that it wrote; None is a deletion."""

    update: bytes
    wrote: dict[str, Row | None]


class MovementPage:
    """A page that just calls ``set`` and ``delete``."""

    def __init__(self, client: int, *, is_collecting: bool) -> None:
        self.doc: Doc[Any] = Doc(client_id=client, skip_gc=not is_collecting)
        self.map: Map[Any] = self.doc.get("mv", type=Map)
        self.client = client
        self.is_collecting = is_collecting
        self.number = 0

    def edit(self, random: Random, known: Mapping[str, Row]) -> Deed:
        """``known`` are movements that the page has heard of, maybe not through its document."""
        wrote: dict[str, Row | None] = {}
        made: list[bytes] = []

        def keep(event: TransactionEvent) -> None:
            made.append(event.update)

        subscription = self.doc.observe(keep)
        with self.doc.transaction():
            for _ in range(random.choice((1, 1, 2, 5))):
                mid, row = self._draw(random, known)
                if mid in wrote:
                    continue
                if row is not None:
                    self.map[mid] = row
                elif mid in self.map:
                    del self.map[mid]
                else:
                    continue
                wrote[mid] = row
        self.doc.unobserve(subscription)
        return Deed(made[0], wrote) if wrote else Deed(b"\x00\x00", {})

    def _draw(self, random: Random, known: Mapping[str, Row]) -> tuple[str, Row | None]:
        chance = random.random()
        if chance < 0.6 or not known:
            self.number += random.choice((1, 1, 1, 3))
            mid = movement_id(self.client, self.number)
            if random.random() < 0.1:
                # No id of ours: in capitals, or with a zero before it.
                mid = random.choice(("0" + mid, mid.upper() + "Z", "by hand"))
            return mid, ["adj", "shirt", "A", random.randint(1, 9), f"page-{self.client}", STAMP + self.number]
        mid = random.choice(list(known))
        if chance < 0.75:
            return mid, known[mid]
        if chance < 0.9:
            return mid, ["adj", "shirt", "A", 100 * random.randint(1, 9), "changed", STAMP]
        return mid, None

    def learn(self, *updates: bytes) -> None:
        for update in updates:
            self.doc.apply_update(update)

    @property
    def state(self) -> bytes:
        return self.doc.get_update()


@dataclass
class Shop:
    """A room, its log, and what the relay must have seen first of every movement."""

    open_keeper: OpenKeeper = real_keeper
    log: list[tuple[bytes, str | None]] = field(default_factory=list)
    firsts: dict[str, Row] = field(default_factory=dict)
    rewritten: set[str] = field(default_factory=set)
    """What was written again with other content, or deleted, as far as it came here."""
    notes: int = 0
    restarts: int = 0

    def __post_init__(self) -> None:
        self._room = self._open()

    @property
    def updates(self) -> list[bytes]:
        return [update for update, _ in self.log]

    def hear(self, deed: Deed) -> None:
        """A page sends one transaction."""
        if self._take(NewUpdate(deed.update)):
            for mid, row in deed.wrote.items():
                if row is None or self.firsts.setdefault(mid, row) != row:
                    self.rewritten.add(mid)

    def hear_state(self, page: MovementPage) -> None:
        """A page that collects what was overwritten sends all that it has."""
        if self._take(StateReply(page.state)):
            shown: dict[str, Row] = dict(page.map.to_py() or {})
            for mid, row in shown.items():
                if self.firsts.setdefault(mid, row) != row:
                    self.rewritten.add(mid)
            self.rewritten |= self.firsts.keys() - shown.keys()

    def restart(self, random: Random) -> None:
        """Close the room and open it from its log, part of which a snapshot may have replaced."""
        self.restarts += 1
        through = random.randint(0, len(self.log))
        if through:
            self.log[:through] = [(replay(self.updates[:through]).snapshot(), None)]
        self._room = self._open()

    def _open(self) -> Room:
        history = History.load(b"", 0, b"", self.updates, DEFAULT_LIMITS, document=DOCUMENT)
        room = Room(history, DEFAULT_LIMITS, self.open_keeper(2**40 + self.restarts, self.log))
        arrive(room, 1, wants_echo=True)
        return room

    def _take(self, message: Message) -> bool:
        turn = absorb(self._room, said(1, message))
        assert not turn.expelled
        self.log += [(one.update, one.author) for one in turn.kept]
        self.notes += sum(one.author == AUTHOR for one in turn.kept)
        return any(one.author != AUTHOR for one in turn.kept)


def write_history(random: Random, steps: int = 30, open_keeper: OpenKeeper = real_keeper) -> Shop:
    """Pages that are online now and then; their transactions come one by one, late and twice, or as a state."""
    shop = Shop(open_keeper)
    pages = [MovementPage(client, is_collecting=random.random() < 0.6) for client in random.sample(CLIENTS, 3)]
    heard: dict[str, Row] = {}
    waiting: list[tuple[MovementPage, Deed]] = []
    for _ in range(steps):
        page = random.choice(pages)
        deed = page.edit(random, heard)
        for mid, row in deed.wrote.items():
            if row is not None:
                heard.setdefault(mid, row)
        waiting.append((page, deed))
        chance = random.random()
        if chance < 0.5:
            random.shuffle(waiting)
            for other, late in waiting:
                shop.hear(late)
                if random.random() < 0.3:
                    shop.hear(late)
                # A gap asks for the state; who collects nothing sends its transactions in their order.
                if other.is_collecting and random.random() < 0.3:
                    shop.hear_state(other)
            if random.random() < 0.7:
                page.learn(*shop.updates)
        elif chance < 0.65:
            page.learn(random.choice(pages).state)
        elif chance < 0.7:
            shop.restart(random)
    # All deeds once more, in the order in which they were made: what hung on something missing is kept now.
    for _, deed in waiting:
        shop.hear(deed)
    return shop
