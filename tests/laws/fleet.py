"""A few peers with logs, a network that shuffles, doubles, merges and loses, power cuts, and plain bookkeeping beside.

The steps are what a state machine draws; :mod:`.test_invariants` names what must hold. A mutant overrides one method.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as with_changes

from pycrdt import merge_updates

from crdt_sync.documents.catalog.arbitration import DEFAULT_POLICY
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.replica import Replica, Write, replay
from tests.unit.documents.replicas import NOW_MS, PERIOD

DOCUMENTS = "catalog", "movements"
SKUS, PLACES = ("shirt", "hat"), ("A", "B")


class Peer:
    """Replicas, and the log that each is rebuilt from: what a peer has promised is in the log."""

    def __init__(self, rid: str) -> None:
        self.rid = rid
        self.clock = HybridClock()
        self.snapshots: dict[str, bytes] = {}
        self.logs: dict[str, list[bytes]] = {name: [] for name in DOCUMENTS}
        self.replicas = {name: Replica() for name in DOCUMENTS}
        self.replicas["catalog"].watch([ATTRIBUTES])

    @contextmanager
    def edit(self) -> Iterator[InventoryDocument]:
        drafts = {name: Draft(replica) for name, replica in self.replicas.items()}
        yield self._face(drafts)
        for name, draft in drafts.items():
            made = self.replicas[name].write([Write(*write) for write in draft.end()])
            if made is not None:
                self.append(name, made)

    @property
    def look(self) -> InventoryDocument:
        return self._face({name: Draft(replica) for name, replica in self.replicas.items()})

    def _face(self, drafts: dict[str, Draft]) -> InventoryDocument:
        return InventoryDocument(
            drafts["catalog"],
            PERIOD,
            drafts["movements"],
            rid=self.rid,
            clock=self.clock,
            now_ms=lambda: NOW_MS,
            policy=with_changes(DEFAULT_POLICY, forks=self.replicas["catalog"]),
        )

    def append(self, name: str, update: bytes) -> None:
        self.logs[name].append(update)

    def merge(self, name: str, update: bytes) -> None:
        """What is not ready is not kept; whoever has it is asked later."""
        merged = self.replicas[name].merge(update)
        if merged.fresh is not None:
            self.append(name, merged.fresh)

    def pull(self, other: Peer) -> None:
        for name, replica in self.replicas.items():
            self.merge(name, other.replicas[name].since(replica.state))

    def compact(self) -> None:
        for name, replica in self.replicas.items():
            self.snapshots[name] = replica.snapshot()
            self.logs[name] = []

    def cut_power(self) -> None:
        """All that is left is on disk."""
        for name in DOCUMENTS:
            held = [self.snapshots[name]] if name in self.snapshots else []
            self.replicas[name] = replay([*held, *self.logs[name]])
        self.replicas["catalog"].watch([ATTRIBUTES])

    def stock(self) -> dict[tuple[str, str], int]:
        return {cell: units for cell, units in self.look.stock_table().items() if units}

    def view(self) -> object:
        """All that anybody can read here; not how it is stored."""
        look = self.look
        prices = {sku: dict(look.products()[sku]) for sku in sorted(look.products())}
        holds = [(hold.movement.mid, hold.state) for hold in look.holds()]
        entries = self.replicas["movements"].entries("mv")
        return prices, self.stock(), holds, entries, look.oversold(), look.periods()


@dataclass(slots=True)
class Message:
    """An update under way to one peer."""

    to: int
    document: str
    update: bytes


@dataclass(slots=True)
class Fleet:
    """``effects`` is kept by plain addition: what each movement did, by its id, and nothing read from a document.

    ``ends`` says which hold a release ends: after a power cut its peer is another client, so the release may arrive
    first, and gives nothing back until its hold is there."""

    peers: list[Peer]
    network: list[Message] = field(default_factory=list)
    effects: dict[str, tuple[tuple[str, str], int]] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    open_holds: list[tuple[int, str]] = field(default_factory=list)
    prices: int = 0

    @classmethod
    def made_of(cls, kind: type[Peer], count: int = 3) -> Fleet:
        fleet = cls([kind(f"till-{number}") for number in range(count)])
        with fleet.peers[0].edit() as inventory:
            for sku in SKUS:
                inventory.add_product(sku)
            for place in PLACES:
                inventory.add_location(place)
        for peer in fleet.peers[1:]:
            peer.pull(fleet.peers[0])
        return fleet

    def act(self, number: int, kind: str, sku: str, place: str, units: int) -> None:
        peer = self.peers[number]
        before = {name: len(log) for name, log in peer.logs.items()}
        with peer.edit() as inventory:
            self._act(inventory, number, kind, (sku, place), units)
        self._broadcast(number, before)

    def _act(self, inventory: InventoryDocument, number: int, kind: str, cell: tuple[str, str], units: int) -> None:
        sku, place = cell
        match kind:
            case "price":
                self.prices += 1
                inventory.set_attribute(sku, "price", 1000 + self.prices)
            case "receive":
                self.effects[inventory.receive(sku, units, at=place)] = cell, units
            case "sell":
                self.effects[inventory.sell(sku, units, at=place)] = cell, -units
            case "hold":
                hold = inventory.hold(sku, units, at=place)
                self.effects[hold] = cell, -units
                self.open_holds.append((number, hold))
            case "release":
                own = next((hold for holder, hold in self.open_holds if holder == number), None)
                if own is not None:
                    self.open_holds.remove((number, own))
                    of_cell, held = self.effects[own]
                    release = inventory.release(own)
                    self.effects[release], self.ends[release] = (of_cell, -held), own

    def _broadcast(self, sender: int, before: dict[str, int]) -> None:
        peer = self.peers[sender]
        for name, length in before.items():
            for update in peer.logs[name][length:]:
                others = [number for number in range(len(self.peers)) if number != sender]
                self.network += [Message(number, name, update) for number in others]

    def deliver(self, place: int, *, keep: bool) -> None:
        """Any message, in any order; ``keep`` leaves it under way, to come again."""
        if self.network:
            place %= len(self.network)
            message = self.network[place] if keep else self.network.pop(place)
            self.peers[message.to].merge(message.document, message.update)

    def lose(self, place: int) -> None:
        if self.network:
            self.network.pop(place % len(self.network))

    def deliver_merged(self, place: int) -> None:
        """Two messages of one document as one, as a relay may merge them."""
        if not self.network:
            return
        first = self.network.pop(place % len(self.network))
        fitting = [one for one in self.network if (one.to, one.document) == (first.to, first.document)]
        if fitting:
            self.network.remove(fitting[-1])
            first = Message(first.to, first.document, merge_updates(fitting[-1].update, first.update))
        self.peers[first.to].merge(first.document, first.update)

    def retry(self, number: int, place: int) -> None:
        """A peer that did not hear of an ack sends again what it has sent; also to itself."""
        peer = self.peers[number]
        for name, log in peer.logs.items():
            if log:
                update = log[place % len(log)]
                for other in self.peers:
                    other.merge(name, update)

    def expected(self, peer: Peer) -> dict[tuple[str, str], int]:
        """The sum over the movements that a peer holds."""
        held = set(peer.replicas["movements"].keys("mv"))
        total: Counter[tuple[str, str]] = Counter()
        for mid, (cell, units) in self.effects.items():
            if mid in held and self.ends.get(mid, mid) in held:
                total[cell] += units
        return {cell: units for cell, units in total.items() if units}

    def settle(self) -> None:
        """Everybody hears of everything, whatever the network lost."""
        for _ in range(2):
            for peer in self.peers:
                for other in self.peers:
                    if other is not peer:
                        peer.pull(other)
