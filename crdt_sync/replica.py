"""The only owner of a pycrdt Doc. Peers and scribes hold replicas; the relay's serving process never does.

Everything that comes from elsewhere passes the gate first, because yrs hides content for good when an update
arrives before what it builds on, and then does not save it either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from pycrdt import Array, Doc, Map, MapEvent, Subscription, Text, TransactionEvent, XmlFragment

from crdt_sync.errors import ProtocolError, ReplicaBroken
from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.protocol import state_vector
from crdt_sync.updates.decode import TYPE, DecodedUpdate, decode_update
from crdt_sync.updates.forks import ForkIndex, Head
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import EMPTY_UPDATE
from crdt_sync.updates.roots import RootKind, root_kinds
from crdt_sync.updates.split import cut
from crdt_sync.values import StateVector

CHANGES_MAX = 4_096
"""So many changes are kept between two looks at them. Of one that brings more, only their number is known."""


class Write(NamedTuple):
    """Set ``key`` of the root map ``root``."""

    root: str
    key: str
    value: Any


class Changed(NamedTuple):
    """An entry of a root map that a write or a merge has changed. None where there was, or is, nothing, and for a
    nested type, which is no value."""

    root: str
    key: str
    old: Any
    new: Any


class Merged(NamedTuple):
    """What became of an update that came from elsewhere."""

    fresh: bytes | None
    """What was new, as the log should keep it."""
    gap: bool
    """Something that it builds on is missing here: ask its sender for its state."""


class Replica:
    """One document in memory, under a client id of its own that is never stored and never used again.

    Not for two threads or tasks at once. After :class:`ReplicaBroken` it is of no more use.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        # What reaches a replica was judged by a relay already, or is our own; in one piece it may be a whole document.
        self._limits = limits.for_stored()
        self._doc: Doc[Any] = Doc()
        self._ledger = Ledger()
        self._maps: dict[str, Map[Any]] = {}
        self._broken = False
        self._is_flat = True
        self._watched: tuple[str, ...] = ()
        self._index: ForkIndex | None = None
        self._newly_forked: set[tuple[str, str]] = set()
        self._observed: list[tuple[Map[Any], Subscription]] = []
        self._changes: list[Changed] = []
        self._changes_dropped = 0

    @classmethod
    def restored(cls, state: bytes, ledger: Ledger, limits: Limits = DEFAULT_LIMITS) -> Replica:
        """A fresh replica that holds ``state``: the :meth:`snapshot` of a *flat* one, kept with its ledger where
        nobody else writes. A tenth of the time of a merge, because nothing is judged again.

        Raises :class:`ReplicaBroken` when the state is not the one that the ledger speaks of.
        """
        replica = cls(limits)
        with replica._guarded():
            replica._doc.apply_update(state)
            held = state_vector.decode(replica._doc.get_state(), limits.clients_max)
        if held != ledger.clocks:
            replica._broken = True
            raise ReplicaBroken("a snapshot holds another state than its ledger says")
        replica._ledger = ledger
        return replica

    @property
    def is_flat(self) -> bool:
        """It holds entries of root maps and nothing else, so that its snapshot can be applied at once: elements of
        a list would cost yrs quadratic time then (see updates/split.py)."""
        return self._is_flat

    @property
    def client_id(self) -> int:
        return self._doc.client_id

    @property
    def version(self) -> tuple[int, int]:
        """Another one after every write, by whomever, and for every replica."""
        return self.client_id, sum(self._ledger.clocks.values())

    @property
    def state(self) -> StateVector:
        return self._ledger.state

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def watch(self, roots: Sequence[str]) -> None:
        """From now on follow the heads of the keys of these root maps.

        What is here already is indexed at the next merge or question, in a third of a second for 60,000 keys, so that
        a peer which only edits never pays for it. Of what was overwritten before that, the values are gone."""
        self._watched = tuple(roots)
        self._index = ForkIndex(roots) if not self.state else None

    def heads(self, root: str, key: str) -> Sequence[Head]:
        """The heads of one key of a watched root by rising id; none where it was never written."""
        return self._forks().heads(root, key)

    def forked(self, root: str) -> Mapping[str, Sequence[Head]]:
        """All keys of a watched root that have several heads, by rising key."""
        return self._forks().forked(root)

    def take_forked(self) -> set[tuple[str, str]]:
        """The (root, key) that merges have written since the last call and that have several heads: what lost by them
        is still known here, and nowhere in the document."""
        taken, self._newly_forked = self._newly_forked, set()
        return taken

    def _forks(self) -> ForkIndex:
        if self._index is None:
            self._index = ForkIndex.of_state(self._watched, self.snapshot(), self._limits)
        return self._index

    def _follow(self, decoded: DecodedUpdate, verdict: Verdict) -> None:
        """Take note of heads. Before an update is applied: what loses by it is forgotten then."""
        if self._watched:
            # Whether a state or the bytes of one transaction came is not said here: no overruled delete is told.
            self._newly_forked.update(self._forks().feed(decoded, verdict, is_own_bytes=False).forked)

    def observe(self, roots: Sequence[str]) -> None:
        """From now on keep what changes in these root maps for :meth:`take_changes`; with none of them, stop.

        Costs some 10 us a write or a merge, and nothing while nothing is observed: the CRDT itself tells what changed,
        because an element that follows another one does not name its key in the bytes."""
        if self._broken and not roots:
            return
        with self._guarded():
            for target, subscription in self._observed:
                target.unobserve(subscription)
            self._observed = [(self._map(root), self._map(root).observe(self._keeper(root))) for root in roots]
        self._changes, self._changes_dropped = [], 0

    def take_changes(self) -> tuple[Sequence[Changed], int]:
        """What has changed since the last call, and how many changes more there were than are kept."""
        taken = self._changes, self._changes_dropped
        self._changes, self._changes_dropped = [], 0
        return taken

    def _keeper(self, root: str) -> Callable[[MapEvent], None]:
        def keep(event: MapEvent) -> None:
            changes = event.keys  # type: ignore[attr-defined]  # missing in pycrdt's stubs
            room = CHANGES_MAX - len(self._changes)
            for key, change in islice(changes.items(), room):
                self._changes.append(Changed(root, key, _plain(change.get("oldValue")), _plain(change.get("newValue"))))
            self._changes_dropped += max(len(changes) - room, 0)

        return keep

    def merge(self, update: bytes) -> Merged:
        """Take in an update as a whole; one that has a gap leaves the replica as it was.

        Raises :class:`MalformedUpdate` or :class:`LimitExceeded` (the replica is as before), or
        :class:`ReplicaBroken`.
        """
        decoded = decode_update(update, self._limits)
        verdict = judge(decoded, self._ledger, self._limits)
        if verdict.fresh is None:
            return Merged(None, verdict.gap)
        self._is_flat = self._is_flat and _is_flat(decoded)
        self._follow(decoded, verdict)
        self._apply(decoded, verdict)
        self._ledger.admit(verdict.fresh)
        return Merged(verdict.fresh.raw, verdict.gap)

    def _apply(self, decoded: DecodedUpdate, verdict: Verdict) -> None:
        assert verdict.fresh is not None
        structs = sum(span.structs for span in verdict.fresh.spans)
        with self._guarded():
            if structs <= self._limits.update_part_structs_max:
                self._doc.apply_update(verdict.fresh.raw)
                return
            for part in cut(
                decoded,
                verdict.runs,
                verdict.fresh.deletes,
                structs_max=self._limits.update_part_structs_max,
                bytes_max=self._limits.document_bytes_max,
            ):
                self._doc.apply_update(part)

    def write(self, writes: Sequence[Write]) -> bytes | None:
        """Make all ``writes`` in one transaction and return its update; None when there is nothing to write.

        Values must have been checked: what pycrdt can't hold breaks the replica (:class:`ReplicaBroken`).
        """
        if not writes:
            return None
        made: list[bytes] = []

        def keep(event: TransactionEvent) -> None:
            made.append(event.update)

        with self._guarded():
            subscription = self._doc.observe(keep)
            try:
                maps = [self._map(write.root) for write in writes]
                with self._doc.transaction():
                    for target, write in zip(maps, writes, strict=True):
                        target[write.key] = write.value
            finally:
                self._doc.unobserve(subscription)
        return self._note_own(made)

    def _note_own(self, made: Sequence[bytes]) -> bytes:
        if len(made) != 1:
            self._broken = True
            raise ReplicaBroken(f"one transaction gave {len(made)} updates")
        # What we write passes our own gate, so that we never send what another would refuse.
        decoded = decode_update(made[0], self._limits)
        verdict = judge(decoded, self._ledger, self._limits)
        if verdict.fresh is None or verdict.fresh.raw != made[0]:
            self._broken = True
            raise ReplicaBroken("a transaction of our own does not follow from what we hold")
        if self._index is not None:
            self._index.feed(decoded, verdict)
        self._ledger.admit(verdict.fresh)
        return made[0]

    def since(self, state: StateVector) -> bytes:
        """Everything that a holder of ``state`` lacks, as one update. It always repeats all deletes."""
        with self._guarded():
            return self._doc.get_update(state_vector.encode(state))

    def parts_since(self, state: StateVector) -> Sequence[bytes]:
        """The same, cut into parts of which each can be sent in a frame of its own and applied after those before."""
        update = decode_update(self.since(state), self._limits)
        base = Ledger()
        base.clocks.update(state)
        verdict = judge(update, base, self._limits, keep_ready_part=True)
        if verdict.fresh is None:
            return (EMPTY_UPDATE,)
        if len(update.raw) <= self._limits.update_part_bytes_max:
            return (verdict.fresh.raw,)
        parts = cut(
            update,
            verdict.runs,
            verdict.fresh.deletes,
            structs_max=self._limits.update_structs_max,
            bytes_max=self._limits.update_part_bytes_max,
        )
        return list(parts)

    def snapshot(self) -> bytes:
        """The whole document as one update."""
        return self.since({})

    def get(self, root: str, key: str) -> Any:
        """The value at ``key`` of the root map ``root``, or None. Every number is a float, as JavaScript wrote it."""
        with self._guarded():
            value = self._map(root).get(key)
        return bytes(value) if type(value) is bytearray else value

    def keys(self, root: str) -> list[str]:
        """The keys of the root map ``root``. Byte strings are read one by one with :meth:`get`: as JSON they take
        twenty times as long."""
        with self._guarded():
            return list(self._map(root).keys())

    def entries(self, root: str) -> dict[str, Any]:
        """All of the root map ``root`` as JSON has it: byte strings are lists of numbers, NaN is None."""
        with self._guarded():
            # Ten times faster than to_py(), which crosses into Python once a value.
            text = str(self._map(root))
        entries: dict[str, Any] = json.loads(text)
        return entries

    def view(self) -> dict[str, Any]:
        """The whole document as JSON would have it, root by root, whatever types its writers used."""
        kinds = root_kinds(decode_update(self.snapshot(), self._limits))
        with self._guarded():
            return {name: self._view_of(name, kind) for name, kind in sorted(kinds.items())}

    def _view_of(self, name: str, kind: RootKind) -> Any:
        match kind:
            case RootKind.MAP:
                return self.entries(name)
            case RootKind.TEXT:
                return str(self._doc.get(name, type=Text))
            case RootKind.XML:
                return str(self._doc.get(name, type=XmlFragment))
            case RootKind.ARRAY:
                return json.loads(str(self._doc.get(name, type=Array)))

    def _map(self, root: str) -> Map[Any]:
        found = self._maps.get(root)
        if found is None:
            found = self._maps[root] = self._doc.get(root, type=Map)
        return found

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn every failure of native code, panics included, into :class:`ReplicaBroken`."""
        if self._broken:
            raise ReplicaBroken("this replica failed before; rebuild it from its log")
        try:
            yield
        except ProtocolError:
            raise
        except BaseException as error:
            self._broken = True
            # A panic of yrs derives from BaseException alone; an interrupt must stay one.
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise ReplicaBroken(f"native CRDT code failed: {type(error).__name__}: {error}") from error
            raise


def _plain(value: Any) -> Any:
    if type(value) is bytearray:
        return bytes(value)
    return value if isinstance(value, (bool, int, float, str, list, dict)) else None


def _is_flat(update: DecodedUpdate) -> bool:
    """Whether every struct is an entry of a root map, or rewrites one.

    A list, a text or a nested type has a first element whose bytes name its parent and no key. Collected structs are
    told apart from those by their kind, and stand for either."""
    return all(
        isinstance(struct.parent, str) and struct.key is not None if struct.parent is not None else struct.kind != TYPE
        for section in update.sections
        for struct in section.structs
    )


def replay(updates: Sequence[bytes], limits: Limits = DEFAULT_LIMITS, *, onto: Replica | None = None) -> Replica:
    """A fresh replica, or ``onto``, that holds ``updates``, given in log order.

    Raises :class:`ReplicaBroken` when one does not fit. A log holds only what the gate let through, so a gap in it
    means that something was lost.
    """
    replica = Replica(limits) if onto is None else onto
    for number, update in enumerate(updates, 1):
        if replica.merge(update).gap:
            raise ReplicaBroken(f"update {number} of the log builds on something that is not in it")
    return replica


def contents(replica: Replica) -> Mapping[str, Any]:
    """What two replicas with equal content have in common."""
    return {"state": dict(replica.state), "view": replica.view()}
