"""I1, I2, I3, I5 and I13 as one state machine over peers, a bad network and power cuts, each with a mutant.

What holds within one replica alone has its laws beside it: ``python -m pytest -k I6`` runs those of one invariant, and
``test_every_invariant_has_a_law_and_a_mutant`` knows them all.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pycrdt import Doc

from crdt_sync.errors import SyncError
from crdt_sync.replica import Replica, replay
from tests.laws.fleet import PLACES, SKUS, Fleet, Peer

PEERS = st.integers(0, 2)
ANYWHERE = st.integers(0, 1_000)
KINDS = "price", "receive", "sell", "hold", "release"


class PeersOnABadNetwork(RuleBasedStateMachine):
    """Every rule is one thing that happens; every invariant is looked at after each of them."""

    @initialize()
    def open(self) -> None:
        self.fleet = Fleet.made_of(Peer)

    @rule(
        peer=PEERS,
        kind=st.sampled_from(KINDS),
        sku=st.sampled_from(SKUS),
        place=st.sampled_from(PLACES),
        units=st.integers(1, 9),
    )
    def act(self, peer: int, kind: str, sku: str, place: str, units: int) -> None:
        self.fleet.act(peer, kind, sku, place, units)

    @rule(place=ANYWHERE, keep=st.booleans())
    def deliver(self, place: int, keep: bool) -> None:
        self.fleet.deliver(place, keep=keep)

    @rule(place=ANYWHERE)
    def deliver_merged(self, place: int) -> None:
        self.fleet.deliver_merged(place)

    @rule(place=ANYWHERE)
    def lose(self, place: int) -> None:
        self.fleet.lose(place)

    @rule(peer=PEERS, place=ANYWHERE)
    def retry(self, peer: int, place: int) -> None:
        check_I5(self.fleet, peer, place)

    @rule(peer=PEERS)
    def compact(self, peer: int) -> None:
        self.fleet.peers[peer].compact()

    @rule(peer=PEERS)
    def cut_power(self, peer: int) -> None:
        check_I13(self.fleet, peer)

    @rule(peer=PEERS, other=PEERS)
    def sync(self, peer: int, other: int) -> None:
        self.fleet.peers[peer].pull(self.fleet.peers[other])

    @invariant()
    def stock_is_the_sum(self) -> None:
        check_I3(self.fleet)

    def teardown(self) -> None:
        self.fleet.settle()
        check_I1(self.fleet)
        check_I2(self.fleet)
        check_I3(self.fleet)


PeersOnABadNetwork.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


TestI1I2I3I5I13 = PeersOnABadNetwork.TestCase


def check_I1(fleet: Fleet) -> None:
    """Convergence: who holds the same updates reads the same."""
    views = [peer.view() for peer in fleet.peers]
    assert all(view == views[0] for view in views), "peers read different things"


def check_I2(fleet: Fleet) -> None:
    """Union: every movement that was promised is everywhere."""
    for peer in fleet.peers:
        missing = fleet.effects.keys() - set(peer.replicas["movements"].keys("mv"))
        assert not missing, f"{peer.rid} has lost {missing}"


def check_I3(fleet: Fleet) -> None:
    """Stock is the sum over the movements that are here: 10 - 3 - 3 is 4."""
    for peer in fleet.peers:
        assert peer.stock() == fleet.expected(peer), f"the stock of {peer.rid} is no sum"


def check_I5(fleet: Fleet, peer: int, place: int) -> None:
    """Idempotency: what is sent again changes nothing where it is."""
    before = fleet.peers[peer].view()
    fleet.retry(peer, place)
    assert fleet.peers[peer].view() == before, "an update that came again changed something"


def check_I13(fleet: Fleet, peer: int) -> None:
    """Persistence: a peer that lost its power reads what it read before."""
    before = fleet.peers[peer].view()
    fleet.peers[peer].cut_power()
    assert fleet.peers[peer].view() == before, "something was lost with the power"


def run_at_random(kind: type[Peer], seed: int, steps: int = 60) -> None:
    """The same steps as the machine's, drawn without shrinking: a mutant need only fail, not explain itself."""
    random, fleet = Random(seed), Fleet.made_of(kind)
    for _ in range(steps):
        place, peer = random.randrange(1_000), random.randrange(3)
        match random.choice(("act", "act", "act", "deliver", "again", "merged", "retry", "compact", "power", "sync")):
            case "act":
                fleet.act(peer, random.choice(KINDS), random.choice(SKUS), random.choice(PLACES), random.randint(1, 9))
            case "deliver":
                fleet.deliver(place, keep=False)
            case "again":
                fleet.deliver(place, keep=True)
            case "merged":
                fleet.deliver_merged(place)
            case "retry":
                check_I5(fleet, peer, place)
            case "compact":
                fleet.peers[peer].compact()
            case "power":
                check_I13(fleet, peer)
            case "sync":
                fleet.peers[peer].pull(fleet.peers[random.randrange(3)])
        check_I3(fleet)
    fleet.settle()
    check_I1(fleet)
    check_I2(fleet)


