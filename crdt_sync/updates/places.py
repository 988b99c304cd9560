"""Where each element of a document lies: the name of its root, and the map keys that lead down to it.

Yjs says it once. Only the first element of a key or a sequence names its parent; all others name a neighbour, whose
parent is theirs, and what lies in a nested type names the element that the type is. So whoever wants to know where an
update writes has to have followed all updates before it, in the order of their causes. Nothing of the content is kept.

An update is *traced* before it is kept: the trace says where it would write and delete, and the index stays as it was.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.updates.chains import Chains, Link
from crdt_sync.updates.decode import COLLECTED, DecodedUpdate, Struct, decode_update
from crdt_sync.updates.order import Run, causal_runs
from crdt_sync.values import ClientId, Clock, Id

Path: TypeAlias = tuple[str, ...]
"""The name of the root, then the keys, one after the other, cut at their slashes."""

DEPTH_MAX: Final = 100
"""Types nested deeper than this have no path: nobody may make one look-up walk through the whole document."""

_UNKNOWN, _NOWHERE = -1, -2


class Spot(NamedTuple):
    """Elements of one spot stand in one list: that of a map's key, or that of a sequence."""

    container: str | Id
    """A root's name, or the element that is the nested type."""
    key: str | None
    """None in a sequence."""


NOWHERE: Final = Spot("", None)
"""Where collected elements are; compare by identity, since a root may have no name."""


class Written(NamedTuple):
    """A run of elements that an update would add, from ``clock`` on new."""

    client: ClientId
    struct: Struct
    clock: Clock
    spot: Spot | None
    """None where nobody can say: its neighbours lie in two places, or where one was that is collected."""


class Stretch(NamedTuple):
    """Elements of one client and one spot."""

    client: ClientId
    clock: Clock
    end: Clock
    spot: Spot | None


class _Trail:
    """At which place each element of one client stands, as runs: a run begins at ``starts[i]``."""

    __slots__ = ("end", "places", "starts")

    def __init__(self) -> None:
        self.starts = array("I")
        self.places = array("i")
        self.end: Clock = 0

    def add(self, clock: Clock, end: Clock, place: int) -> None:
        if self.end != clock:
            self.starts.append(self.end)
            self.places.append(_UNKNOWN)
        if self.end != clock or not self.places or self.places[-1] != place:
            self.starts.append(clock)
            self.places.append(place)
        self.end = end

    def place(self, clock: Clock) -> int:
        return self.places[bisect_right(self.starts, clock) - 1] if clock < self.end else _UNKNOWN

    def runs(self, start: Clock, end: Clock) -> Iterator[tuple[Clock, Clock, int]]:
        """The runs from ``start`` to ``end``, cut to that, as far as they are known."""
        end = min(end, self.end)
        index = bisect_right(self.starts, start) - 1
        while start < end:
            following = self.starts[index + 1] if index + 1 < len(self.starts) else self.end
            yield start, min(following, end), self.places[index]
            start = following
            index += 1


