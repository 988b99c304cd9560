"""Random writes of map keys by pages that know nothing of forks, and what vector clocks say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from pycrdt import Doc, Map, TransactionEvent

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.content import GONE
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.forks import ForkIndex, Overruled
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger

ROOT = "attr"
KEYS = ("shirt/price", "shirt/name", "sock/price", "", "@A/ключ")
CLIENTS = (1, 130, 70_000, 2**31, 2**53 - 1)


class KeyWrite(NamedTuple):
    """One ``map.set`` and what its author held."""

    key: str
    client: int
    clock: int
    value: Any
    knew: dict[int, int]
    saw: Any = GONE
    """What the key held on its page just before; also if the same transaction had deleted that."""

    @property
    def dot(self) -> str:
        return f"{self.client}.{self.clock}"

    def follows(self, other: KeyWrite) -> bool:
        return other.clock < self.knew.get(other.client, 0)


@dataclass
class KeyHistory:
    updates: list[bytes] = field(default_factory=list)
    """In the order in which they were made."""
    writes: list[KeyWrite] = field(default_factory=list)
    states: list[bytes] = field(default_factory=list)
    """Of every page in the end, when all have learned everything."""
    stillborn: set[str] = field(default_factory=set)
    """Writes that their own transaction deleted again: nobody else ever saw their values."""

    def of(self, key: str) -> list[KeyWrite]:
        return [write for write in self.writes if write.key == key]

    @property
    def keys(self) -> list[str]:
        return sorted({write.key for write in self.writes})


class Page:
    """A document that just sets and deletes keys, and some other roots besides."""

    def __init__(self, client: int, history: KeyHistory) -> None:
        self.doc: Doc[Any] = Doc(client_id=client)
        self.map: Map[Any] = self.doc.get(ROOT, type=Map)
        self.movements: Map[Any] = self.doc.get("mv", type=Map)
        self.client = client
        self.knows: dict[int, int] = {}
        self._history = history
        self._own = False
        self._just_deleted: dict[str, Any] = {}
        self.doc.observe(self._keep)

    def _keep(self, event: TransactionEvent) -> None:
        if self._own:
            self._history.updates.append(event.update)

    def edit(self, random: Random) -> None:
        self._own, before = True, len(self._history.writes)
        self._just_deleted.clear()
        with self.doc.transaction():
            for _ in range(random.choice((1, 1, 1, 2, 4))):
                self._change(random)
        self._own = False
        latest = {write.key: write.dot for write in self._history.writes[before:]}
        self._history.stillborn |= {dot for key, dot in latest.items() if key not in self.map}

    def _change(self, random: Random) -> None:
        key, chance = random.choice(KEYS), random.random()
        clock = self.knows.get(self.client, 0)
        if chance < 0.15:
            if key in self.map:
                self._just_deleted[key] = self.map.pop(key)
            return
        if chance < 0.3:
            self.movements[f"{self.client}.{clock}"] = ["sale", clock]
        else:
            value = f"{self.client}:{clock}"
            saw = self.map[key] if key in self.map else self._just_deleted.get(key, GONE)
            self.map[key] = value
            self._history.writes.append(KeyWrite(key, self.client, clock, value, dict(self.knows), saw))
        self.knows[self.client] = clock + 1

    def learn(self, other: Page) -> None:
        self.doc.apply_update(other.doc.get_update(self.doc.get_state()))
        for client, clock in other.knows.items():
            self.knows[client] = max(clock, self.knows.get(client, 0))


def write_key_history(random: Random, steps: int = 25) -> KeyHistory:
    history = KeyHistory()
    pages = [Page(client, history) for client in random.sample(CLIENTS, 3)]
    for _ in range(steps):
        page = random.choice(pages)
        page.edit(random)
        if random.random() < 0.4:
            page.learn(random.choice(pages))
    for page in pages:
        for other in pages:
            page.learn(other)
    history.states = [page.doc.get_update() for page in pages]
    return history


class Listener:
    """A ledger and an index that are fed as a replica is fed."""

    def __init__(self, make_index: Callable[[], ForkIndex] = lambda: ForkIndex([ROOT])) -> None:
        self.index = make_index()
        self.ledger = Ledger()
        self.overruled: list[Overruled] = []

    def hear(self, raw: bytes, *, whole_state: bool = False) -> bool:
        """Take in an update; False when it has a gap."""
        stored = DEFAULT_LIMITS.for_stored()
        update = decode_update(raw, stored)
        verdict = judge(update, self.ledger, stored, keep_ready_part=whole_state)
        self.overruled += self.index.feed(update, verdict, is_own_bytes=not whole_state).overruled
        if verdict.fresh is not None:
            self.ledger.admit(verdict.fresh)
        return not verdict.gap

    def hear_all(self, updates: Iterable[bytes]) -> Listener:
        for raw in updates:
            assert self.hear(raw)
        return self

    def dots(self, key: str) -> set[str]:
        return {head.dot for head in self.index.heads(ROOT, key)}


def contradictions(history: KeyHistory, index: ForkIndex) -> list[str]:
    """Where the index contradicts the vector clocks; nothing where it is exact.

    A key has several heads if and only if two of its writes knew nothing of each other; what nobody knew of is a
    head; a head is no write that its own author's next write followed; and a known value is the one written."""
    found = []
    forked = index.forked(ROOT)
    for key in history.keys:
        writes = history.of(key)
        heads = index.heads(ROOT, key)
        dots = {head.dot for head in heads}
        followed = {one.dot for one in writes for other in writes if other.follows(one)}
        concurrent = any(
            not one.follows(other) and not other.follows(one)
            for place, one in enumerate(writes)
            for other in writes[:place]
        )
        if concurrent != (len(heads) > 1) or concurrent != (key in forked):
            found.append(f"{key!r}: concurrent is {concurrent}, but the heads are {sorted(dots)}")
        if missed := {write.dot for write in writes} - followed - dots:
            found.append(f"{key!r}: nobody knew of {sorted(missed)}, but they are no heads")
        values = {write.dot: write.value for write in writes}
        for head in heads:
            if head.dot not in values or (head.is_known and head.value() != values[head.dot]):
                found.append(f"{key!r}: {head.dot} holds {head.value()!r}, not {values.get(head.dot)!r}")
    return found


def false_bases(history: KeyHistory, index: ForkIndex) -> list[str]:
    """Heads that claim another base than what their writers had before them."""
    saw = {(write.key, write.dot): write.saw for write in history.writes}
    return [
        f"{key!r}: {head.dot} was written over {saw[key, head.dot]!r}, not {head.base_value()!r}"
        for key in history.keys
        for head in index.heads(ROOT, key)
        if head.base is not None and head.base_value() != saw[key, head.dot]
    ]


def same_heads(keys: Sequence[str], one: ForkIndex, other: ForkIndex) -> bool:
    return all(
        [head.dot for head in one.heads(ROOT, key)] == [head.dot for head in other.heads(ROOT, key)] for key in keys
    )
