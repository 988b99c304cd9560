"""Inconsistencies are what a plain sum finds, are closed for just the evidence that was seen, and recorded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random

import pytest

from crdt_sync.documents.catalog import arbitration
from crdt_sync.documents.catalog.audit_trail import acknowledged
from crdt_sync.documents.catalog.inconsistencies import Inconsistency
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import INCIDENTS
from crdt_sync.documents.stock import oversight
from crdt_sync.documents.stock.incidents import new_incidents
from crdt_sync.documents.stock.movements import EFFECT
from tests.unit.documents.branches import Branch, branches, sync

SEEDS = range(60)


class Shop:
    """Two tills without escrow that oversell, take notice, and hear of each other at times; one keeps the record."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.tills = branches("till-1", "till-2")
        self.seen: set[tuple[str, frozenset[str]]] = set()
        self.broken: list[str] = []
        """Where the record contradicts what was found when it was written."""
        self.dissolved = 0

    def run(self, steps: int) -> Shop:
        for _ in range(steps):
            self._random.choice((self._move, self._move, self._acknowledge, self._pull, self._record))()
        sync(self.tills)
        return self

    def _move(self) -> None:
        till = self._random.choice(self.tills)
        kind, units = self._random.choice(("receive", "sell", "sell")), self._random.randint(1, 5)
        with till.edit() as inventory:
            (inventory.receive if kind == "receive" else inventory.sell)("shirt", units, at="A")

    def _acknowledge(self) -> None:
        with self._random.choice(self.tills).edit() as inventory:
            for conflict in inventory.conflicts()[:1]:
                conflict.acknowledge()
                self.seen.add((conflict.key, frozenset(conflict.evidence)))

    def _pull(self) -> None:
        one, other = self._random.sample(self.tills, 2)
        one.pull(other)
        one.clock.receive(other.clock.latest, 2**50)

    def _record(self) -> None:
        steward = self.tills[0]
        before = dict(steward.catalog.entries(INCIDENTS))
        found = {one.key for one in steward.look.inconsistencies()}
        with steward.edit() as inventory:
            inventory.note_incidents()
        after = steward.catalog.entries(INCIDENTS)
        for key, entry in after.items():
            old = before.get(key)
            assert isinstance(entry, list)
            if old is None:
                self.broken += [] if key in found and len(entry) == 2 else [f"{key} was noted and not found"]
                continue
            assert isinstance(old, list)
            wanted = len(old) if len(old) == 3 or key in found else 3
            self.dissolved += wanted > len(old)
            self.broken += [] if entry[: len(old)] == old and len(entry) == wanted else [f"{key} was rewritten"]
        self.broken += [f"{key} was not noted" for key in found - after.keys()]


def plainly_oversold(till: Branch) -> dict[str, tuple[str, ...]]:
    """By key the evidence, as anybody would add it up."""
    found: dict[str, tuple[str, ...]] = {}
    balance: Counter[tuple[str, str]] = Counter()
    for movement in till.look.movements():
        cell = movement.sku, movement.location
        before = balance[cell]
        balance[cell] += EFFECT[movement.kind] * movement.quantity
        if balance[cell] < 0 <= before:
            key = f"oversold/{movement.sku}/{movement.location}/{movement.mid}"
            found[key] = (movement.mid, f"={balance[cell]}")
    return found


def contradictions(shop: Shop) -> list[str]:
    found = list(shop.broken)
    for till in shop.tills:
        till.restart()
        wanted = plainly_oversold(till)
        derived = {one.key: one.evidence for one in till.look.inconsistencies()}
        if derived != wanted:
            found.append(f"{till.rid} derives {derived}, and adds up {wanted}")
        still_open = {key for key, evidence in wanted.items() if (key, frozenset(evidence)) not in shop.seen}
        if (listed := {conflict.key for conflict in till.look.conflicts()}) != still_open:
            found.append(f"{till.rid} lists {listed} instead of {still_open}")
    return found


def test_inconsistencies_are_found_closed_by_their_evidence_and_recorded_once() -> None:
    taken_note = dissolved = still_open = 0
    for seed in SEEDS:
        shop = Shop(seed).run(30)
        assert contradictions(shop) == [], f"seed {seed}"
        taken_note += len(shop.seen)
        dissolved += shop.dissolved
        still_open += bool(shop.tills[0].look.conflicts())
    assert taken_note
    assert dissolved
    assert still_open


def whoever_saw_it_once_has_seen_it_for_good(patch: pytest.MonkeyPatch) -> None:
    class Everything(set[frozenset[str]]):
        def __contains__(self, evidence: object) -> bool:
            return True

    def by_key(roots: RootsView) -> Mapping[str, set[frozenset[str]]]:
        return {key: Everything() for key in acknowledged(roots)}

    patch.setattr(arbitration, "acknowledged", by_key)


def nothing_ever_dissolves(patch: pytest.MonkeyPatch) -> None:
    def only_new(
        found: Iterable[Inconsistency], noted: Mapping[str, Value], tick: Callable[[], int]
    ) -> list[tuple[str, Value]]:
        return [(key, entry) for key, entry in new_incidents(found, noted, tick) if key not in noted]

    patch.setattr(oversight, "new_incidents", only_new)


def everything_is_noted_again(patch: pytest.MonkeyPatch) -> None:
    def anew(
        found: Iterable[Inconsistency], _noted: Mapping[str, Value], tick: Callable[[], int]
    ) -> list[tuple[str, Value]]:
        return new_incidents(found, {}, tick)

    patch.setattr(oversight, "new_incidents", anew)


def only_the_last_is_found(patch: pytest.MonkeyPatch) -> None:
    honest = InventoryDocument.inconsistencies

    def the_last(self: InventoryDocument) -> list[Inconsistency]:
        return honest(self)[-1:]

    patch.setattr(oversight.Oversight, "inconsistencies", the_last)


@pytest.mark.parametrize(
    "plant",
    [
        whoever_saw_it_once_has_seen_it_for_good,
        nothing_ever_dissolves,
        everything_is_noted_again,
        only_the_last_is_found,
    ],
)
def test_the_law_of_inconsistencies_kills(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert any(contradictions(Shop(seed).run(30)) for seed in SEEDS)
