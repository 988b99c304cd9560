"""The laws of metrics notice planted bugs: each is run on one history that a naive merge gets wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from crdt_sync.documents.metrics import pen, rollups, sketches, tracks
from crdt_sync.documents.metrics.rollups import Total, join_totals
from crdt_sync.documents.metrics.tracks import Chunks
from tests.laws import test_documents_rollups as rollup_laws
from tests.laws import test_documents_series as series_laws

PLANT = pytest.MonkeyPatch


def totals_of_all_raw(chunks: Chunks, rows: rollups.Rows, width_s: int, *, upto: int | None = None) -> dict[int, Total]:
    """Adds every sample that is still there, rolled up or not."""
    totals = {number: row.total for number, row in rows.get(width_s, {}).items()}
    raw = TOTALS_OF(chunks, {}, width_s, upto=upto)
    for number, total in raw.items():
        totals[number] = join_totals(totals.get(number), total)
    return totals


def union_by_arrival(parts: Iterable[tracks.Part]) -> Iterator[tracks.Scaled]:
    """Of several samples at one time whichever is met last."""
    found = {
        sample.at_ms: (sample.at_ms, sample.scaled, chunk.outline.decimals, writer)
        for by_writer, from_ms, to_ms in parts
        for writer, chunks in sorted(by_writer.items())
        for chunk in chunks.values()
        if chunk is not None
        for sample in chunk.samples()
        if from_ms <= sample.at_ms < to_ms
    }
    yield from (found[at_ms] for at_ms in sorted(found))


def roll_the_open_chunk(patch: PLANT) -> None:
    def new_rows(chunks: Chunks, present: Iterable[int], rows: rollups.Rows, width_s: int) -> dict[int, rollups.Row]:
        numbers = list(present)
        return NEW_ROWS(chunks, [*numbers, max(numbers) + 1], rows, width_s)

    patch.setattr(rollups, "new_rows", new_rows)


def count_rolled_samples_again(patch: PLANT) -> None:
    patch.setattr(rollups, "totals_of", totals_of_all_raw)


def take_any_row(patch: PLANT) -> None:
    patch.setattr(rollups, "max", lambda *args, **how: args[0] if how.get("key") else max(*args, **how), raising=False)


def let_go_of_what_one_width_covers(patch: PLANT) -> None:
    patch.setattr(rollups, "rolled_everywhere", lambda rows: 10**6 if rows else 0)


def take_samples_as_they_come(patch: PLANT) -> None:
    patch.setattr(tracks, "union_parts", union_by_arrival)


def never_catch_up(patch: PLANT) -> None:
    patch.setattr(pen.Pen, "stamp_after", lambda self, seen: self.clock.tick(self.now_ms()))


def add_registers(patch: PLANT) -> None:
    def join(self: sketches.Registers, other: sketches.Registers) -> None:
        self.ranks = bytearray(min(53, one + two) for one, two in zip(self.ranks, other.ranks, strict=True))

    patch.setattr(sketches.Registers, "join", join)


def take_the_greater_bucket(patch: PLANT) -> None:
    def add(self: sketches.Histogram, other: sketches.Histogram) -> None:
        self.zeros = max(self.zeros, other.zeros)
        self.buckets = Counter(self.buckets | other.buckets)

    patch.setattr(sketches.Histogram, "add", add)


NEW_ROWS, TOTALS_OF = rollups.new_rows, rollups.totals_of
ROLLED_AND_GROWN = [("add", 0, 150, 1), ("roll", 0, 3600, None), ("add", 0, 20, 1), ("roll", 1, 3600, None)]
ROLLED_TWICE = [
    *(("add", 0, 150, 1), ("pull", 1, 0, None), ("roll", 1, 3600, None)),
    *(("add", 0, 150, 1), ("roll", 0, 3600, None), ("pull", 1, 0, None), ("discard", 1, None, None)),
]
LET_GO = [("add", 0, 150, 1), ("roll", 0, 86_400, None), ("discard", 0, None, None)]
ONE_AFTER_THE_OTHER = [(0, 5), (1, 4), (0, 3), (2, 2), (0, 9)]
# Writer 1, whose clock lags, corrects what it has seen of writer 0.
CORRECTED = [
    ("add", 0, 0, [(1, 9)]),
    ("pull", 1, 0, [(1, 1)]),
    ("add", 1, 0, [(1, -9)]),
]

Plant = Callable[[PLANT], None]
CASES: list[Any] = [
    (roll_the_open_chunk, rollup_laws, "test_I11_", (ROLLED_AND_GROWN, [0, 1, 2, 3])),
    (count_rolled_samples_again, rollup_laws, "test_I11_", (ROLLED_TWICE, [0, 1, 2, 3])),
    (take_any_row, rollup_laws, "test_I11_", (ROLLED_TWICE, [0, 1, 2, 3])),
    (let_go_of_what_one_width_covers, rollup_laws, "test_I11_", (LET_GO, [0, 1, 2, 3])),
    (take_samples_as_they_come, series_laws, "test_of_several_writers_", (ONE_AFTER_THE_OTHER, [0, 1, 2])),
    (never_catch_up, series_laws, "test_union_", (CORRECTED, [0, 1, 2])),
    (add_registers, series_laws, "test_registers_", ([["a"], ["a"]], [0, 1, 2, 3])),
    (take_the_greater_bucket, series_laws, "test_histograms_", ([[1.0], [1.0]], [0, 1, 2, 3])),
]


@pytest.mark.parametrize(("plant", "laws", "name", "history"), CASES)
def test_I11_kills_the_mutant(
    plant: Plant, laws: object, name: str, history: tuple[Any, ...], monkeypatch: PLANT
) -> None:
    [law] = [getattr(laws, found) for found in dir(laws) if found.startswith(name)]
    law.hypothesis.inner_test(*history)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        law.hypothesis.inner_test(*history)
