"""Which element of a map key is the one that counts, found from the origins alone, without any content.

Who sets a key puts an element behind the last one that it sees. Elements with one origin did not see each other; they
stand side by side by rising client id, each followed by all that follows it. The last element of that order counts and
every other one is deleted, whether anybody says so or not. So a peer that tells of such a delete tells nothing new.
"""

from __future__ import annotations

from array import array
from typing import Final

from crdt_sync.values import ClientId, Clock, Id

SEGMENTS_MAX: Final = 128


class _Segment:
    """Elements of one client, each the origin of the next."""

    __slots__ = ("client", "clock", "last", "origin")

    def __init__(self, client: ClientId, clock: Clock, last: Clock, origin: Id | None) -> None:
        self.client, self.clock, self.last, self.origin = client, clock, last, origin


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

    def add(self, place: int, client: ClientId, clock: Clock, last: Clock, origin: Id | None, right: Id | None) -> None:
        """Take in the elements ``clock`` to ``last`` (included), of which the first follows ``origin``."""
        if place not in self._several:
            own, newest_own = self._clients[place], self._lasts[place]
            if right is None and newest_own < 0:
                self._clients[place], self._firsts[place], self._lasts[place] = client, clock, last
                return
            if right is None and client == own and origin == (own, newest_own):
                self._lasts[place] = last
                return
            self._several[place] = [_Segment(own, self._firsts[place], newest_own, None)]
        segments = self._several[place]
        if segments is None:
            return
        if right is not None:
            # No writer of keys names what stands to the right of its element.
            self._several[place] = None
            return
        newest = next((segment for segment in reversed(segments) if segment.client == client), None)
        if newest is not None and origin == (client, newest.last):
            newest.last = last
        elif origin is not None and not any(_holds(segment, origin) for segment in segments):
            self._several[place] = None
        else:
            segments.append(_Segment(client, clock, last, origin))
            if len(segments) > SEGMENTS_MAX:
                self._shorten(place, segments)

    def winner(self, place: int) -> Id | None:
        """The element that counts, None where that can't be told."""
        if place in self._several:
            segments = self._several[place]
            return None if segments is None else _last_of(segments)
        return None if self._lasts[place] < 0 else (self._clients[place], self._lasts[place])

    def _shorten(self, place: int, segments: list[_Segment]) -> None:
        """Whatever follows the last element comes behind it, so the rest need not be known any more; what follows the
        rest has an origin that is not found, and nothing is said of that key any more."""
        last = _last_of(segments)
        self._several[place] = None if last is None else [_Segment(*last, last[1], None)]


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
