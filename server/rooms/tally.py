"""What a Hocuspocus provider counts of what it sends, so that it is told of exactly that. Pure.

The provider has one number, ``unsyncedChanges``. It is set to 1 when the provider asks for our state: for its own,
which we will ask for. It grows by one with each edit after that, and shrinks with each sync status that says "on disk".
What it did before it asked is not counted, though it may be sent after (what was queued offline is): with an ack for
that, too, the number would reach 0 while something is still on its way.
"""

from __future__ import annotations

from collections import deque

from crdt_sync.updates.decode import DecodedUpdate
from crdt_sync.values import StateVector


class Tally:
    """Updates of one member in the order in which it sends them, and how many acks each is worth."""

    def __init__(self) -> None:
        self.state: StateVector | None = None
        """What the provider held when it began to count, if it has."""
        self._worth: deque[int] = deque()
        self._settled = 0
        self._worth_of_state = 0

    @property
    def owed(self) -> int:
        """What the provider still waits for."""
        return sum(self._worth) + self._worth_of_state

    def began(self, state: StateVector, *, worth: int = 1) -> None:
        """The provider asks for our state and counts anew. Its own is worth more than 1 if updates of it came since and
        were not kept: they come again with it."""
        self.state = state
        self._worth = deque(0 for _ in self._worth)
        self._worth_of_state = worth

    def heard_state(self) -> None:
        """It answers with its state: the first time, that is what it counts as one."""
        self._worth.append(self._worth_of_state)
        self._worth_of_state = 0

    def heard(self, update: DecodedUpdate, *, from_queue: bool) -> None:
        """It sends an update. ``from_queue``: it may have been waiting for the connection."""
        held = self.state or {}
        began_before = any(section.structs[0].clock < held.get(section.client, 0) for section in update.sections)
        # An update that only deletes does not show when it was made. Telling too little is put right with the next
        # connection; telling too much would be a lie.
        is_unknown = from_queue and not update.sections
        self._worth.append(0 if began_before or is_unknown else 1)

    def settled(self, through: int) -> int:
        """How many acks to send when the first ``through`` updates of the member are on disk."""
        acks = 0
        while self._settled < through and self._worth:
            self._settled += 1
            acks += self._worth.popleft()
        return acks
