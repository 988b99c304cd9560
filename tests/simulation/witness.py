"""Sees what can't be taken back (made durable, acked, shown, refused) and notes each broken rule by its number.

Also holds the world's time. The rules P1 to P12 stand in docs/reference/protocol.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from crdt_sync.errors import ClientIdReused, ProtocolError, SyncError
from crdt_sync.protocol import multiplexed, y_websocket
from crdt_sync.protocol.messages import Message
from crdt_sync.updates.content import elements
from crdt_sync.updates.decode import DELETED, DecodedUpdate, Section, decode_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import whole
from crdt_sync.updates.ranges import Ranges
from crdt_sync.values import ClientId, Clock, Id
from server.rooms.dialect import MULTIPLEXED, Dialect
from tests.simulation.bounds import LIMITS


class Violation(NamedTuple):
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class Witness:
    """Holds its own ledger of what is durable on the relay, fed by the disk and never by the room."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.reach: Counter[str] = Counter()
        self.trace: list[str] = []
        self.now_s = 0.0
        self.left_at_s: dict[ClientId, float] = {}
        """When the owner of a presence id crashed."""
        self._durable = Ledger()
        self._implied: dict[ClientId, Ranges] = {}
        self._promised: dict[bytes, tuple[str, str]] = {}
        self._authored: dict[ClientId, Clock] = {}
        self._read: dict[tuple[str, bytes], Message] = {}
        self._decoded: dict[bytes, DecodedUpdate] = {}
        self.firsts: dict[str, Any] = {}
        """What every movement said when anything of it first became durable."""
        self._movements: dict[Id, str] = {}

    def note(self, text: str) -> None:
        self.trace.append(text)

    def accuse(self, rule: str, text: str) -> None:
        self.violations.append(Violation(rule, text))
        self.trace.append(f"!! {rule}: {text}")

    def reached(self, what: str, times: int = 1) -> None:
        self.reach[what] += times

    def read(self, dialect: Dialect, frame: bytes) -> Message:
        """``frame`` as its dialect has it; the same bytes only once."""
        key = dialect.name, frame
        message = self._read.get(key)
        if message is None:
            if dialect is MULTIPLEXED:
                message = multiplexed.decode(frame, LIMITS)[1]
            else:
                message = y_websocket.decode(frame, LIMITS)
            self._read[key] = message
        return message

    def decode(self, update: bytes) -> DecodedUpdate:
        """``update`` decoded; the same bytes only once."""
        found = self._decoded.get(update)
        if found is None:
            found = self._decoded[update] = decode_update(update, LIMITS)
        return found

    def authored(self, name: str, edit: bytes) -> None:
        """``name`` has just made ``edit``: no other content was ever made under its clocks."""
        for section in self.decode(edit).sections:
            clock = section.structs[0].clock
            if clock < self._authored.get(section.client, 0):
                self.accuse("P9", f"{name} writes other content under clock {clock} of client {section.client}")
            self._authored[section.client] = _end_clock(section)

    def relay_logged(self, row: bytes, sources: Iterable[bytes], *, is_own: bool = False) -> None:
        """``row`` became durable on the relay; ``sources`` is what arrived in that turn. What the relay writes itself
        are originals of movements, and nothing else."""
        if not is_own:
            self._check_origin("the relay", row, sources)
            self._note_firsts(self.decode(row))
        elif any(struct.parent != "orig" for section in self.decode(row).sections for struct in section.structs):
            self.accuse("P3", "the relay has written something that is not its own to write")
        try:
            verdict = judge(self.decode(row), self._durable, LIMITS)
        except ProtocolError as error:
            rule = "P9" if isinstance(error, ClientIdReused) else "P3"
            self.accuse(rule, f"a row of the relay's log does not pass the gate: {error}")
            return
        if verdict.gap:
            self.accuse("P8", "a row of the relay's log builds on something that is not in the log")
        elif verdict.fresh is None or verdict.fresh.raw != row:
            self.accuse("P3", "a row of the relay's log repeats what is in the log already")
        self._durable.admit(whole(self.decode(row)))

    def _note_firsts(self, update: DecodedUpdate) -> None:
        structs = [(section.client, struct) for section in update.sections for struct in section.structs]
        found = -1
        while found != len(self._movements):
            # Whoever follows may stand before the one that it follows.
            found = len(self._movements)
            for client, struct in structs:
                key = self._movements.get(struct.origin) if struct.origin is not None else None
                if (key := struct.key if struct.parent == "mv" else key) is not None:
                    self._movements |= {(client, struct.clock + i): key for i in range(struct.length)}
        for client, struct in structs:
            key = self._movements.get((client, struct.clock))
            if key is not None and struct.kind != DELETED:
                self.firsts.setdefault(key, next(elements(update.raw, struct)))

    def peer_logged(self, name: str, row: bytes, source: bytes) -> None:
        """``row`` was written to a peer's log; ``source`` is the edit, or the update that arrived."""
        self._check_origin(name, row, (source,))

    def _check_origin(self, name: str, row: bytes, sources: Iterable[bytes]) -> None:
        if row in (sources := list(sources)):
            return
        if not any(is_slice(self.decode(row), self.decode(source)) for source in sources):
            self.accuse("P3", f"{name} logged bytes that nobody sent")

    def compacted(self, state: bytes, rows: Iterable[bytes]) -> None:
        """A snapshot became durable in the place of ``rows``, all that were logged up to its number."""
        snapshot = self.decode(state)
        if self._ends([snapshot]) != self._ends(map(self.decode, rows)):
            self.accuse("P12", "a snapshot does not hold what the log holds up to its number")
        # It also says what its log implies: overwritten values are deleted.
        for client, ranges in snapshot.deletes.items():
            self._implied.setdefault(client, Ranges()).update(ranges)

    def _ends(self, updates: Iterable[DecodedUpdate]) -> dict[ClientId, Clock]:
        return {section.client: _end_clock(section) for update in updates for section in update.sections}

    def is_durable(self, update: bytes) -> bool:
        decoded = self.decode(update)
        clocks = self._durable.clocks
        if any(clocks.get(section.client, 0) < _end_clock(section) for section in decoded.sections):
            return False
        return all(
            client in self._implied and not self._implied[client].missing(*one)
            for client, ranges in self._durable.new_deletes(decoded.deletes).items()
            for one in ranges
        )

    def shown(self, name: str, update: bytes) -> None:
        """``update`` left the relay."""
        if not self.is_durable(update):
            self.accuse("P2", f"{name} was shown something that is not on the relay's disk")

    def acked(self, name: str, edits: Iterable[bytes], how: str) -> None:
        """The relay told ``name`` that ``edits`` are safe."""
        for edit in edits:
            self.reached(f"edits acked by {how}")
            self._promised[edit] = "P1", f"acked to {name} by {how}"
            if not self.is_durable(edit):
                self.accuse("P1", f"an edit of {name} is acknowledged by {how} and not on the relay's disk")

    def stored(self, name: str, edit: bytes) -> None:
        """The append of ``edit`` to its peer's own log returned, so it must be everywhere in the end."""
        self._promised.setdefault(edit, ("P5", f"stored by {name}"))

    def expelled(self, name: str, error: SyncError, *, hostile: bool) -> None:
        if isinstance(error, ClientIdReused):
            self.accuse("P9", f"{name} was expelled: {error}")
        elif not hostile:
            self.accuse("P5", f"{name} did nothing wrong and was expelled: {error}")

    def lost_promises(self) -> Sequence[tuple[str, str]]:
        """The rule and the story of every edit that was promised and is not on the relay's disk."""
        return [why for edit, why in self._promised.items() if not self.is_durable(edit)]

    @property
    def durable(self) -> Ledger:
        return self._durable


def is_slice(part: DecodedUpdate, source: DecodedUpdate) -> bool:
    """Whether ``part`` is made of bytes of ``source`` alone: stretches of its sections, and no other deletes."""
    sections = {section.client: section for section in source.sections}
    for section in part.sections:
        original = sections.get(section.client)
        if original is None or _body(part, section) not in source.raw:
            return False
        if section.structs[0].clock not in (struct.clock for struct in original.structs):
            return False
    for client, ranges in part.deletes.items():
        allowed = Ranges(source.deletes.get(client, ()))
        if any(allowed.missing(*one) for one in ranges):
            return False
    return True


def _body(update: DecodedUpdate, section: Section) -> bytes:
    return update.raw[section.structs[0].start : section.structs[-1].end]


def _end_clock(section: Section) -> int:
    last = section.structs[-1]
    return last.clock + last.length
