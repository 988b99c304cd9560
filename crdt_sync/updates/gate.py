"""Judges an update against what a room holds: what of it is new, what is known, and whether something is missing.

Neither yrs nor a log may ever see an update before what it depends on: yrs then hides content for good, and does
not save what waits. So nothing waits here. What is not ready is not kept; its sender is asked for its state, and
the answer heals every gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crdt_sync.errors import LimitExceeded
from crdt_sync.limits import Limits
from crdt_sync.updates.decode import SKIP, DecodedUpdate, Deletes, Section
from crdt_sync.updates.encode import trim
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.nesting import check_parents, new_sections
from crdt_sync.updates.order import Run, causal_runs
from crdt_sync.updates.pieces import Piece, Span, parents_of, span, whole
from crdt_sync.updates.ranges import Range
from crdt_sync.updates.reuse import check_reuse
from crdt_sync.values import ClientId, Clock


class Verdict(NamedTuple):
    """What the gate found."""

    fresh: Piece | None
    """What is new and ready, in canonical form: the bytes as they came where all of it is, else a slice of them."""
    gap: bool
    """Something that the update builds on is missing here."""
    runs: Sequence[Run]
    """The new structs of the *judged* update in an order in which they can be applied."""


KNOWN = Verdict(None, False, ())
GAP = Verdict(None, True, ())


def judge(update: DecodedUpdate, ledger: Ledger, limits: Limits, *, keep_ready_part: bool = False) -> Verdict:
    """Judge ``update``; the ledger does not move.

    An update with a gap is not kept at all, so that a transaction stays whole; with ``keep_ready_part`` (for a
    sender's whole state, which can't be asked for again) what is ready of it is. Raises :class:`MalformedUpdate`,
    :class:`ClientIdReused` or :class:`LimitExceeded`.
    """
    if len(update.sections) == 1:
        section = update.sections[0]
        clocks = ledger.clocks
        if section.structs[0].clock == clocks.get(section.client, 0) and _follows(section, clocks):
            verdict = _judge_continuation(update, ledger, limits)
            if verdict is not None:
                return verdict
    return _judge_in_full(update, ledger, limits, keep_ready_part)


def _judge_continuation(update: DecodedUpdate, ledger: Ledger, limits: Limits) -> Verdict | None:
    """The common case: all structs are new, so that only deletes can be known. None when one of them is too early."""
    piece = whole(update)
    only = piece.spans[0]
    if update.deletes:
        ready, beyond = _within(update.deletes, {only.client: only.end_clock}, ledger.clocks)
        if beyond:
            return None
        deletes = ledger.new_deletes(ready)
        if deletes != update.deletes:
            piece = trim(update.raw, piece.spans, deletes)._replace(parents=piece.parents)
    runs = (Run(0, 0, only.structs),)
    _check_growth(piece.spans, ledger, limits)
    if update.nests and not limits.is_for_stored:
        check_parents(update.sections, runs, ledger)
    return Verdict(piece, False, runs)


def _follows(section: Section, clocks: dict[ClientId, Clock]) -> bool:
    """Whether every struct of a section that begins where its client stands can be applied in turn."""
    client = section.client
    for struct in section.structs:
        if struct.kind == SKIP:
            return False
        for dependency in (struct.origin, struct.right, struct.parent):
            if dependency is None or isinstance(dependency, str):
                continue
            held = struct.clock if dependency[0] == client else clocks.get(dependency[0], 0)
            if dependency[1] >= held:
                return False
    return True


def _judge_in_full(update: DecodedUpdate, ledger: Ledger, limits: Limits, keep_ready_part: bool) -> Verdict:
    check_reuse(update, ledger)
    order = causal_runs(update.sections, ledger.clocks)
    ready, beyond = _within(update.deletes, order.reached, ledger.clocks)
    gap = order.blocked or beyond
    if gap and not keep_ready_part:
        return GAP
    deletes = ledger.new_deletes(ready)
    spans = _spans(update.sections, order.runs)
    if not spans and not deletes:
        return GAP if gap else KNOWN
    _check_growth(spans, ledger, limits)
    all_new = not gap and deletes == update.deletes and _covers(spans, update.sections)
    fresh = whole(update) if all_new else trim(update.raw, spans, deletes)
    if update.nests:
        fresh = fresh._replace(parents=parents_of(new_sections(update.sections, order.runs)))
        if not limits.is_for_stored:
            check_parents(update.sections, order.runs, ledger)
    return Verdict(fresh, gap, order.runs)


def _spans(sections: Sequence[Section], runs: Sequence[Run]) -> Sequence[Span]:
    """One span for each section that has new structs, in the order of the sections."""
    bounds: dict[int, tuple[int, int]] = {}
    for run in runs:
        first, _ = bounds.get(run.section, (run.first, 0))
        bounds[run.section] = first, run.end
    return [
        span(sections[index].client, sections[index].structs[first:end])
        for index, (first, end) in sorted(bounds.items())
    ]


def _covers(spans: Sequence[Span], sections: Sequence[Section]) -> bool:
    return len(spans) == len(sections) and all(
        piece.structs == len(section.structs) for piece, section in zip(spans, sections, strict=True)
    )


def _within(
    deletes: Deletes, reached: dict[ClientId, Clock], clocks: dict[ClientId, Clock]
) -> tuple[dict[ClientId, Sequence[Range]], bool]:
    """The part of ``deletes`` that names known elements, and whether there was another part."""
    ready: dict[ClientId, Sequence[Range]] = {}
    beyond = False
    for client, ranges in deletes.items():
        held = reached.get(client, clocks.get(client, 0))
        inside = [(start, min(end, held)) for start, end in ranges if start < held]
        beyond = beyond or any(end > held for _, end in ranges)
        if inside:
            ready[client] = inside
    return ready, beyond


def _check_growth(spans: Sequence[Span], ledger: Ledger, limits: Limits) -> None:
    clients = len(ledger.clocks)
    for piece in spans:
        held = ledger.clocks.get(piece.client)
        if held is None:
            clients += 1
        step = piece.end_clock - (held or 0)
        if step > limits.clock_step_max:
            raise LimitExceeded("clock_step_max", limits.clock_step_max, step)
    if clients > limits.clients_max and clients > len(ledger.clocks):
        raise LimitExceeded("clients_max", limits.clients_max, clients)
