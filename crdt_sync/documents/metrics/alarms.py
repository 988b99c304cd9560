"""What looks wrong in a metrics document: unreadable entries, clocks that run ahead, slots that two have written.

What can be known for certain, and what can't: two processes that write one slot without seeing each other leave two
heads under its key, for ever, whatever order they are merged in. One that goes on from a restored backup under the
name it had leaves the same. A slot that was lowered by somebody who did see the higher count leaves no trace in the
document, because a map keeps one value; only the coverage of a closing remembers, see :func:`coverage.lowered`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from crdt_sync.documents.clock import AHEAD_MS_MAX, is_ahead
from crdt_sync.documents.metrics.counters import read_counters
from crdt_sync.documents.metrics.folds import read_fold_notes
from crdt_sync.documents.metrics.gauges import read_gauges
from crdt_sync.documents.metrics.rolling import rollup_faults
from crdt_sync.documents.metrics.sketch_slots import read_histograms, read_registers
from crdt_sync.documents.metrics.totals import ALL_TIMES
from crdt_sync.documents.metrics.tracks import find_tracks, read_tracks, spelled
from crdt_sync.documents.names import is_year, period_span_ms
from crdt_sync.documents.roots import RootsView
from crdt_sync.documents.schema import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    REGISTERS,
    SAMPLES,
    Fault,
    meta_faults,
)
from crdt_sync.updates.forks import Head

SLOTS: Final = (GAUGES, COUNTERS, HISTOGRAMS, REGISTERS, SAMPLES)
"""The roots of which every key has one writer. Rows of rollups have several on purpose."""

_AHEAD: Final = "is stamped by a clock that runs more than 60 s ahead"


class ForksView(Protocol):
    """The keys of a metrics document that were written concurrently."""

    def forked(self, root: str) -> Mapping[str, Sequence[Head]]:
        """All keys of a root that have several heads, by rising key."""
        ...


class _NoForks:
    def forked(self, root: str) -> Mapping[str, Sequence[Head]]:
        return {}


NO_FORKS: Final = _NoForks()
"""For a document whose heads nobody can tell."""


def faults_of(view: RootsView, period: str, now_ms: int) -> list[Fault]:
    """Everything in one document that was skipped, or counts but looks wrong. An empty ``period`` is not known."""
    gauges, counters = read_gauges(view.entries(GAUGES)), read_counters(view.entries(COUNTERS))
    ahead = [Fault(GAUGES, key, _AHEAD) for key, written in gauges.stamps.items() if is_ahead(written, now_ms)]
    # The classic double count: a total that several observers state is counted up by somebody else.
    mixed = [
        Fault(COUNTERS, spelled(series), "is counted, and stated as a gauge, too")
        for series in counters.totals.keys() & gauges.latest.keys()
    ]
    sketches = [*read_histograms(view)[1], *read_registers(view)[1]]
    others = [*meta_faults(view), *read_fold_notes(view)[1], *rollup_faults(view)]
    span_ms = period_span_ms(period) if period and not is_year(period) else ALL_TIMES
    return [*gauges.faults, *counters.faults, *ahead, *mixed, *sketches, *others, *sample_faults(view, span_ms, now_ms)]


def sample_faults(view: RootsView, span_ms: tuple[int, int], now_ms: int) -> list[Fault]:
    """Everything in the ``s`` root that was skipped, or that a clock far ahead has stamped or dated."""
    found, faults = find_tracks(view.keys(SAMPLES))
    fold = read_tracks(view, found)
    for series, tracks in fold.chunks.items():
        for writer, chunks in tracks.items():
            for number, chunk in chunks.items():
                key = found[series][writer][number]
                if chunk is None:
                    continue
                if is_ahead(chunk.outline.stamp, now_ms):
                    faults.append(Fault(SAMPLES, key, _AHEAD))
                elif chunk.outline.last_ms > now_ms + AHEAD_MS_MAX:
                    faults.append(Fault(SAMPLES, key, "holds samples of a time that is still to come"))
                if chunk.outline.first_ms < span_ms[0] or chunk.outline.last_ms >= span_ms[1]:
                    faults.append(Fault(SAMPLES, key, "holds samples of another period, which count for nothing"))
    return [*faults, *fold.faults]


def fork_faults(forks: ForksView) -> list[Fault]:
    """Slots that two processes have written without seeing each other: only one of the two counts."""
    return [Fault(root, key, "was written by two processes at once") for root in SLOTS for key in forks.forked(root)]
