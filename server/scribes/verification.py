"""Proves that a snapshot says what its log says, element by element, before it may replace the log. No I/O, no Doc.

Typed reads would be the obvious comparison, but on bytes that a stranger wrote they can loop for ever or end the
process, and two documents in one process share one implementation's mistakes. What a document shows is a function
of its elements, of where each was inserted (origin, right, parent, key) and of what is deleted; these are compared.
The rules S1 to S6 stand in docs/explanation/scribes.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from crdt_sync.errors import ProtocolError, SnapshotMismatch
from crdt_sync.updates.content import elements
from crdt_sync.updates.decode import (
    COLLECTED,
    DELETED,
    EMBED,
    FORMAT,
    Cursor,
    DecodedUpdate,
    Section,
    Struct,
    decode_update,
)
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import EMPTY_UPDATE
from crdt_sync.updates.ranges import Range
from crdt_sync.values import ClientId, Clock, Id, read_json
from server.scribes.history import STORED_LIMITS, History, Slot, Stored


def check_snapshot(log: History, state: bytes) -> Ledger:
    """The ledger of ``state``, once it is proven to hold what ``log`` holds. Raises :class:`SnapshotMismatch`."""
    try:
        snapshot = decode_update(state, STORED_LIMITS)
        ledger = _admitted(snapshot)
    except ProtocolError as error:
        raise SnapshotMismatch(f"S1: the snapshot does not pass the gate: {error}") from error
    if ledger.clocks != log.ledger.clocks:
        raise SnapshotMismatch(f"S2: the snapshot ends at other clocks than its log: {_first_difference(log, ledger)}")
    for client, ranges in log.ledger.deleted.items():
        forgotten = ledger.new_deletes({client: list(ranges)})
        if forgotten:
            raise SnapshotMismatch(f"S3: {_name(client, forgotten[client][0])} is deleted in the log only")
    comparison = _Comparison(log, ledger)
    for section in snapshot.sections:
        comparison.check_section(snapshot.raw, section)
    comparison.check_implied_deletes()
    return ledger


def _admitted(snapshot: DecodedUpdate) -> Ledger:
    ledger = Ledger()
    verdict = judge(snapshot, ledger, STORED_LIMITS)
    if verdict.gap:
        raise SnapshotMismatch("S1: the snapshot builds on something that is not in it")
    if verdict.fresh is not None:
        ledger.admit(verdict.fresh)
    elif snapshot.raw != EMPTY_UPDATE:
        raise SnapshotMismatch("S1: the snapshot is neither empty nor new to an empty document")
    return ledger


def _first_difference(log: History, ledger: Ledger) -> str:
    ours, theirs = log.ledger.clocks, ledger.clocks
    client = min(client for client in ours.keys() | theirs.keys() if ours.get(client) != theirs.get(client))
    return f"client {client} at {theirs.get(client, 0)} instead of {ours.get(client, 0)}"


def _name(client: ClientId, clocks: Range) -> str:
    return f"client {client}, clocks {clocks[0]} to {clocks[1] - 1}"


class _Comparison:
    def __init__(self, log: History, ledger: Ledger) -> None:
        self._log = log
        self._ledger = ledger
        self._ours = _Contents()
        self._theirs = _Contents()

    def check_section(self, raw: bytes, section: Section) -> None:
        client = section.client
        for struct in section.structs:
            kept = Stored(raw, struct)
            for start, end, logged in self._log.between(client, struct.clock, struct.clock + struct.length):
                if not _is_copy(logged, kept):
                    self._check_place(client, start, logged.struct, struct)
                    self._check_content(client, start, end, logged, kept)

    def _check_place(self, client: ClientId, clock: Clock, logged: Struct, kept: Struct) -> None:
        if kept.kind == COLLECTED:
            if logged.kind != COLLECTED and not self._is_parent_deleted(self._log.slot((client, clock))):
                raise SnapshotMismatch(f"S5: client {client}, clock {clock} lost its place beside living neighbours")
        elif logged.kind == COLLECTED or _place(client, clock, logged) != _place(client, clock, kept):
            raise SnapshotMismatch(f"S5: client {client}, clock {clock} has another place in the snapshot")

    def _check_content(self, client: ClientId, start: Clock, end: Clock, logged: Stored, kept: Stored) -> None:
        for low, high in self._alive(client, start, end):
            if self._ours.between(logged, low, high) != self._theirs.between(kept, low, high):
                raise SnapshotMismatch(f"S4: {_name(client, (low, high))} has another content in the snapshot")

    def _alive(self, client: ClientId, start: Clock, end: Clock) -> Sequence[Range]:
        deleted = self._ledger.deleted.get(client)
        return [(start, end)] if deleted is None else deleted.missing(start, end)

    def check_implied_deletes(self) -> None:
        """What the snapshot deletes beyond the log must follow from the log."""
        winners: dict[Slot, Id] | None = None
        for client, clock in self._implied_deletes():
            slot = self._log.slot((client, clock))
            if self._is_parent_deleted(slot):
                continue
            if slot is not None and slot[1] is not None:
                winners = _winners(self._log) if winners is None else winners
                if winners[slot] != (client, clock):
                    continue
            raise SnapshotMismatch(f"S6: client {client}, clock {clock} is deleted in the snapshot only")

    def _implied_deletes(self) -> Iterator[Id]:
        for client, ranges in self._ledger.deleted.items():
            known = self._log.ledger.deleted.get(client)
            for start, end in ranges:
                for low, high in [(start, end)] if known is None else known.missing(start, end):
                    for first, last, (_, struct) in self._log.between(client, low, high):
                        # Ten bytes can announce sixteen million collected elements; they explain themselves.
                        if struct.kind not in (COLLECTED, DELETED):
                            yield from ((client, clock) for clock in range(first, last))

    def _is_parent_deleted(self, slot: Slot | None) -> bool:
        """A place is lost only where the parent was collected; a root is never deleted."""
        if slot is None:
            return True
        parent, _ = slot
        return not isinstance(parent, str) and not self._alive(parent[0], parent[1], parent[1] + 1)


def _is_copy(logged: Stored, kept: Stored) -> bool:
    """The usual case, and the quick one: the snapshot repeats the struct byte by byte."""
    left, right = logged.struct, kept.struct
    return (
        left.clock == right.clock
        and left.length == right.length
        and logged.raw[left.start : left.end] == kept.raw[right.start : right.end]
    )


def _place(client: ClientId, clock: Clock, struct: Struct) -> tuple[object, ...]:
    """Where an element was inserted; within a struct each element stands behind the one before it."""
    if clock == struct.clock:
        return struct.origin, struct.right, struct.parent, struct.key
    return (client, clock - 1), struct.right, None, None


class _Contents:
    """The elements of a struct, read once for all the pieces that are asked of it in turn."""

    def __init__(self) -> None:
        self._of: Stored | None = None
        self._elements: Sequence[Any] = ()

    def between(self, stored: Stored, start: Clock, end: Clock) -> Sequence[Any]:
        if self._of is not stored:
            self._of, self._elements = stored, _elements(stored)
        first = stored.struct.clock
        return self._elements[start - first : end - first]


def _elements(stored: Stored) -> Sequence[Any]:
    raw, struct = stored
    # JSON may come back with its keys in another order, so it is compared as what it means.
    cursor = Cursor(raw, pos=struct.content)
    if struct.kind == EMBED:
        return [(EMBED, read_json(cursor.text(), STORED_LIMITS.any_depth_max))]
    if struct.kind == FORMAT:
        return [(FORMAT, cursor.text(), read_json(cursor.text(), STORED_LIMITS.any_depth_max))]
    return [_comparable(element) for element in elements(raw, struct)]


def _comparable(value: Any) -> Any:
    """``value`` with NaN as something that equals itself."""
    if isinstance(value, float) and value != value:
        return "NaN", None
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    return value


def _winners(log: History) -> dict[Slot, Id]:
    """The last element of each map entry: the only one that is shown.

    Elements of one entry form a tree by origin, because a writer sets behind the last one that it knows. Concurrent
    ones stand in the order of their client ids, each followed by all that was set behind it.
    """
    first: dict[Slot, Id] = {}
    behind: dict[Id, Id] = {}
    for client in log.clients:
        for _, _, (_, struct) in log.between(client, 0, log.ledger.clocks[client]):
            if struct.kind == COLLECTED:
                continue
            slot = log.slot((client, struct.clock))
            if slot is None or slot[1] is None:
                continue
            head = (client, struct.clock)
            if struct.origin is None:
                first[slot] = _later(first.get(slot), head)
            else:
                behind[struct.origin] = _later(behind.get(struct.origin), head)
            for clock in range(struct.clock + 1, struct.clock + struct.length):
                behind[client, clock - 1] = _later(behind.get((client, clock - 1)), (client, clock))
    winners = {}
    for slot, element in first.items():
        while element in behind:
            element = behind[element]  # noqa: PLW2901
        winners[slot] = element
    return winners


def _later(one: Id | None, other: Id) -> Id:
    if one is None or (other[0], -other[1]) > (one[0], -one[1]):
        return other
    return one