class PlaceIndex:
    """The spot of every element of a document. Feed it each update that the gate admits, in that order.

    8 bytes for each run of elements in one spot, and about 200 for each key."""

    __slots__ = ("_chains", "_container_of", "_containers", "_key_of", "_numbers", "_places", "_trails")

    def __init__(self) -> None:
        self._trails: dict[ClientId, _Trail] = {}
        self._containers: list[str | Id] = []
        self._numbers: dict[str | Id, int] = {}
        self._places: list[dict[str | None, int]] = []
        self._container_of = array("I")
        self._key_of: list[str | None] = []
        self._chains = Chains()

    @classmethod
    def of_log(cls, updates: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> PlaceIndex:
        """The index of a document from its log, which may begin with a snapshot."""
        index, stored = cls(), limits.for_stored()
        clocks: dict[ClientId, Clock] = {}
        for raw in updates:
            update = decode_update(raw, stored)
            index.feed(update, causal_runs(update.sections, clocks).runs)
            clocks |= {section.client: index.end(section.client) for section in update.sections}
        return index

    def feed(self, update: DecodedUpdate, runs: Sequence[Run]) -> None:
        """Take note of what the gate admitted. Feeding twice is feeding once."""
        for run in runs:
            client, structs = update.sections[run.section]
            trail = self._trails.get(client)
            if trail is None:
                trail = self._trails[client] = _Trail()
            for struct in structs[run.first : run.end]:
                end = struct.clock + struct.length
                if end > trail.end:
                    self._enter(trail, client, struct, end)

    def end(self, client: ClientId) -> Clock:
        """The first clock of a client that is not known here."""
        trail = self._trails.get(client)
        return 0 if trail is None else trail.end

    def spot_of(self, id_: Id) -> Spot | None:
        """Where an element stands."""
        return self._spot(self._place_of(id_))

    def knows(self, spot: Spot) -> bool:
        """Whether anything was ever written there."""
        return self._find(spot) is not None

    def winner(self, spot: Spot, added: Iterable[Link] = ()) -> Id | None:
        """The element of a key whose value the key has, or had before it was deleted, or would have with what is
        ``added``; None where nobody can tell."""
        return self._chains.winner(self._find(spot), added)

    def stretches(self, client: ClientId, start: Clock, end: Clock) -> Iterator[Stretch]:
        """Where the elements from ``start`` to ``end`` stand, as far as they are known."""
        trail = self._trails.get(client)
        if trail is not None:
            for clock, until, place in trail.runs(start, end):
                yield Stretch(client, clock, until, self._spot(place))

    def _place_of(self, id_: Id) -> int:
        trail = self._trails.get(id_[0])
        return _UNKNOWN if trail is None else trail.place(id_[1])

    def _spot(self, place: int) -> Spot | None:
        if place >= 0:
            return Spot(self._containers[self._container_of[place]], self._key_of[place])
        return NOWHERE if place == _NOWHERE else None

    def _find(self, spot: Spot) -> int | None:
        number = self._numbers.get(spot.container)
        return None if number is None else self._places[number].get(spot.key)

    def _enter(self, trail: _Trail, client: ClientId, struct: Struct, end: Clock) -> None:
        place = self._place(struct)
        clock, origin = struct.clock, struct.origin
        if clock < trail.end:
            # Of a run that has grown since, the beginning is known.
            clock, origin = trail.end, (client, trail.end - 1)
        trail.add(clock, end, place)
        if place >= 0 and self._key_of[place] is not None:
            self._chains.add(place, Link(client, clock, end - 1, origin, struct.right))

    def _place(self, struct: Struct) -> int:
        """As :func:`_spot_of`, but with a number for what is new."""
        if struct.kind == COLLECTED:
            return _NOWHERE
        if struct.parent is None:
            origin = struct.origin
            left = None if origin is None else self._place_of(origin)
            right = None if struct.right is None else self._place_of(struct.right)
            if left is not None and right is not None and left != right:
                return _UNKNOWN
            found = left if left is not None else right
            return _UNKNOWN if found is None or found < 0 else found
        number = self._numbers.get(struct.parent)
        if number is None:
            number = self._numbers[struct.parent] = len(self._containers)
            self._containers.append(struct.parent)
            self._places.append({})
        places = self._places[number]
        place = places.get(struct.key)
        if place is None:
            place = places[struct.key] = len(self._key_of)
            self._container_of.append(number)
            self._key_of.append(struct.key)
            self._chains.open()
        return place


class Trace:
    """Where one update would write and delete."""

    __slots__ = ("_index", "_links", "_own", "writes")

    def __init__(self, index: PlaceIndex, update: DecodedUpdate, runs: Sequence[Run]) -> None:
        self._index = index
        self._own: dict[ClientId, tuple[list[Clock], list[Written]]] = {}
        self._links: dict[Spot, list[Link]] | None = None
        self.writes: list[Written] = []
        """All that is new, causes before effects."""
        for run in runs:
            client, structs = update.sections[run.section]
            for struct in structs[run.first : run.end]:
                self._enter(client, struct)

    def spot_of(self, id_: Id) -> Spot | None:
        """Where an element stands, or would stand."""
        client, clock = id_
        own = self._own.get(client)
        if own is None or clock < own[0][0]:
            return self._index.spot_of(id_)
        written = own[1][bisect_right(own[0], clock) - 1]
        return written.spot if clock < written.struct.clock + written.struct.length else None

    def winner(self, spot: Spot) -> Id | None:
        """The element of a key that would count; None where nobody can tell."""
        if self._links is None:
            self._links = {}
            for client, struct, clock, place in self.writes:
                if place is not None and place.key is not None:
                    origin = struct.origin if clock == struct.clock else (client, clock - 1)
                    link = Link(client, clock, struct.clock + struct.length - 1, origin, struct.right)
                    self._links.setdefault(place, []).append(link)
        return self._index.winner(spot, self._links.get(spot, ()))

    def path(self, spot: Spot | None) -> Path | None:
        """The path of the elements of a spot; None where nobody can say, or of what is collected."""
        parts: list[str] = []
        for _ in range(DEPTH_MAX):
            if spot is None or spot is NOWHERE:
                return None
            if spot.key is not None:
                parts += reversed(spot.key.split("/"))
            if isinstance(spot.container, str):
                # A root's name is one segment, whatever it holds, so that no root passes for a key of another one.
                return (spot.container, *reversed(parts))
            spot = self.spot_of(spot.container)
        return None

    def stretches(self, client: ClientId, start: Clock, end: Clock) -> Iterator[Stretch]:
        """Where the elements from ``start`` to ``end`` stand, or would stand."""
        yield from self._index.stretches(client, start, end)
        starts, own = self._own.get(client, ((), ()))
        for _, struct, clock, spot in own[max(bisect_right(starts, start) - 1, 0) :]:
            if clock >= end:
                return
            if struct.clock + struct.length > start:
                yield Stretch(client, max(clock, start), min(struct.clock + struct.length, end), spot)

    def _enter(self, client: ClientId, struct: Struct) -> None:
        known = self._index.end(client)
        if struct.clock + struct.length <= known:
            return
        written = Written(client, struct, max(struct.clock, known), _spot_of(struct, self.spot_of))
        starts, own = self._own.setdefault(client, ([], []))
        starts.append(written.clock)
        own.append(written)
        self.writes.append(written)


def _spot_of(struct: Struct, spot_of: Callable[[Id], Spot | None]) -> Spot | None:
    if struct.kind == COLLECTED:
        return NOWHERE
    if struct.parent is not None:
        return Spot(struct.parent, struct.key)
    neighbours = [spot_of(id_) for id_ in (struct.origin, struct.right) if id_ is not None]
    # Yjs goes by the left one, and collects what has a collected neighbour; other implementations look further.
    first = neighbours[0]
    return None if first is NOWHERE or any(spot != first for spot in neighbours) else first
