"""Whether somebody who may write only some of a document may bring an update: judged element by element, before any of
it is kept. Pure.

An update is taken as a whole or not at all: what comes after a refused part builds on it. A delete is a write where the
deleted element stands. Besides what its rights name, everybody who writes inventory or metrics notes some things in the
catalog; that must stay possible where it can harm nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from crdt_sync.documents.catalog.audit_trail import RESOLUTIONS
from crdt_sync.documents.catalog.siblings import EDITS, VAULT
from crdt_sync.documents.keys import nfc, to_base36
from crdt_sync.documents.metrics.periods import MEASURED
from crdt_sync.documents.names import check_period, is_year
from crdt_sync.documents.schema import ATTRIBUTES, MOVEMENTS, PERIODS
from crdt_sync.documents.stock.coverage import HOME
from crdt_sync.errors import InvalidName
from crdt_sync.limits import Limits
from crdt_sync.updates.content import GONE, elements
from crdt_sync.updates.decode import ANY, DELETED, DecodedUpdate, Deletes
from crdt_sync.updates.gate import Verdict
from crdt_sync.updates.places import NOWHERE, Path, PlaceIndex, Spot, Stretch, Trace, Written
from crdt_sync.updates.ranges import DeleteSet
from crdt_sync.updates.reuse import is_same
from crdt_sync.values import Id
from server.auth.patterns import PathRights
from server.rooms.history import History

_ROW_LOCATION: Final = 2
_SHOWN_CHARS: Final = 200


def objection(
    update: DecodedUpdate, verdict: Verdict, rights: PathRights, index: PlaceIndex, history: History, limits: Limits
) -> str | None:
    """Why an update that is otherwise fine must be refused; None where it may be kept. ``index`` and ``history`` stand
    before it."""
    if verdict.fresh is None:
        return None
    trace = Trace(index, update, verdict.runs)
    deletes = verdict.fresh.deletes
    return _Judgement(update, deletes, DeleteSet(deletes), rights, index, trace, history, limits).objection()


@dataclass(slots=True)
class _Judgement:
    update: DecodedUpdate
    deletes: Deletes
    """What of its deletes is new."""
    gone: DeleteSet
    rights: PathRights
    index: PlaceIndex
    trace: Trace
    history: History
    limits: Limits
    written: set[Spot] = field(default_factory=set)
    """Where it writes with good reason."""
    homes: list[Spot] = field(default_factory=list)
    """Where movements were before, noted beside movements that it must bring, too."""

    def objection(self) -> str | None:
        for written in self.trace.writes:
            if not self._may_write(written):
                return self._sentence("write", written.spot)
        for home in self.homes:
            if Spot(MOVEMENTS, home.key) not in self.written:
                return self._sentence("write", home)
        for client, ranges in self.deletes.items():
            for start, end in ranges:
                for stretch in self.trace.stretches(client, start, end):
                    if not self._may_delete(stretch):
                        return self._sentence("delete", stretch.spot)
        return None

    def _sentence(self, what: str, spot: Spot | None) -> str:
        path = self.trace.path(spot)
        where = "something of which nobody knows where it stands" if path is None else "/".join(path)[:_SHOWN_CHARS]
        return f"this token does not allow to {what} {where} in {self.rights.document}; the edits stay with you"

    def _may_write(self, written: Written) -> bool:
        spot = written.spot
        if spot is NOWHERE:
            # Collected: it takes up clocks, and nothing else.
            return True
        path = self.trace.path(spot)
        if spot is None or path is None:
            return False
        if self.rights.allows(path) or self._is_own_movement(written, spot) or self._is_note(written, spot):
            self.written.add(spot)
            return True
        return False

    def _may_delete(self, stretch: Stretch) -> bool:
        spot = stretch.spot
        if spot is NOWHERE:
            return True
        path = self.trace.path(spot)
        if spot is None or path is None:
            return False
        return self.rights.allows(path) or self._is_gone(spot) or self._is_lost(stretch, spot)

    def _is_gone(self, spot: Spot) -> bool:
        """Whether a type that the spot lies in is deleted, by this update or before, and everything in it with it."""
        while not isinstance(container := spot.container, str):
            holder = self.trace.spot_of(container)
            if self._is_deleted(container):
                return True
            if holder is None or holder is NOWHERE:
                return False
            client, clock = container
            if self._is_lost(Stretch(client, clock, clock + 1, holder), holder):
                return True
            spot = holder
        return False

    def _is_deleted(self, id_: Id) -> bool:
        return id_ in self.gone or self.history.is_deleted(id_)

    def _is_lost(self, stretch: Stretch, spot: Spot) -> bool:
        """Whether all these elements of a key lose against another one, so that their delete tells nothing new."""
        winner = None if spot.key is None else self.trace.winner(spot)
        return winner is not None and (winner[0] != stretch.client or not stretch.clock <= winner[1] < stretch.end)

    def _is_own_movement(self, written: Written, spot: Spot) -> bool:
        """A movement of a location that it writes for, under a key of its own: a movement is never written again."""
        if spot.container != MOVEMENTS or not self.rights.locations or not self._is_new(written, spot):
            return False
        row = self._value(written)
        if not isinstance(row, list) or len(row) <= _ROW_LOCATION or not isinstance(row[_ROW_LOCATION], str):
            return False
        return nfc(row[_ROW_LOCATION]) in self.rights.locations

    def _is_note(self, written: Written, spot: Spot) -> bool:
        """What every writer notes beside its work."""
        root, key = spot
        if key is None or not isinstance(root, str):
            return False
        if root == HOME:
            self.homes.append(spot)
            return self._is_new(written, spot) and isinstance(self._value(written), str)
        if not self.rights.keeps_books:
            return False
        if root in (PERIODS, MEASURED):
            # All that was ever written there is 1, so it does not matter who wrote it.
            return _is_period(key, years=root == MEASURED) and (
                self._value(written) == 1 or self._is_dead(written, spot)
            )
        if root == EDITS:
            return key.startswith(f"{written.client}.") and self._is_new(written, spot)
        if root == VAULT:
            return self._is_vault_entry(written, spot) or self._is_dead(written, spot)
        if root == RESOLUTIONS:
            about, _, name = key.rpartition("|")
            is_own = name.startswith(f"{to_base36(written.client)}.")
            return is_own and self._is_new(written, spot) and self.rights.allows(_attribute(about))
        return False

    def _is_dead(self, written: Written, spot: Spot) -> bool:
        """A note that lost against another one before it came here."""
        winner = self.trace.winner(spot)
        return written.struct.kind == DELETED and winner is not None and winner[0] != written.client

    def _is_vault_entry(self, written: Written, spot: Spot) -> bool:
        """An entry under a new key, or beside one that says the same: several may note a value at the same time."""
        entry = self._value(written)
        if not isinstance(entry, list) or not entry or written.struct.origin is not None:
            return False
        if self._is_new(written, spot):
            return True
        winner = self.index.winner(spot)
        held = None if winner is None else self.history.content(winner, self.limits)
        if held is GONE or not isinstance(held, list):
            return False
        # Who brought a value and what there was before is known to the relay alone.
        return is_same(entry[0], held[0]) and all(
            said is None or is_same(said, known) for said, known in zip(entry[1:], held[1:], strict=False)
        )

    def _is_new(self, written: Written, spot: Spot) -> bool:
        struct = written.struct
        is_first = struct.origin is None and struct.right is None and struct.length == 1
        return is_first and spot not in self.written and not self.index.knows(spot)

    def _value(self, written: Written) -> Any:
        """The one value that it writes; ``GONE`` where it is not just one, or cannot be read."""
        struct = written.struct
        if struct.kind != ANY or struct.length != 1:
            return GONE
        return next(islice(elements(self.update.raw, struct), 1))


def _attribute(key: str) -> Path:
    return (ATTRIBUTES, *key.split("/"))


def _is_period(key: str, *, years: bool) -> bool:
    if years and is_year(key):
        return True
    try:
        check_period(key)
    except InvalidName:
        return False
    return True
