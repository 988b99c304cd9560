"""What changes in a peer's documents, told once it is on disk, whoever wrote it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from crdt_sync.documents.catalog.audit_trail import RESOLUTIONS
from crdt_sync.documents.catalog.conflicts import Conflict, ConflictKind, open_conflicts
from crdt_sync.documents.catalog.registers import parse_key
from crdt_sync.documents.catalog.siblings import VAULT, readable
from crdt_sync.documents.keys import uncomp
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import (
    ATTRIBUTES,
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    INCIDENTS,
    META,
    MOVEMENTS,
    PERIODS,
    REGISTERS,
    REJECTED,
    ROLLUPS,
    RULES,
    SAMPLES,
)
from crdt_sync.documents.stock.movements import Movement, read_movement
from crdt_sync.peer.local_document import LocalDocument
from crdt_sync.peer.vault import watched_roots
from crdt_sync.replica import Changed

BUFFER_MAX = 1_024
"""So many changes wait for a reader before it is told that it has missed some."""

MetricKind: TypeAlias = Literal["gauge", "counter", "series", "rollup", "histogram", "distinct"]

_METRIC_KINDS: Final[Mapping[str, MetricKind]] = {
    GAUGES: "gauge",
    COUNTERS: "counter",
    SAMPLES: "series",
    ROLLUPS: "rollup",
    HISTOGRAMS: "histogram",
    REGISTERS: "distinct",
}
_CATALOG_ROOTS: Final = (ATTRIBUTES, VAULT, RESOLUTIONS, PERIODS, RULES, INCIDENTS, META)
_MOVEMENT_ROOTS: Final = (MOVEMENTS, META)
_METRIC_ROOTS: Final = (*_METRIC_KINDS, REJECTED, META)


@dataclass(frozen=True, slots=True)
class InCommit:
    """Where a change was made."""

    document: str
    commit: int
    """The number of its record in the document's log; what came together shares it."""
    is_local: bool
    """This peer wrote it; else it came from the relay."""


@dataclass(frozen=True, slots=True)
class FieldChanged(InCommit):
    """A field of a product or of a location has another value. Its life is the field ``$life``: ``"active"`` or
    ``"deleted"``. None where there was, or is, nothing, and for what can't be read."""

    product: str | None
    location: str | None
    field: str
    old: Value
    new: Value


@dataclass(frozen=True, slots=True)
class MovementAdded(InCommit):
    """Goods moved, were held or counted, or rights went from hand to hand."""

    movement: Movement


@dataclass(frozen=True, slots=True)
class MetricChanged(InCommit):
    """Somebody wrote about a metric of an entity. What it comes to is read from the document."""

    kind: MetricKind
    metric: str
    entity: str


@dataclass(frozen=True, slots=True)
class ConflictOpened(InCommit):
    """A field has several values that nobody has chosen from."""

    product: str | None
    location: str | None
    field: str
    kind: ConflictKind


@dataclass(frozen=True, slots=True)
class ConflictClosed(InCommit):
    """A field has one value again: somebody has chosen, or the values turned out to be equal."""

    product: str | None
    location: str | None
    field: str


@dataclass(frozen=True, slots=True)
class EntryChanged(InCommit):
    """Anything else: a period, a rule, an incident, a movement that was written a second time, or an entry that this
    version can't read."""

    root: str
    key: str


@dataclass(frozen=True, slots=True)
class Missed:
    """The reader was too slow, more came at once than is kept, or a document had to be loaded again: so many changes of
    these documents were not told, as far as anybody counted.

    Whoever takes this reads these documents anew; what is told after it has happened after it."""

    documents: frozenset[str]
    changes: int


Told: TypeAlias = FieldChanged | MovementAdded | MetricChanged | ConflictOpened | ConflictClosed | EntryChanged
Change: TypeAlias = Told | Missed


