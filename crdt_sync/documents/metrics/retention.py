"""The end of a period: its metrics folded into its year's document, and an answer to whatever comes too late.

Duties of whoever keeps a tenant's documents (the relay): :func:`close` a period some days after its end,
:func:`answer_late`, and say which closed documents are :func:`due_to_retire`. Dropping a closed document as a whole is
the only deletion that gives all bytes back. All of them may be done by several at once, and again and again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import lcm
from typing import Final

from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.keys import split, to_base36
from crdt_sync.documents.metrics.chunks import decode_chunk
from crdt_sync.documents.metrics.counters import read_counters
from crdt_sync.documents.metrics.coverage import COVERS, beyond, coverage_entries, read_coverage, take_coverage
from crdt_sync.documents.metrics.folds import (
    FOLDER,
    FOLDS,
    FoldNote,
    fold_writer,
    note_value,
    read_fold_notes,
)
from crdt_sync.documents.metrics.gauges import read_gauges
from crdt_sync.documents.metrics.periods import year_of
from crdt_sync.documents.metrics.rollups import Row, Rows, bucket_part, check_width, read_rows, row_value
from crdt_sync.documents.metrics.sketch_slots import (
    read_histograms,
    read_registers,
)
from crdt_sync.documents.metrics.sketches import Histogram
from crdt_sync.documents.metrics.totals import period_totals
from crdt_sync.documents.metrics.tracks import (
    Sample,
    bytes_at,
    find_tracks,
    first_sample,
    read_tracks,
    spelled,
    unscale,
)
from crdt_sync.documents.names import period_span_ms
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    META,
    REGISTERS,
    REJECTED,
    ROLLUPS,
    SAMPLES,
    check_version,
    check_writable,
    stamp,
    whole,
)
from crdt_sync.errors import InvalidValue

TOO_LATE: Final = "too_late"

_CLOSED: Final = "closed"
_CLOSING_DIGITS: Final = 5
_DAY_MS: Final = 86_400_000
_WRITER_PART: Final = 2


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """What came into a period after its closing, and is in no total."""

    root: str
    metric: str
    entity: str
    wid: str
    """Who wrote it."""
    key: str
    reason: str
    bound: int
    """What was counted all the same: samples and statements up to this stamp, counts up to this number."""
    late: int | None
    """How many samples or counts that are; None where it can't be told."""


def close(document: Roots, period: str, year: Roots, *, width_s: int, closed: int) -> int:
    """Close the document of ``period``, and fold it into that of its year; return how many entries the fold has.

    0 when the year has a fold of it already. To be written in one commit, together with :func:`periods.note_folded`:
    whoever sees the fold then also sees, sooner or later, what it has covered. Series become rows of ``width_s``
    seconds, or a multiple of it where samples were let go for wider ones; each time counts once whoever sampled it,
    unless the series was rolled up: then it comes as its rows say. Gauges, counters and sketches become one slot each.
    ``closed`` is a new stamp. Raises :class:`InvalidName`, :class:`InvalidValue` for what is no width,
    :class:`SchemaTooNew`, :class:`PeriodClosed` when the year itself is closed."""
    year_of(period)
    check_version(document)
    check_writable(year)
    if period in read_fold_notes(year)[0]:
        if document.get(META, _CLOSED) is None:
            document.put(META, _CLOSED, closed)
        return 0
    contents = [*_slots(document), *_rows(document, period, check_width(width_s))]
    coverage = take_coverage(document)
    closing = _name(contents, coverage_entries(coverage, ""))
    covers = coverage_entries(coverage, closing)
    for key, value in covers.items():
        document.put(COVERS, key, value)
    # Last, so that whoever holds it of this writer also holds all the others.
    document.put(META, _CLOSED, stamp(document.get(META, _CLOSED)) or closed)
    writer = fold_writer(period, closing)
    for root, prefix, suffix, value in contents:
        year.put(root, f"{prefix}/{writer}{suffix}", value)
    year.put(FOLDS, period, note_value(FoldNote(closing, closed, len(contents), len(covers), width_s)))
    return len(contents)


def late_answers(document: RootsView, period: str, year: RootsView) -> dict[str, Value]:
    """The entries of ``rej`` that the closed document of ``period`` lacks: a function of the two documents.

    Nothing is answered before both the fold's note and all that it has covered are here. Answers of a closing that was
    not the one that counts are taken back (None)."""
    note = read_fold_notes(year)[0].get(period)
    if note is None:
        return {}
    coverage, count = read_coverage(document, note.closing)
    if count != note.covers:
        return {}
    answers: dict[str, Value] = {
        key: [TOO_LATE, bound, note.closing] for key, bound in beyond(document, coverage).items()
    }
    given = document.entries(REJECTED)
    void: dict[str, Value] = {key: None for key, answer in given.items() if answer is not None and key not in answers}
    return {**{key: answer for key, answer in answers.items() if given.get(key) != answer}, **void}


