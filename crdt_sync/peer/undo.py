"""Undo of a peer's own edits: what it wrote is put back where nobody has written since, goods by movements back.

Kept in memory, so it reaches back to when the peer was opened. An undo is an edit like any other: it is in the log, in
the audit trail, and on its way to the relay. Nothing is deleted by it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from crdt_sync.documents.catalog.audit_trail import RESOLUTIONS, covered_tips
from crdt_sync.documents.catalog.registers import ACTIVE, parse_key, read_value, same
from crdt_sync.documents.catalog.siblings import VAULT
from crdt_sync.documents.keys import LIFE
from crdt_sync.documents.schema import ATTRIBUTES, RULES
from crdt_sync.errors import CannotUndo, DocumentError, NothingToUndo
from crdt_sync.peer.compensation import PASSING, Compensated, Compensation
from crdt_sync.peer.deeds import Deed, FieldWrite
from crdt_sync.peer.desk import Desk

DEEDS_MAX = 100
BYTES_MAX = 4 << 20
"""So many edits, of so many bytes together, can be taken back."""

_RECORD: Final = (RESOLUTIONS, VAULT, RULES)
"""Roots that people write into besides. All others are notes that peers take for each other."""

_WRITTEN_SINCE: Final = "somebody has written it since"


@dataclass(frozen=True, slots=True)
class Left:
    """Something that an undo has left as it is."""

    what: str
    """The key of an attribute; of other entries their root, and the document that they are in."""
    why: str


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo, or a redo, has done."""

    restored: tuple[str, ...]
    """Keys of the attributes that hold again what they held before."""
    movements: tuple[str, ...]
    """Ids of the movements that make up for those of the edit; the ``ref`` of each names what it takes back."""
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class _Turn:
    """An undo or redo that is staged, and on its way to the disk."""

    deed: Deed
    source: list[Deed]
    target: list[Deed]
    compensated: Compensated


class EditHistory:
    """The last edits of one peer, to be taken back, the last one first, and redone. Its edits take turns, so at most
    one undo is on its way."""

    def __init__(self) -> None:
        self._done: list[Deed] = []
        self._undone: list[Deed] = []
        self._turn: _Turn | None = None

    @property
    def documents(self) -> set[str]:
        """The movement documents that the next undo or redo looks into."""
        deeds = [*self._done[-1:], *self._undone[-1:]]
        return {f"inventory/{write.period}" for deed in deeds for write in deed.movements}

    @contextmanager
    def undo(self, desk: Desk) -> Iterator[Undone]:
        """Stage on ``desk`` what takes the last edit back. Raises :class:`NothingToUndo`, :class:`CannotUndo`."""
        with self._turning(desk, self._done, self._undone) as undone:
            yield undone

    @contextmanager
    def redo(self, desk: Desk) -> Iterator[Undone]:
        """The same for the last undo."""
        with self._turning(desk, self._undone, self._done) as undone:
            yield undone

    def note(self, deed: Deed) -> None:
        """This edit, or the undo that was staged, is on disk."""
        turn, self._turn = self._turn, None
        if turn is None:
            self._undone.clear()
            self._push(deed)
            return
        turn.source.pop()
        deed.stands_for.update(turn.compensated.stands_for)
        followed = turn.deed.followed()
        # What was written before the edit that is taken back is what is read now, so it can be taken back next.
        tips = {followed[write.key]: write.tip for write in deed.fields if write.key in followed}
        for other in (*self._done, *self._undone):
            other.retip(tips)
            other.rehold(turn.compensated.holds)
        turn.target.append(deed)

    @contextmanager
    def _turning(self, desk: Desk, source: list[Deed], target: list[Deed]) -> Iterator[Undone]:
        if not source:
            raise NothingToUndo("this peer has no edit to take back since it was opened")
        try:
            undone, compensated = _Reversal(desk, source[-1]).stage()
        except CannotUndo as error:
            if error.is_final:
                source.pop()
            raise
        self._turn = _Turn(source[-1], source, target, compensated)
        try:
            yield undone
        finally:
            self._turn = None

    def _push(self, deed: Deed) -> None:
        if not deed:
            return
        if deed.size_bytes > BYTES_MAX:
            deed = Deed(is_too_large=True)
        self._done.append(deed)
        while len(self._done) > DEEDS_MAX or sum(kept.size_bytes for kept in self._done) > BYTES_MAX:
            del self._done[0]


class _Field(NamedTuple):
    """One field of the deed."""

    write: FieldWrite
    is_location: bool
    name: str
    field: str

    @property
    def is_addition(self) -> bool:
        """It has added a product to the catalog."""
        return self._is_life and self.write.old != ACTIVE and self.write.new == ACTIVE

    @property
    def is_deletion(self) -> bool:
        return self._is_life and self.write.old == ACTIVE and self.write.new != ACTIVE

    @property
    def _is_life(self) -> bool:
        return self.field == LIFE and not self.is_location


