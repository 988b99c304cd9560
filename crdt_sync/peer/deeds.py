"""What one edit did, as far as it takes to take it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crdt_sync.documents.catalog.audit_trail import RESOLUTIONS
from crdt_sync.documents.keys import is_movement_id
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import ATTRIBUTES, MOVEMENTS, PERIODS
from crdt_sync.documents.stock.coverage import HOME
from crdt_sync.documents.stock.movements import GIVE, WANT, Movement, read_movement
from crdt_sync.replica import Replica, Write
from crdt_sync.updates.decode import decode_update

_REF = 6


class FieldWrite(NamedTuple):
    """An attribute that an edit wrote."""

    key: str
    old: Value
    new: Value
    made: str
    """The element that it became."""
    tip: str
    """The element that holds its value now: another one, once a later edit was taken back."""


class MovementWrite(NamedTuple):
    """A movement that an edit wrote, as it is stored."""

    period: str
    mid: str
    row: Value

    def read(self) -> Movement | None:
        return read_movement(self.period, self.mid, self.row)


@dataclass(slots=True)
class Deed:
    """One edit of this peer, or one undo. False when it wrote nothing."""

    fields: list[FieldWrite] = field(default_factory=list)
    movements: list[MovementWrite] = field(default_factory=list)
    others: set[tuple[str, str]] = field(default_factory=set)
    """(document, root) of all that it wrote besides."""
    settled: set[str] = field(default_factory=set)
    """Keys of the attributes whose conflicts it has resolved."""
    updates: list[bytes] = field(default_factory=list)
    """The bytes in which its fields were written."""
    size_bytes: int = 0
    is_too_large: bool = False
    """It wrote more than is remembered, and nothing of it is."""
    stands_for: dict[str, Movement] = field(default_factory=dict)
    """Of an undo: by the id of a movement that it made the one that this takes back."""

    def __bool__(self) -> bool:
        return bool(self.fields or self.movements or self.others or self.is_too_large)

    def add(self, outline: Outline, update: bytes) -> None:
        """What was outlined has been made, as ``update``: every write is one element, in their order."""
        period = outline.document.partition("/")[2]
        # What moved on from a closed period was done in another edit, long ago.
        moved_on = {key for root, key, _ in outline.writes if root == HOME}
        for clock, (root, key, value) in enumerate(outline.writes, outline.clock):
            if root == ATTRIBUTES:
                made = f"{outline.client}.{clock}"
                self.fields.append(FieldWrite(key, outline.olds[key], value, made, made))
            elif root == MOVEMENTS:
                if key not in moved_on and not _is_answer(value):
                    self.movements.append(MovementWrite(period, key, value))
            elif root not in (HOME, PERIODS):
                if root == RESOLUTIONS:
                    self.settled.add(key.rpartition("|")[0])
                self.others.add((outline.document, root))
        if outline.olds:
            self.updates.append(update)
        self.size_bytes += len(update)

    def followed(self) -> Mapping[str, str]:
        """By key the element that its write has followed, where there was one.

        Only the bytes tell whether that was this peer's own: an equal value may be somebody else's."""
        origins = {
            f"{client}.{struct.clock}": f"{struct.origin[0]}.{struct.origin[1]}"
            for update in self.updates
            for client, structs in decode_update(update).sections
            for struct in structs
            if struct.origin is not None
        }
        return {write.key: origins[write.made] for write in self.fields if write.made in origins}

    def retip(self, tips: Mapping[str, str]) -> None:
        """Other elements hold now what its writes held: by tip, which."""
        if tips:
            self.fields = [write._replace(tip=tips.get(write.tip, write.tip)) for write in self.fields]

    def rehold(self, holds: Mapping[str, str]) -> None:
        """Holds that had ended were made again under other ids: by id, which."""
        if holds:
            self.movements = [_reheld(write, holds) for write in self.movements]


class Outline(NamedTuple):
    """What is to be known of a document just before an edit writes there."""

    document: str
    client: int
    clock: int
    """Of the first of the writes."""
    writes: Sequence[Write]
    olds: Mapping[str, Value]
    """What each attribute held."""

    @classmethod
    def of(cls, document: str, replica: Replica, signature: Sequence[Write], writes: Sequence[Write]) -> Outline:
        clock = replica.state.get(replica.client_id, 0) + len(signature)
        olds = {write.key: replica.get(ATTRIBUTES, write.key) for write in writes if write.root == ATTRIBUTES}
        return cls(document, replica.client_id, clock, writes, olds)


def _is_answer(row: Value) -> bool:
    """Whether it asks for rights, or hands them to somebody who has asked: peers do that by themselves, and what a
    person wants to take back is what they did before."""
    if not isinstance(row, list) or not row:
        return False
    ref = row[_REF] if len(row) > _REF else None
    return row[0] == WANT or (row[0] == GIVE and isinstance(ref, str) and is_movement_id(ref))


def _reheld(write: MovementWrite, holds: Mapping[str, str]) -> MovementWrite:
    row = write.row
    if isinstance(row, list) and len(row) > _REF and isinstance(ref := row[_REF], str) and ref in holds:
        row = [*row[:_REF], holds[ref], *row[_REF + 1 :]]
    return MovementWrite(write.period, holds.get(write.mid, write.mid), row)
