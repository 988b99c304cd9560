"""Every element of a stored log, read without a Doc: the ground truth that a snapshot is checked against. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from crdt_sync.errors import ProtocolError, ReplicaBroken
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.decode import Struct, decode_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.values import ClientId, Clock, Id

STORED_LIMITS: Final = DEFAULT_LIMITS.for_stored()

Parent: TypeAlias = str | Id
Slot: TypeAlias = tuple[Parent, str | None]
"""Where an element lives: its parent, and its key when the parent is a map."""


class Stored(NamedTuple):
    """A struct with the update that holds it."""

    raw: bytes
    struct: Struct


class History:
    """The elements of a log, by id. Every struct is kept as it came, so nothing depends on how a Doc reads it."""

    def __init__(self, updates: Iterable[bytes] = ()) -> None:
        self.ledger = Ledger()
        self._starts: dict[ClientId, list[Clock]] = {}
        self._structs: dict[ClientId, list[Stored]] = {}
        self._slots: dict[Id, Slot | None] = {}
        for number, raw in enumerate(updates, 1):
            try:
                if not self._admit(raw):
                    raise ReplicaBroken(f"update {number} of the log builds on something that is not in it")
            except ProtocolError as error:
                raise ReplicaBroken(f"update {number} of the log does not pass the gate: {error}") from error

    def _admit(self, raw: bytes) -> bool:
        """Take in one update; False when something that it builds on is missing."""
        update = decode_update(raw, STORED_LIMITS)
        verdict = judge(update, self.ledger, STORED_LIMITS)
        if verdict.fresh is None:
            return not verdict.gap
        for run in verdict.runs:
            section = update.sections[run.section]
            starts = self._starts.setdefault(section.client, [])
            structs = self._structs.setdefault(section.client, [])
            for struct in section.structs[run.first : run.end]:
                # The first one may begin with elements that are known already; those that came first count.
                known = structs[-1].struct.clock + structs[-1].struct.length if structs else 0
                starts.append(max(struct.clock, known))
                structs.append(Stored(raw, struct))
        self.ledger.admit(verdict.fresh)
        return True

    @property
    def clients(self) -> Mapping[ClientId, object]:
        return self._structs

    def at(self, element: Id) -> Stored:
        """The struct that holds ``element``, which must be known."""
        client, clock = element
        return self._structs[client][bisect_right(self._starts[client], clock) - 1]

    def between(self, client: ClientId, start: Clock, end: Clock) -> Iterator[tuple[Clock, Clock, Stored]]:
        """The known elements ``start`` to ``end`` of ``client`` as ``(start, end, struct)``, struct by struct."""
        starts, structs = self._starts[client], self._structs[client]
        for index in range(bisect_right(starts, start) - 1, len(starts)):
            if starts[index] >= end:
                return
            struct = structs[index].struct
            yield max(start, starts[index]), min(end, struct.clock + struct.length), structs[index]

    def slot(self, element: Id) -> Slot | None:
        """Where ``element`` lives; None when that is lost, because it or what it stood beside was collected."""
        path: list[Id] = []
        slot: Slot | None = None
        at: Id | None = element
        while at is not None:
            _, struct = self.at(at)
            first = (at[0], struct.clock)
            if first in self._slots:
                slot = self._slots[first]
                break
            path.append(first)
            at = struct.origin or struct.right
            if struct.parent is not None:
                slot = struct.parent, struct.key
        for first in path:
            self._slots[first] = slot
        return slot
