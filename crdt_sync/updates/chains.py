"""Which element of a map key is the one that counts, found from the origins alone, without any content.

Who sets a key puts an element behind the last one that it sees. Elements with one origin did not see each other; they
stand side by side by rising client id, each followed by all that follows it. The last element of that order counts and
every other one is deleted, whether anybody says so or not. So a peer that tells of such a delete tells nothing new.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from crdt_sync.values import ClientId, Clock, Id

SEGMENTS_MAX: Final = 128


class Link(NamedTuple):
    """Elements ``clock`` to ``last`` (included) of one key, of which the first follows ``origin``."""

    client: ClientId
    clock: Clock
    last: Clock
    origin: Id | None
    right: Id | None


@dataclass(slots=True)
class _Segment:
    """Elements of one client, each the origin of the next."""

    client: ClientId
    clock: Clock
    last: Clock
    origin: Id | None


class Chains:
    """The elements of keys, each key under a number from 0. 16 bytes for a key that one client writes."""

    __slots__ = ("_clients", "_firsts", "_lasts", "_several")

    def __init__(self) -> None:
        self._clients = array("Q")
        self._firsts = array("I")
        self._lasts = array("i")
        self._several: dict[int, list[_Segment] | None] = {}
        """Keys that several wrote; None where the order can't be told any more."""

    def open(self) -> None:
        """Make room for the next number."""
        self._clients.append(0)
        self._firsts.append(0)
        self._lasts.append(-1)

    def add(self, place: int, link: Link) -> None:
        """Take in elements of a key."""
        if place not in self._several:
            own, newest = self._clients[place], self._lasts[place]
            if link.right is None and newest < 0:
                self._clients[place], self._firsts[place], self._lasts[place] = link.client, link.clock, link.last
                return
            if link.right is None and link.client == own and link.origin == (own, newest):
                self._lasts[place] = link.last
                return
            self._several[place] = self._segments(place)
        segments = self._several[place]
        if segments is not None:
            self._several[place] = _extended(segments, link)

    def winner(self, place: int | None, added: Iterable[Link] = ()) -> Id | None:
        """The element that counts, None where that can't be told; or that would, if these were ``added``. A place of
        None is one that nothing was written to."""
        segments: list[_Segment] | None = []
        if place is not None:
            known = self._several[place] if place in self._several else self._segments(place)
            segments = None if known is None else [replace(segment) for segment in known]
        for link in added:
            segments = None if segments is None else _extended(segments, link)
        return _last_of(segments) if segments else None

    def _segments(self, place: int) -> list[_Segment]:
        """Of a key that one client wrote, if anybody did."""
        if self._lasts[place] < 0:
            return []
        return [_Segment(self._clients[place], self._firsts[place], self._lasts[place], None)]


def _extended(segments: list[_Segment], link: Link) -> list[_Segment] | None:
    client, clock, last, origin, right = link
    if right is not None:
        # No writer of keys names what stands to the right of its element.
        return None
    newest = next((segment for segment in reversed(segments) if segment.client == client), None)
    if newest is not None and origin == (client, newest.last):
        newest.last = last
        return segments
    if origin is not None and not any(_holds(segment, origin) for segment in segments):
        return None
    segments.append(_Segment(client, clock, last, origin))
    if len(segments) <= SEGMENTS_MAX:
        return segments
    # Whatever follows the last element comes behind it, so the rest need not be known any more; what follows the rest
    # has an origin that is not found, and from then on nothing is said of that key.
    final = _last_of(segments)
    return None if final is None else [_Segment(*final, final[1], None)]


def _holds(segment: _Segment, id_: Id) -> bool:
    return segment.client == id_[0] and segment.clock <= id_[1] <= segment.last


def _last_of(segments: list[_Segment]) -> Id | None:
    """Walk from the first element to the last, at every branch along the greatest client id."""
    branches = [segment for segment in segments if segment.origin is None]
    while True:
        greatest = max(segment.client for segment in branches)
        current, *others = [segment for segment in branches if segment.client == greatest]
        if others:
            # One client that twice followed the same element: no page does that.
            return None
        follower = _branch(current, segments)
        if follower is None:
            return current.client, current.last
        if follower is current:
            return None
        branches = [segment for segment in segments if segment.origin == follower.origin]


def _branch(current: _Segment, segments: list[_Segment]) -> _Segment | None:
    """The first branch off ``current`` that leads further to the right than it does itself; itself, where that can't be
    told; None where there is none."""
    branches = [one for one in segments if one.origin is not None and _holds(current, one.origin)]
    for branch in sorted(branches, key=lambda one: (one.origin or (0, 0))[1]):
        is_at_end = branch.origin == (current.client, current.last)
        if branch.client == current.client and not is_at_end:
            return current
        if is_at_end or branch.client > current.client:
            return branch
    return None