class Changes:
    """The changes that one reader is told, in the order of their commits. From :meth:`ChangeFeed.subscribe`; it begins
    when its ``async with`` block does, and ends with it, or when the peer is closed."""

    def __init__(self, feed: ChangeFeed, documents: frozenset[str] | None, buffer_max: int) -> None:
        self._feed = feed
        self._documents = documents
        self._buffer_max = buffer_max
        self._buffer: deque[Change] = deque()
        self._arrived = asyncio.Event()
        self._has_ended = False

    async def __aenter__(self) -> Self:
        self._feed.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._feed.remove(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._buffer:
            if self._has_ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._buffer.popleft()

    def wants(self, document: str) -> bool:
        return self._documents is None or document in self._documents

    def put(self, document: str, told: Sequence[Told], dropped: int) -> None:
        """Keep these for the reader. Never waits: who writes does not wait for who reads."""
        for change in told:
            if len(self._buffer) < self._buffer_max:
                self._buffer.append(change)
            else:
                self.miss(document, 1)
        if dropped:
            self.miss(document, dropped)
        self._arrived.set()

    def miss(self, document: str, changes: int) -> None:
        """So many changes, or nobody knows how many (0), are not told."""
        documents = frozenset({document})
        if self._buffer and isinstance(last := self._buffer[-1], Missed):
            self._buffer.pop()
            documents, changes = documents | last.documents, changes + last.changes
        self._buffer.append(Missed(documents, changes))
        self._arrived.set()

    def end(self) -> None:
        """What is kept can still be read; then the iteration ends."""
        self._has_ended = True
        self._arrived.set()


class ChangeFeed:
    """Tells readers what was committed. While there are none, it only counts commits."""

    def __init__(self, open_documents: Callable[[], Sequence[LocalDocument]]) -> None:
        self._open_documents = open_documents
        self._readers: list[Changes] = []
        self._conflicts: dict[str, dict[str, Conflict]] = {}
        self._commits = 0
        self._committed = asyncio.Event()

    def subscribe(self, documents: Iterable[str] | None, buffer_max: int) -> Changes:
        """For a reader of all documents, or of some. ``buffer_max`` is how many changes may wait for it."""
        if buffer_max < 1:
            raise ValueError("a reader needs room for one change at least")
        return Changes(self, None if documents is None else frozenset(documents), buffer_max)

    async def changed(self, since: int | None) -> int:
        """Wait until there are more than ``since`` commits, or than now, and return how many there are."""
        seen = self._commits if since is None else since
        while self._commits <= seen:
            await self._committed.wait()
        return self._commits

    def add(self, reader: Changes) -> None:
        self._readers.append(reader)
        if len(self._readers) == 1:
            for document in self._open_documents():
                self._follow(document)

    def remove(self, reader: Changes) -> None:
        self._readers.remove(reader)
        if not self._readers:
            self._conflicts.clear()
            for document in self._open_documents():
                document.replica.observe(())

    def attach(self, document: LocalDocument) -> None:
        """This document is open from now on; or, after a failure, once again."""
        document.on_commit = lambda is_local: self.committed(document, is_local=is_local)
        if not self._readers:
            return
        if document.name in self._conflicts:
            # What was being committed when it failed may be on disk, or may not.
            for reader in self._wanting(document.name):
                reader.miss(document.name, 0)
        self._follow(document)

    def _follow(self, document: LocalDocument) -> None:
        document.replica.observe(_roots_of(document.name))
        self._conflicts[document.name] = _conflicts_of(document)

    def committed(self, document: LocalDocument, *, is_local: bool) -> None:
        """Something of this document is on disk, and nothing that is not is in its replica."""
        self._commits += 1
        self._committed.set()
        self._committed = asyncio.Event()
        if not self._readers:
            return
        changes, dropped = document.replica.take_changes()
        told = [_told(InCommit(document.name, document.mark, is_local), change) for change in changes]
        told += self._conflict_changes(document, changes, is_whole=not dropped, is_local=is_local)
        for reader in self._wanting(document.name):
            reader.put(document.name, told, dropped)

    def _wanting(self, document: str) -> Sequence[Changes]:
        return [reader for reader in self._readers if reader.wants(document)]

    def close(self) -> None:
        """The peer is closed: every reader reads what is left, and no more."""
        for reader in self._readers:
            reader.end()

    def _conflict_changes(
        self, document: LocalDocument, changes: Sequence[Changed], *, is_whole: bool, is_local: bool
    ) -> list[Told]:
        before = self._conflicts.get(document.name, {})
        if is_whole and not _may_concern(document, changes, before):
            return []
        now = self._conflicts[document.name] = _conflicts_of(document)
        at = document.name, document.mark, is_local
        opened = [now[key] for key in sorted(now.keys() - before.keys())]
        closed = [before[key] for key in sorted(before.keys() - now.keys())]
        return [
            *(ConflictOpened(*at, one.product, one.location, one.field, one.kind) for one in opened),
            *(ConflictClosed(*at, one.product, one.location, one.field) for one in closed),
        ]


def _roots_of(name: str) -> Sequence[str]:
    kind, _, part = name.partition("/")
    if kind == "metrics":
        return _METRIC_ROOTS
    return _CATALOG_ROOTS if kind != "inventory" or part.startswith("catalog") else _MOVEMENT_ROOTS


def _may_concern(document: LocalDocument, changes: Sequence[Changed], open_keys: Iterable[str]) -> bool:
    """Whether conflicts may be other ones now. Nearly always not, and then none are looked for."""
    if ATTRIBUTES not in watched_roots(document.name):
        return False
    written = [change.key for change in changes if change.root == ATTRIBUTES]
    return (
        any(change.root in (VAULT, RESOLUTIONS) for change in changes)
        or not set(written).isdisjoint(open_keys)
        or any(len(document.replica.heads(ATTRIBUTES, key)) > 1 for key in written)
    )


def _conflicts_of(document: LocalDocument) -> dict[str, Conflict]:
    if ATTRIBUTES not in watched_roots(document.name):
        return {}
    found = open_conflicts(document.replica, document.replica, _only_in_an_edit)
    return {conflict.key: conflict for conflict in found}


def _only_in_an_edit(conflict: Conflict, accept: str | None, value: object, merge: str | None, base: object) -> None:
    raise AssertionError("a conflict that is told of is not handed out")


def _told(at: InCommit, change: Changed) -> Told:
    where = at.document, at.commit, at.is_local
    root, key, old, new = change
    if root == ATTRIBUTES and (parsed := parse_key(key)) is not None:
        is_location, name, field = parsed
        product, location = (None, name) if is_location else (name, None)
        return FieldChanged(*where, product, location, field, readable(old)[1], readable(new)[1])
    if root == MOVEMENTS and old is None:
        movement = read_movement(at.document.partition("/")[2], key, new)
        if movement is not None:
            return MovementAdded(*where, movement)
    if root in _METRIC_KINDS:
        metric, entity, *_ = *map(uncomp, key.split("/", 2)), None
        if metric is not None and entity is not None:
            return MetricChanged(*where, _METRIC_KINDS[root], metric, entity)
    return EntryChanged(*where, root, key)
