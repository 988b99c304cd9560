"""What a room knows of its document: the latest snapshot, the log after it, and the ledger of both. Pure; no Doc."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from crdt_sync.errors import ProtocolError, StoreCorrupted
from crdt_sync.limits import Limits
from crdt_sync.protocol.messages import Message, NewUpdate, StateReply
from crdt_sync.updates.content import GONE
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import join, write_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import EMPTY_UPDATE, Piece, whole
from crdt_sync.updates.remembered import Remembered
from crdt_sync.updates.reuse import Recall
from crdt_sync.updates.withheld import NOTHING, Withheld, ready_part
from crdt_sync.values import ClientId, Clock, Id, StateVector

NONE_SET_ASIDE: Final[Mapping[int, bool]] = MappingProxyType({})


class History:
    """Snapshot, tail and ledger. ``seq`` numbers updates from 1 as the log does."""

    def __init__(self, snapshot: bytes, through: int, ledger: Ledger) -> None:
        self._snapshot = snapshot
        self._through = through
        self._snapshot_state: dict[ClientId, Clock] = dict(ledger.clocks)
        self._snapshot_parts: dict[ClientId, Remembered] | None = None
        self._tail: deque[Piece] = deque()
        self._answered: tuple[StateVector, Sequence[Message]] | None = None
        self.tail_bytes = 0
        self.ledger = ledger
        self.withheld = Withheld()

    @classmethod
    def load(
        cls,
        snapshot: bytes,
        through: int,
        ledger: bytes,
        tail: Sequence[bytes],
        limits: Limits,
        *,
        document: str,
        set_aside: Mapping[int, bool] = NONE_SET_ASIDE,
    ) -> History:
        """Rebuild from the store. Raises :class:`StoreCorrupted` when the log does not follow from the snapshot.

        Of the numbers ``set_aside``, those that are true only build on others, and what is ready of them is served."""
        history = cls(snapshot, through, Ledger.decode(ledger, remembers=True) if ledger else Ledger(remembers=True))
        stored = limits.for_stored()
        for update in tail:
            seq = history.seq + 1
            try:
                decoded = decode_update(update, stored)
                if seq in set_aside:
                    history.add(ready_part(decoded, history.ledger, stored) if set_aside[seq] else NOTHING)
                    continue
                verdict = judge(decoded, history.ledger, stored)
            except ProtocolError as error:
                raise StoreCorrupted(f"update {seq} of {document} does not pass the gate: {error}") from error
            piece = whole(decoded)
            if verdict.gap or history._repeats(piece):
                raise StoreCorrupted(f"update {seq} of {document} does not follow from the log before it")
            # As it stands in the log, even if its deletes are known: a snapshot also deletes what was overwritten.
            history.add(piece)
        return history

    @property
    def seq(self) -> int:
        """Number of the last update."""
        return self._through + len(self._tail)

    @property
    def snapshot(self) -> bytes:
        return self._snapshot

    @property
    def tail_length(self) -> int:
        return len(self._tail)

    @property
    def size_bytes(self) -> int:
        return len(self._snapshot) + self.tail_bytes

    def tail(self) -> Sequence[bytes]:
        """The updates after the snapshot."""
        return [piece.raw for piece in self._tail]

    def pieces(self) -> Sequence[Piece]:
        """The same, with the places of their parts."""
        return list(self._tail)

    def add(self, piece: Piece) -> int:
        """Take in an update that the gate found to be fresh; return its number."""
        self.ledger.admit(piece)
        self._answered = None
        self._tail.append(piece)
        self.tail_bytes += len(piece.raw)
        return self.seq

    def answer(self, state: StateVector) -> Sequence[Message]:
        """All that a holder of ``state`` lacks. The last message is a :class:`StateReply`, so "synced" is true.

        Whoever asks alike gets the same messages until :meth:`turned` or :meth:`add`: crowds come back together."""
        if self._answered is None or self._answered[0] != state:
            self._answered = dict(state), self._lacking(state)
        return self._answered[1]

    def turned(self) -> None:
        """A turn is over: let go of what was made for it."""
        self._answered = None

    def _lacking(self, state: StateVector) -> Sequence[Message]:
        if self._covers_snapshot(state):
            lacking = [piece for piece in self._tail if not _is_covered(piece, state)]
            # A state vector says nothing about deletes, so all of them are said again.
            deletes = [write_update((), self.ledger.deleted)] if self.ledger.deleted else []
            return _as_messages([*join(lacking), *deletes])
        return _as_messages([self._snapshot, *join(list(self._tail))])

    def after(self, seq: int) -> Sequence[Message]:
        """All that came after update ``seq``."""
        if seq < self._through:
            return self.answer({})
        return _as_messages(join(list(islice(self._tail, seq - self._through, None))))

    def content(self, id_: Id, limits: Limits) -> Any:
        """What one element holds, as :func:`~crdt_sync.updates.content.elements` gives it; ``GONE`` when it was
        collected. The first question after a compaction reads the whole snapshot, 0.2 s for 100,000 entries."""
        client, clock = id_
        stored = limits.for_stored()
        kept = Recall(self.ledger.remembered(client), stored).at(clock)
        if kept is not GONE or not self._snapshot:
            return kept
        if self._snapshot_parts is None:
            spans = whole(decode_update(self._snapshot, stored)).spans
            self._snapshot_parts = {span.client: Remembered(self._snapshot, span) for span in spans}
        part = self._snapshot_parts.get(client)
        return GONE if part is None else Recall((part,), stored).at(clock)

    def is_deleted(self, id_: Id) -> bool:
        """Whether anybody has deleted this element, or written over it."""
        ranges = self.ledger.deleted.get(id_[0])
        return ranges is not None and not ranges.missing(id_[1], id_[1] + 1)

    def compact(self, snapshot: bytes, through: int) -> None:
        """Let ``snapshot`` stand for the updates up to ``through``."""
        self._snapshot = snapshot
        self._snapshot_parts = self._answered = None
        for _ in range(through - self._through):
            piece = self._tail.popleft()
            self.tail_bytes -= len(piece.raw)
            for span in piece.spans:
                self._snapshot_state[span.client] = span.end_clock
        self._through = through
        self.ledger.forget_admitted(list(self._tail))

    def _repeats(self, piece: Piece) -> bool:
        return any(span.end_clock <= self.ledger.clocks.get(span.client, 0) for span in piece.spans)

    def _covers_snapshot(self, state: StateVector) -> bool:
        return all(state.get(client, 0) >= clock for client, clock in self._snapshot_state.items())


def _is_covered(piece: Piece, state: StateVector) -> bool:
    return all(state.get(span.client, 0) >= span.end_clock for span in piece.spans)


def _as_messages(updates: Sequence[bytes]) -> Sequence[Message]:
    found = [update for update in updates if update and update != EMPTY_UPDATE]
    if not found:
        return (StateReply(EMPTY_UPDATE),)
    *parts, last = found
    return (*map(NewUpdate, parts), StateReply(last))
