"""Compares the ratios of the last runs with those of the table under version control.

A busy machine slows everybody: ratios to the best peer in the same round travel, absolute figures do not. Only a clear
loss counts: more than a quarter worse than the table's median in each of at least three rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.measuring.results import Results

LOSS = 0.25
ROUNDS_MIN = 3


def losses(runs: Sequence[Results], last: Sequence[Results]) -> Iterator[str]:
    """One sentence for each ratio that has clearly become worse."""
    before = {run.workload: {ratio.key: ratio for ratio in run.ratios()} for run in last}
    for run in runs:
        kept = before.get(run.workload, {})
        for ratio in run.ratios():
            if ratio.key not in kept or len(ratio.rounds) < ROUNDS_MIN:
                continue
            was = kept[ratio.key].median
            if max(ratio.rounds) < was * (1 - LOSS):
                yield (
                    f"{run.workload}, {ratio.key}: {ratio.median:.2f} x the best peer, was {was:.2f} x, "
                    f"and {max(ratio.rounds):.2f} x in the best of {len(ratio.rounds)} rounds"
                )


def compared(runs: Sequence[Results], last: Sequence[Results]) -> int:
    """How many ratios had both enough rounds and something to be compared with."""
    kept = {(run.workload, ratio.key) for run in last for ratio in run.ratios()}
    return sum(
        (run.workload, ratio.key) in kept and len(ratio.rounds) >= ROUNDS_MIN for run in runs for ratio in run.ratios()
    )
