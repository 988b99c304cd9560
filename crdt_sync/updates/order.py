"""The order in which the structs of one update can be applied, found without applying them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crdt_sync.errors import MalformedUpdate
from crdt_sync.updates.decode import SKIP, Section, Struct
from crdt_sync.values import ClientId, Clock, Id


class Run(NamedTuple):
    """Structs ``first`` to ``end`` (excluded) of one section."""

    section: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Order:
    """What of an update can be applied, and how far that takes each client."""

    runs: Sequence[Run]
    reached: dict[ClientId, Clock]
    blocked: bool
    """Some structs wait for something that neither the room nor the update holds."""


def causal_runs(sections: Sequence[Section], clocks: dict[ClientId, Clock]) -> Order:
    """Walk the sections as Yjs' integrateStructs does, from dependency to dependency; each struct is passed once.

    Structs that ``clocks`` covers already are left out. Raises :class:`MalformedUpdate` when structs depend on each
    other in a circle, which no history can make.
    """
    walk = _Walk(sections, clocks)
    for index in range(len(sections)):
        walk.finish(index)
    return Order(walk.runs, walk.reached, walk.blocked)


class _Walk:
    def __init__(self, sections: Sequence[Section], clocks: dict[ClientId, Clock]) -> None:
        self._sections = sections
        self._clocks = clocks
        self._index_of = {section.client: index for index, section in enumerate(sections)}
        self._next = [0] * len(sections)
        self._stuck: set[int] = set()
        self.reached: dict[ClientId, Clock] = {}
        self.runs: list[Run] = []

    @property
    def blocked(self) -> bool:
        return bool(self._stuck)

    def finish(self, index: int) -> None:
        """Apply as much of section ``index`` as can be, and of others what it needs."""
        # Each entry: a section and the clock that it must pass; the first must pass its own end.
        path: list[tuple[int, Clock | None]] = [(index, None)]
        waiting = {index}
        while path:
            current, target = path[-1]
            needed = None if current in self._stuck else self._advance(current, target)
            if needed is None:
                path.pop()
                waiting.discard(current)
                continue
            supplier = self._index_of.get(needed[0])
            if supplier is None or supplier in self._stuck or needed[1] >= self._end_clock(supplier):
                self._stuck.add(current)
                path.pop()
                waiting.discard(current)
            elif supplier in waiting:
                raise MalformedUpdate(f"structs of client {needed[0]} depend on each other in a circle")
            else:
                path.append((supplier, needed[1]))
                waiting.add(supplier)

    def _end_clock(self, index: int) -> Clock:
        last = self._sections[index].structs[-1]
        return last.clock + last.length

    def _held(self, client: ClientId) -> Clock:
        reached = self.reached.get(client)
        return self._clocks.get(client, 0) if reached is None else reached

    def _advance(self, index: int, target: Clock | None) -> Id | None:
        """Move on in one section until it is past ``target`` or needs something; return what it needs."""
        client, structs = self._sections[index]
        held = self._held(client)
        position = first = self._next[index]
        needed: Id | None = None
        while position < len(structs) and (target is None or held <= target):
            struct = structs[position]
            if struct.clock + struct.length <= held:
                # Known already. It can only stand before the first new struct, so the run begins behind it.
                position += 1
                first = position
                continue
            if struct.clock > held or struct.kind == SKIP:
                self._stuck.add(index)
                break
            needed = self._missing(struct, client)
            if needed is not None:
                break
            held = struct.clock + struct.length
            self.reached[client] = held
            position += 1
        self._next[index] = position
        if position > first:
            self.runs.append(Run(index, first, position))
        return needed

    def _missing(self, struct: Struct, client: ClientId) -> Id | None:
        for dependency in (struct.origin, struct.right, struct.parent):
            if dependency is None or isinstance(dependency, str):
                continue
            held = struct.clock if dependency[0] == client else self._held(dependency[0])
            if dependency[1] >= held:
                return dependency
        return None
