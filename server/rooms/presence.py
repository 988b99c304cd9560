"""Who is here: presence of one room. In memory only, gone with its connection, never on disk. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from crdt_sync.limits import Limits
from crdt_sync.protocol.messages import Presence, PresenceEntry
from crdt_sync.values import ClientId

REMEMBER_S = 60.0
"""How long the clock of a gone id is remembered, so that a late echo can't bring it back."""


@dataclass(slots=True)
class _Seat:
    clock: int
    state: str | None
    member: int
    author: str
    heard_at_s: float


class Roster:
    """The presence states of a room, each owned by the connection that brought it first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seats: dict[ClientId, _Seat] = {}
        self._own: dict[int, ClientId] = {}
        """Of each connection the id that it said first: its own. The rest may be hearsay, from another tab."""
        self._bytes = 0
        self.refused = 0
        """Entries that were not taken in because the room was full of presence."""

    def everyone(self) -> Presence:
        """Everyone who is here now."""
        return Presence(
            tuple(PresenceEntry(c, s.clock, s.state) for c, s in self._seats.items() if s.state is not None)
        )

    def with_farewells(self) -> Presence:
        """The same, and who has left of late: for a member that may have missed it."""
        return Presence(tuple(PresenceEntry(c, s.clock, s.state) for c, s in self._seats.items()))

    def hear(self, member: int, author: str, presence: Presence, *, now_s: float) -> Presence:
        """Take in what ``member`` says; return what of it is news for the others.

        Stock clients repeat what they hear of others, so an entry for somebody else's id is no offence; it just
        changes nothing. So is one id more than a connection may have, or than a frame about everyone can hold.
        """
        self._forget_long_gone(now_s)
        owned = sum(seat.member == member and seat.state is not None for seat in self._seats.values())
        news = []
        for entry in presence.entries:
            self._own.setdefault(member, entry.client)
            seat = self._seats.get(entry.client)
            if seat is not None and not self._may_change(seat, member, author, entry):
                continue
            if seat is None or seat.state is None or seat.member != member:
                # One id more for this connection.
                if entry.state is None or owned >= self._limits.presence_owned_max:
                    continue
                if seat is None and not self._has_room():
                    continue
                owned += 1
            more_bytes = _size_bytes(entry.state) - _size_bytes(None if seat is None else seat.state)
            if more_bytes > 0 and self._bytes + more_bytes > self._limits.room_presence_bytes_max:
                # Whoever comes late into a room that is full of presence is not seen; who is here goes on.
                self.refused += 1
                continue
            self._bytes += more_bytes
            self._seats[entry.client] = _Seat(entry.clock, entry.state, member, author, now_s)
            news.append(entry)
        return Presence(tuple(news))

    def announcer(self, client: ClientId) -> str | None:
        """Who is here and says that ``client`` is its own."""
        seat = self._seats.get(client)
        if seat is None or seat.state is None or self._own.get(seat.member) != client:
            return None
        return seat.author

    def leave(self, member: int, *, now_s: float) -> Presence:
        """Remove all ids of a closed connection; return the news of it."""
        gone = []
        self._own.pop(member, None)
        for client, seat in self._seats.items():
            if seat.member == member and seat.state is not None:
                # At the clock that it had, which y-protocols takes for a farewell. One higher, and whoever is only
                # reconnecting would say its next clock in vain and stay unseen.
                self._bytes -= _size_bytes(seat.state)
                seat.state, seat.heard_at_s = None, now_s
                gone.append(PresenceEntry(client, seat.clock, None))
        return Presence(tuple(gone))

    def _may_change(self, seat: _Seat, member: int, author: str, entry: PresenceEntry) -> bool:
        if seat.state is not None and seat.member != member:
            # The same user on a new socket, before the old one was noticed as closed. An echo never has a higher clock.
            return seat.author == author and entry.state is not None and self._is_next(seat, entry)
        if seat.author != author:
            # It has only just left, and may be on its way back.
            return False
        farewell = entry.clock == seat.clock and entry.state is None and seat.state is not None
        return farewell or self._is_next(seat, entry)

    def _is_next(self, seat: _Seat, entry: PresenceEntry) -> bool:
        return seat.clock < entry.clock <= seat.clock + self._limits.presence_clock_step_max

    def _has_room(self) -> bool:
        """Whether one id more fits; who is here counts for more than who has left."""
        if len(self._seats) < self._limits.presence_states_max:
            return True
        gone = [(seat.heard_at_s, client) for client, seat in self._seats.items() if seat.state is None]
        if gone:
            del self._seats[min(gone)[1]]
        return bool(gone)

    def _forget_long_gone(self, now_s: float) -> None:
        forgotten = [c for c, s in self._seats.items() if s.state is None and now_s - s.heard_at_s > REMEMBER_S]
        for client in forgotten:
            del self._seats[client]


def _size_bytes(state: str | None) -> int:
    return 0 if state is None else len(state.encode())