def answer_late(document: Roots, period: str, year: RootsView) -> int:
    """Answer what came into the closed document of ``period`` after its fold; return how many answers are new.

    See :func:`late_answers`. Raises :class:`SchemaTooNew`."""
    check_version(document)
    answers = late_answers(document, period, year)
    for key, answer in answers.items():
        document.put(REJECTED, key, answer)
    return sum(answer is not None for answer in answers.values())


def due_to_retire(year: RootsView, now_ms: int, keep_days: int | None) -> list[str]:
    """The folded periods whose own documents have been kept for ``keep_days`` whole days since their closing.

    None for ``keep_days`` means that they are kept for ever."""
    if keep_days is None:
        return []
    notes, _ = read_fold_notes(year)
    return sorted(period for period, note in notes.items() if at_ms(note.stamp) + keep_days * _DAY_MS <= now_ms)


def rejections(view: RootsView) -> list[Rejection]:
    """What came too late into a document, as the relay has answered it."""
    found = []
    for answer, value in view.entries(REJECTED).items():
        root, _, key = answer.partition("/")
        names = split(key, key.count("/") + 1)
        place = _WRITER_PART + (root == ROLLUPS)
        if names is None or len(names) <= place or not isinstance(value, list) or len(value) < 2:
            continue
        reason, bound = value[0], whole(value[1])
        if isinstance(reason, str) and bound is not None:
            late = _late(view, root, key, bound)
            found.append(Rejection(root, names[0], names[1], names[place], key, reason, bound, late))
    return sorted(found)


def late_samples(view: RootsView, rejection: Rejection) -> list[Sample]:
    """The samples that a rejection is about; none where it is about something else, or they are gone."""
    if rejection.root != SAMPLES:
        return []
    try:
        columns = decode_chunk(bytes_at(view, SAMPLES, rejection.key))
    except InvalidValue:
        # Cleared, or unreadable: then there is nothing left to show.
        return []
    decimals = columns.outline.decimals
    return [
        Sample(one.at_ms, unscale(one.scaled, decimals), rejection.wid)
        for one in columns.samples()
        if one.stamp > rejection.bound
    ]


_Content = tuple[str, str, str, Value]
"""Root, ``{metric}/{entity}`` or what precedes the writer, what follows it, and the value."""


def _slots(closed: RootsView) -> Iterator[_Content]:
    for series, (written, key, number) in read_gauges(closed.entries(GAUGES)).latest.items():
        yield GAUGES, spelled(series), "", [written, number, key.rpartition("/")[2]]
    for series, count in read_counters(closed.entries(COUNTERS)).totals.items():
        yield COUNTERS, spelled(series), "/0", count
    for series, histogram in read_histograms(closed)[0].items():
        yield HISTOGRAMS, spelled(series), "/0", histogram.encode()
    for series, registers in read_registers(closed)[0].items():
        yield REGISTERS, spelled(series), "", registers.encode()


def _rows(closed: RootsView, period: str, width_s: int) -> Iterator[_Content]:
    span_ms = period_span_ms(period)
    tracks, _ = find_tracks(closed.keys(SAMPLES))
    rolled = read_rows(closed.entries(ROLLUPS)).rows
    for series in sorted(tracks.keys() | rolled.keys()):
        chunks = read_tracks(closed, {series: tracks.get(series, {})}).chunks[series]
        rows = rolled.get(series, {})
        width = _width_for(rows, width_s)
        totals = period_totals(closed, series, width, chunks=chunks, rows=rows, span_ms=span_ms)
        first = None if rows else first_sample(chunks, *span_ms)
        for number, total in sorted(totals.items()):
            # Every bucket of a fold is complete, so one number for "all of it" does.
            row = Row(1, total, None if first is None else (first[0], first[1] * 10 ** (total.decimals - first[2])))
            yield ROLLUPS, f"{spelled(series)}/{bucket_part(width, number)}", f"/{FOLDER}", row_value(row)
            first = None


def _width_for(rows: Mapping[str, Rows], width_s: int) -> int:
    """``width_s``, or the least multiple of it that the rows of a series allow, which may have let go of samples."""
    widths = {width for of_writer in rows.values() for width in of_writer}
    return lcm(width_s, *widths)


def _name(contents: list[_Content], covers: Mapping[str, Value]) -> str:
    """Five characters that follow from what is closed: enough to tell the few closings of one period apart."""
    lines = sorted(json.dumps([*where, value], default=bytes.hex) for *where, value in contents)
    text = json.dumps([lines, covers], sort_keys=True, ensure_ascii=True)
    number = int.from_bytes(sha256(text.encode()).digest()[:8]) % 36**_CLOSING_DIGITS
    return to_base36(number).zfill(_CLOSING_DIGITS)


def _late(view: RootsView, root: str, key: str, bound: int) -> int | None:
    if root == SAMPLES:
        rejected = Rejection(root, "", "", "", key, TOO_LATE, bound, None)
        return len(late_samples(view, rejected)) or None
    if root == COUNTERS:
        count = whole(view.get(COUNTERS, key))
        return None if count is None else count - bound
    if root == HISTOGRAMS:
        try:
            return Histogram.decode(bytes_at(view, HISTOGRAMS, key)).count - bound
        except InvalidValue:
            return None
    return 1 if root == GAUGES else None