def test_the_random_steps_hold_for_the_real_peer() -> None:
    for seed in range(5):
        run_at_random(Peer, seed)


class Ungated(Peer):
    """Hands every update to the CRDT as it comes."""

    def merge(self, name: str, update: bytes) -> None:
        doc: Doc = self.replicas[name]._doc
        doc.apply_update(update)
        self.append(name, update)


class Forgetful(Peer):
    """Says that an update is on disk before it is, and then loses it with the power."""

    def append(self, name: str, update: bytes) -> None:
        if len(self.logs[name]) % 4 != 3:
            super().append(name, update)
        else:
            self.logs[name].append(b"\x00\x00")


class Overwriting(Peer):
    """Keeps the stock of a cell as one number, which it reads, changes and writes."""

    def stock(self) -> dict[tuple[str, str], int]:
        latest: dict[tuple[str, str], int] = {}
        for movement in self.look.movements():
            cell = movement.sku, movement.location
            latest[cell] = latest.get(cell, 0) + (movement.quantity if movement.kind == "rcv" else -movement.quantity)
        return {cell: units for cell, units in latest.items() if units}


class Renaming(Peer):
    """Takes what comes again for something new: a retry gets an id of its own."""

    def merge(self, name: str, update: bytes) -> None:
        merged = self.replicas[name].merge(update)
        if merged.fresh is not None:
            self.append(name, merged.fresh)
        elif name == "movements" and update in self.logs[name]:
            with self.edit() as inventory:
                inventory.receive("shirt", 1, at="A")


class WithoutTail(Peer):
    """Starts again from its snapshot alone."""

    def cut_power(self) -> None:
        for name in self.snapshots:
            self.replicas[name] = replay([self.snapshots[name]])
        for name in self.replicas.keys() - self.snapshots.keys():
            self.replicas[name] = Replica()


@pytest.mark.parametrize(
    ("mutant", "invariant"),
    [(Ungated, "I1"), (Forgetful, "I2"), (Overwriting, "I3"), (Renaming, "I5"), (WithoutTail, "I13")],
)
def test_I1_I2_I3_I5_I13_each_kill_a_mutant(mutant: type[Peer], invariant: str) -> None:
    assert any(fails(mutant, seed) for seed in range(30)), f"{invariant} lets {mutant.__name__} live"


def fails(mutant: type[Peer], seed: int) -> bool:
    try:
        run_at_random(mutant, seed)
    except (AssertionError, SyncError):
        return True
    return False


def test_every_invariant_has_a_law_and_a_mutant() -> None:
    found: dict[int, set[str]] = {number: set() for number in range(1, 17)}
    for file in Path(__file__).parents[1].rglob("test_*.py"):
        for name in re.findall(r"def (test_\w*)", file.read_text(encoding="utf-8")):
            for number in re.findall(r"_I(\d+)(?=_)", name):
                found[int(number)].add(name)
    lacking = [f"I{number} has no law" for number, names in found.items() if not names]
    lacking += [
        f"I{number} has no mutant"
        for number, names in found.items()
        if not any("kill" in n or "fails_for" in n for n in names)
    ]
    assert not lacking, ", ".join(lacking)
