"""I2 and I5 for movements changed after the fact: whatever pages do, every reader ends at the first contents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest

from crdt_sync.documents.keys import is_movement_id
from crdt_sync.documents.schema import MOVEMENTS
from crdt_sync.documents.stock.originals import changed_movements, entries_of
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.decode import DecodedUpdate, Deletes, Struct
from crdt_sync.updates.gate import Verdict
from crdt_sync.updates.rewrites import RewriteIndex, to_base36
from crdt_sync.values import Id
from server.rooms.keeper import MovementKeeper, Notes, _Pen, _Sight, recall_log
from tests.laws.movement_histories import MovementPage, Shop, write_history
from tests.unit.documents.replicas import DocRoots, Replica

HISTORIES = int(os.environ.get("CRDT_SYNC_HISTORIES", "80"))


def broken(shop: Shop, updates: Sequence[bytes], read: Callable[[DocRoots], Any] = entries_of) -> list[str]:
    """Where a reader of ``updates`` sees anything else than what came first, or a wrong report."""
    reader = DocRoots(*updates)
    entries, changed = read(reader), set(changed_movements(reader))
    ids = {mid for mid in shop.firsts if is_movement_id(mid)}
    found = [f"{mid}: {entries.get(mid)} for {shop.firsts[mid]}" for mid in ids if entries.get(mid) != shop.firsts[mid]]
    found += [f"{mid}: out of nothing" for mid in entries.keys() - shop.firsts.keys()]
    plain = reader.entries("mv")
    if missed := {mid for mid in ids if plain.get(mid) != shop.firsts[mid]} - changed:
        found.append(f"not reported: {missed}")
    if false := changed - shop.rewritten:
        found.append(f"reported, but never changed: {false}")
    return found


def test_I2_every_reader_ends_at_the_sum_over_first_contents() -> None:
    changed = restarts = 0
    for seed in range(HISTORIES):
        random = Random(seed)
        shop = write_history(random)
        assert broken(shop, shop.updates) == [], f"seed {seed}"
        late = Replica(movements=DocRoots(*shop.updates))
        wanted = sum(row[3] for mid, row in shop.firsts.items() if is_movement_id(mid))
        assert late.inventory.stock("shirt", "A") == wanted, f"seed {seed}"
        changed += shop.notes
        restarts += shop.restarts
    assert changed > 2 * HISTORIES
    assert restarts


def test_P21_nobody_who_reads_along_ever_sees_another_sum() -> None:
    for seed in range(HISTORIES // 3):
        shop, reader = write_history(Random(seed)), DocRoots()
        for number, update in enumerate(shop.updates):
            reader.doc.apply_update(update)
            for mid, row in entries_of(reader).items():
                assert row == shop.firsts[mid], f"seed {seed}, after update {number} of the log: {mid}"


def test_I2_a_merged_and_collected_state_of_any_reader_says_the_same() -> None:
    for seed in range(HISTORIES // 3):
        shop = write_history(Random(seed))
        state = DocRoots(*shop.updates).doc.get_update()
        assert broken(shop, [state]) == [], f"seed {seed}"
        # And a relay that has nothing else puts back nothing any more.
        shop.log = [(state, None)]
        shop.restart(Random(seed))
        notes, page = shop.notes, MovementPage(2**30, is_collecting=True)
        page.learn(state)
        shop.hear(page.edit(Random(seed), {}))
        assert shop.notes == notes, f"seed {seed}"


class DeletesAreNothing(RewriteIndex):
    def _deleted(self, deletes: Deletes) -> Iterator[str]:
        return iter(())


class OnlyOriginsTell(RewriteIndex):
    def _enter(self, client: int, struct: Struct, key: str, doubted: set[str]) -> None:
        super()._enter(client, struct, key, doubted if struct.parent is None else set())


class OverwritesAreDeletions(RewriteIndex):
    def _enter(self, client: int, struct: Struct, key: str, doubted: set[str]) -> None:
        if struct.parent is not None:
            super()._enter(client, struct, key, doubted)


class TheLeastClientIsShown(RewriteIndex):
    def shown(self, key: str) -> Id | None:
        return min(self._several[key]) if key in self._several else super().shown(key)


class OwnIdsAlone(RewriteIndex):
    def _enter(self, client: int, struct: Struct, key: str, doubted: set[str]) -> None:
        if key.partition(".")[0] == to_base36(client):
            super()._enter(client, struct, key, doubted)


class Keeper(MovementKeeper):
    """The real one, to be broken."""

    index: type[RewriteIndex] = RewriteIndex

    def __init__(self) -> None:
        super().__init__(2**50, DEFAULT_LIMITS)
        self._index = self.index(MOVEMENTS)


class EveryRepetitionIsAChange(Keeper):
    def _original(self, key: str, sight: _Sight) -> Any:
        return sight.content(self._index.elements(key)[0])


class TheLastContentCounts(Keeper):
    def _original(self, key: str, sight: _Sight) -> Any:
        found = super()._original(key, sight)
        return sight.content(self._index.elements(key)[-1]) if isinstance(found, list) else found


class ForgetsWhatWasSettledBefore(Keeper):
    def recall(self, update: DecodedUpdate, verdict: Verdict, author: str | None) -> None:
        self._pending |= self._index.feed(update, verdict)


class KnowsNothingOfTheLog(Keeper):
    def recall(self, update: DecodedUpdate, verdict: Verdict, author: str | None) -> None:
        """Begins with what comes now."""


class SleepsOn(Keeper):
    def note(self, *arguments: Any, **named: Any) -> Notes:
        return Notes()


def with_index(index: type[RewriteIndex]) -> type[Keeper]:
    return type(index.__name__, (Keeper,), {"index": index})


def is_killed(mutant: type[Keeper], seed: int, read: Callable[[DocRoots], Any] = entries_of) -> bool:
    def opened(client: int, log: Sequence[tuple[bytes, str | None]]) -> Keeper:
        keeper = mutant()
        keeper._pen = _Pen(client)
        recall_log(keeper, log, DEFAULT_LIMITS)
        return keeper

    shop = write_history(Random(seed), open_keeper=opened)
    return bool(broken(shop, shop.updates, read))


@pytest.mark.parametrize(
    "mutant",
    [
        with_index(DeletesAreNothing),
        with_index(OnlyOriginsTell),
        with_index(OverwritesAreDeletions),
        with_index(TheLeastClientIsShown),
        with_index(OwnIdsAlone),
        EveryRepetitionIsAChange,
        TheLastContentCounts,
        ForgetsWhatWasSettledBefore,
        KnowsNothingOfTheLog,
        SleepsOn,
    ],
)
def test_I2_kills(mutant: type[Keeper]) -> None:
    assert any(is_killed(mutant, seed) for seed in range(60))


def test_I2_kills_a_reader_of_the_log_alone() -> None:
    assert not any(is_killed(Keeper, seed) for seed in range(10))
    assert any(is_killed(Keeper, seed, lambda document: document.entries(MOVEMENTS)) for seed in range(10))