class _Reversal:
    """Stages what takes one deed back."""

    def __init__(self, desk: Desk, deed: Deed) -> None:
        self._inventory = desk.documents.inventory
        self._replica = desk.catalog.replica
        self._rid = desk.rid
        self._deed = deed
        self._covered = covered_tips(self._replica)
        self._restored: list[str] = []
        self._left: list[Left] = []

    def stage(self) -> tuple[Undone, Compensated]:
        if self._deed.is_too_large:
            raise CannotUndo(("the edit was too large to be remembered",), is_final=True)
        fields = [_Field(w, *parsed) for w in self._deed.fields if (parsed := parse_key(w.key)) is not None]
        ours = [field for field in fields if self._is_ours(field.write)]
        foreign = {field.name for field in fields if field not in ours and not field.is_location}
        try:
            # Goods move only while their product is there: it comes back first, and goes last.
            for field in ours:
                if field.is_deletion:
                    self._try(field, partial(self._inventory.add_product, field.name))
            compensated = Compensation(self._inventory, self._deed).stage()
            added = [field for field in ours if field.is_addition]
            in_use = {field.name for field in added if field.name in foreign or self._is_in_use(field, ours)}
            for field in ours:
                self._put_back(field, in_use)
            for field in added:
                if field.name not in in_use:
                    self._try(field, partial(self._inventory.delete_product, field.name))
        except PASSING as error:
            raise CannotUndo((str(error),), is_final=False) from error
        self._tell_others()
        if not self._restored and not compensated.mids:
            raise CannotUndo(tuple(f"{left.what}: {left.why}" for left in self._left), is_final=True)
        return Undone(tuple(self._restored), tuple(compensated.mids), tuple(self._left)), compensated

    def _is_ours(self, write: FieldWrite) -> bool:
        """Whether what it wrote stands there, and nothing else ever since."""
        if write.key in self._deed.settled:
            self._left.append(Left(write.key, "it has settled a conflict; set the field anew"))
            return False
        # A branch that a resolution has closed stays a head for good.
        heads = [
            head.dot for head in self._replica.heads(ATTRIBUTES, write.key) if head.dot not in self._covered[write.key]
        ]
        # A page that deletes a key leaves no element of its own there.
        was_deleted = write.new is not None and self._replica.get(ATTRIBUTES, write.key) is None
        if heads == [write.tip] and not was_deleted:
            return True
        self._left.append(Left(write.key, _WRITTEN_SINCE))
        return False

    def _is_in_use(self, addition: _Field, ours: Sequence[_Field]) -> bool:
        """Whether others have written about a product that this deed has added, or this peer has in another edit."""
        name, old = addition.name, addition.write.old
        known = {field.field for field in ours if field.name == name and not field.is_location}
        # A product that the deed has brought back had fields before.
        seen = old.get("seen") if isinstance(old, dict) else None
        before = seen if isinstance(seen, dict) else {}
        fields = self._inventory.product(name)
        if any(field not in before or not same(fields[field], before[field]) for field in fields.keys() - known):
            return True
        return old is None and any(movement.rid != self._rid for movement in self._inventory.movements(name))

    def _put_back(self, field: _Field, in_use: Container[str]) -> None:
        write, is_location, name, attribute = field
        if field.is_deletion or (field.is_addition and name not in in_use):
            return
        if attribute == LIFE and is_location:
            self._left.append(Left(write.key, "locations are not taken out of the catalog"))
        elif name in in_use and not is_location:
            self._left.append(Left(write.key, "others use the product by now"))
        elif attribute == LIFE:
            self._left.append(Left(write.key, "it is what it was before"))
        else:
            put = self._inventory.set_location_attribute if is_location else self._inventory.set_attribute
            self._try(field, lambda: put(name, attribute, read_value(write.old)))

    def _try(self, field: _Field, act: Callable[[], None]) -> None:
        """Do it, or leave this field as it is and say why."""
        try:
            act()
        except PASSING:
            raise
        except DocumentError as error:
            self._left.append(Left(field.write.key, str(error)))
        else:
            self._restored.append(field.write.key)

    def _tell_others(self) -> None:
        for document, root in sorted(self._deed.others):
            if document.startswith("metrics/"):
                self._left.append(Left(f"{root} of {document}", "what was measured or counted stays"))
            elif root in _RECORD:
                self._left.append(Left(f"{root} of {document}", "it is part of the record, and stays"))
