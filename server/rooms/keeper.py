"""What the relay itself writes, in the same turn as the update that calls for it, before anybody forgets.

Into a catalog: the values that stand against each other. Plain pages keep nothing, and once a scribe has compacted the
log, what lost a concurrent write is gone. Into the movements of a period: what a movement said at first, when somebody
has written its key again or deleted it. The relay does so under a client id of its own that is fresh for every opened
room. It needs no document for that: an entry under a key that nobody has written yet depends on nothing. Pure.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from crdt_sync.documents.catalog.siblings import EDITS, SIBLINGS_MAX, VAULT, overruled_entry, readable, value_of
from crdt_sync.documents.names import CatalogName, MovementsName, parse_document
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import ATTRIBUTES, MOVEMENTS, stamp
from crdt_sync.documents.stock.originals import ORIGINALS
from crdt_sync.errors import DocumentError
from crdt_sync.limits import Limits
from crdt_sync.updates.content import GONE, elements
from crdt_sync.updates.decode import DELETED, DecodedUpdate, decode_update
from crdt_sync.updates.encode import write_entries, write_over
from crdt_sync.updates.forks import Fed, ForkIndex, Head
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import Span
from crdt_sync.updates.ranges import DeleteSet
from crdt_sync.updates.reuse import is_same
from crdt_sync.updates.rewrites import RewriteIndex
from crdt_sync.values import ClientId, Clock, Id
from server.rooms.history import History

AUTHOR = "relay"
"""Stands beside what the relay has written, where a member's subject stands beside its updates."""

PORTION_CHARS, PORTION_ENTRIES = 128 << 10, 500

_TURNS_MAX: Final = 256
_ORIGINALS_NAME: Final = ORIGINALS.encode()
_CORRECTIONS_MAX: Final = 4_096
"""So many times it is followed that members write over one original, which none of them ever has to."""


class Notes(NamedTuple):
    """What the relay adds to an update, and why."""

    before: Sequence[bytes] = ()
    """To be kept and told before the update."""
    after: Sequence[bytes] = ()
    changed: Sequence[str] = ()
    """The movements that it changed after the fact."""


NOTHING: Final = Notes()


class Keeper(Protocol):
    """Follows one document. Feed it everything that the room keeps, in that order, its own notes included."""

    def note(
        self, update: DecodedUpdate, verdict: Verdict, history: History, author: str, *, is_one_edit: bool
    ) -> Notes:
        """Take in what ``history`` is about to hold, and say what the relay must add to it. ``is_one_edit`` tells the
        bytes of a transaction from a merged state."""
        ...

    def recall(self, update: DecodedUpdate, verdict: Verdict, author: str | None) -> None:
        """Take in what the relay itself has written, or what was kept before this room was opened; nobody may know any
        more who brought that."""
        ...


class CatalogKeeper:
    """Notes the values of attributes that stand against each other."""

    def __init__(self, client: ClientId, person: Callable[[ClientId], str | None] = lambda _: None) -> None:
        """``client`` must be an id that nobody has written under, and nobody else will. ``person`` says who wrote all
        that is under an id, where that is certain."""
        self._pen = _Pen(client)
        self._index = ForkIndex((ATTRIBUTES, VAULT, EDITS))
        self._edits: dict[ClientId, list[int]] = {}
        self._authors = Authors()
        self._person = person

    def recall(self, update: DecodedUpdate, verdict: Verdict, author: str | None) -> None:
        # Nothing of it is noted any more, for what lost may be collected already.
        self._follow(update, verdict, author, is_one_edit=False)

    def note(
        self, update: DecodedUpdate, verdict: Verdict, history: History, author: str, *, is_one_edit: bool
    ) -> Notes:
        lacking: dict[str, Value] = {}
        fed = self._follow(update, verdict, author, is_one_edit=is_one_edit)
        for key in sorted({key for root, key in fed.forked if root == ATTRIBUTES}):
            for head in self._index.heads(ATTRIBUTES, key)[:SIBLINGS_MAX]:
                entry = f"{key}|{head.dot}"
                is_readable, value = value_of(head)
                if is_readable and not self._index.heads(VAULT, entry):
                    lacking[entry] = self._entry(value, head)
        # A delete that a concurrent write has undone is no element, and nobody else will ever know of it.
        lacking.update(overruled_entry(lost.key, lost.head.dot) for lost in fed.overruled if lost.root == ATTRIBUTES)
        return Notes(after=self._pen.write(VAULT, lacking)) if lacking else NOTHING

    def _entry(self, value: Value, head: Head) -> Value:
        """``[value, device, stamp, person, base]``; what is unknown at its end is left out."""
        has_base, base = (False, None) if head.base is None else readable(head.base_value())
        person = self._authors.of(head.client, head.clock) or self._person(head.client)
        entry: list[Value] = [value, *self._written(head), person]
        if has_base:
            entry.append([base])
        while len(entry) > 3 and entry[-1] is None:
            entry.pop()
        return entry

    def _follow(self, update: DecodedUpdate, verdict: Verdict, author: str | None, *, is_one_edit: bool) -> Fed:
        for section in update.sections:
            for struct in section.structs:
                if struct.parent == EDITS and struct.key is not None:
                    self._sign(struct.key)
        if verdict.fresh is not None:
            self._authors.note(verdict.fresh.spans, author)
        return self._index.feed(update, verdict, is_own_bytes=is_one_edit)

    def _sign(self, key: str) -> None:
        client, _, clock = key.partition(".")
        if client.isdecimal() and clock.isdecimal():
            clocks = self._edits.setdefault(int(client), [])
            insort(clocks, int(clock))

    def _written(self, head: Head) -> tuple[Value, Value]:
        """By which device and when, as every peer says it: by the signature before the element."""
        clocks = self._edits.get(head.client, [])
        place = bisect_right(clocks, head.clock) - 1
        if place < 0:
            return None, None
        signatures = self._index.heads(EDITS, f"{head.client}.{clocks[place]}")
        is_readable, entry = value_of(signatures[-1]) if signatures else (False, None)
        if not is_readable or not isinstance(entry, list) or len(entry) < 2:
            return None, None
        device, written = entry[0], stamp(entry[1])
        return (device, written) if isinstance(device, str) and written is not None else (None, None)


class MovementKeeper:
    """Notes what a movement said at first, when it was written again with other content, or deleted.

    The change itself is kept, for its page would lose all its later work if it were refused; but readers take the
    original. That goes before the change, so that nobody ever sees another sum. A key that is written again with equal
    content is no change: so does whoever books in elsewhere what came too late."""

    def __init__(self, client: ClientId, limits: Limits) -> None:
        """``client`` must be an id that nobody has written under, and nobody else will."""
        self._pen = _Pen(client)
        self._limits = limits
        self._index = RewriteIndex(MOVEMENTS)
        self._originals = RewriteIndex(ORIGINALS, elements_max=_CORRECTIONS_MAX)
        self._standing: dict[str, Id] = {}
        """Of each original the element that says it rightly."""
        self._pending: set[str] = set()

    def recall(self, update: DecodedUpdate, verdict: Verdict, author: str | None) -> None:
        self._pending |= self._index.feed(update, verdict)
        for key in self._touched(update, verdict):
            if (last := self._originals.shown(key)) is not None:
                self._standing[key] = last

    def note(
        self, update: DecodedUpdate, verdict: Verdict, history: History, author: str, *, is_one_edit: bool
    ) -> Notes:
        doubted = self._index.feed(update, verdict)
        # Nearly all updates end here: originals are rare, and come by their root's name for the first time.
        is_about_originals = _ORIGINALS_NAME in update.raw or not self._originals.is_empty
        touched: set[str] = self._touched(update, verdict) if is_about_originals else set()
        if not doubted and not touched and not self._pending:
            return NOTHING
        # Nearly always what was in doubt in a snapshot was settled right behind it, in the tail.
        doubted = {key for key in doubted | self._pending if not self._index.is_settled(key)}
        self._pending.clear()
        sight = _Sight(update, history, self._limits)
        originals = {key: row for key in sorted(doubted) if (row := self._original(key, sight)) is not GONE}
        corrections = {key: found for key in sorted(touched) if (found := self._correction(key, sight)) is not None}
        after = [self._pen.write_over(list(corrections.values()))] if corrections else []
        return Notes(self._pen.write(ORIGINALS, originals), after, [*originals, *corrections])

    def _touched(self, update: DecodedUpdate, verdict: Verdict) -> set[str]:
        """The movements whose originals an update writes, or deletes."""
        if _ORIGINALS_NAME not in update.raw:
            return self._originals.feed(update, verdict)
        structs = (struct for section in update.sections for struct in section.structs)
        keys = {struct.key for struct in structs if struct.parent == ORIGINALS and struct.key is not None}
        for key in keys:
            self._index.settle(key)
        return keys | self._originals.feed(update, verdict)

    def _correction(self, key: str, sight: _Sight) -> tuple[Id, Value] | None:
        """What must be written over which element, if a member has made the original of a movement something else."""
        last = self._originals.shown(key)
        if last is None or self._originals.is_crowded(key):
            return None
        wanted, is_deleted = self._wanted(key, sight), sight.is_deleted(last)
        if wanted is GONE or (not is_deleted and is_same(sight.content(last), wanted)):
            self._standing[key] = last
            return None
        return last, wanted

    def _wanted(self, key: str, sight: _Sight) -> Any:
        """What the original of a movement says; ``GONE`` where this relay can't know better than a peer that brings
        it, because its own store was lost."""
        standing = self._standing.get(key)
        if standing is not None:
            return sight.before(standing)
        elements = self._index.elements(key)
        first = sight.before(elements[0]) if elements else GONE
        return first if first is GONE else _as_original(first)

    def _original(self, key: str, sight: _Sight) -> Any:
        """What a movement said at first, if it says anything else now; else ``GONE``."""
        elements = self._index.elements(key)
        contents = [content for id_ in elements if (content := sight.content(id_)) is not GONE]
        if not contents:
            # Overwritten or deleted before anything of it was here: there is nothing to go back to.
            return GONE
        shown = self._index.shown(key)
        is_gone = shown is None or sight.is_deleted(shown) or sight.content(shown) is GONE
        is_changed = any(not is_same(contents[0], content) for content in contents[1:])
        if not is_gone and not is_changed and not self._index.is_crowded(key):
            return GONE
        return _as_original(contents[0])


def _as_original(content: Any) -> Any:
    # A nested type is no movement and never was, and null would say that there is no original.
    return [] if content is None or isinstance(content, tuple) else content


class _Sight:
    """What a document will hold with one more update."""

    def __init__(self, update: DecodedUpdate, history: History, limits: Limits) -> None:
        self._raw = update.raw
        self._structs = dict(update.sections)
        self._deletes = DeleteSet(update.deletes)
        self._history = history
        self._limits = limits

    def content(self, id_: Id) -> Any:
        """What an element holds; ``GONE`` when it was collected."""
        client, clock = id_
        structs = self._structs.get(client, ())
        place = bisect_right(structs, clock, key=lambda struct: struct.clock) - 1
        struct = structs[place] if place >= 0 else None
        if struct is not None and clock < struct.clock + struct.length and struct.kind != DELETED:
            return next(islice(elements(self._raw, struct), clock - struct.clock, None))
        return self.before(id_)

    def before(self, id_: Id) -> Any:
        """What an element held before this update; ``GONE`` when it was collected, or not here yet."""
        return self._history.content(id_, self._limits)

    def is_deleted(self, id_: Id) -> bool:
        return id_ in self._deletes or self._history.is_deleted(id_)


class Authors:
    """Who brought which elements: the subjects of tokens. One entry for each client id, as long as one member writes
    under it."""

    def __init__(self) -> None:
        self._turns: dict[ClientId, list[tuple[Clock, str | None]]] = {}

    def note(self, spans: Sequence[Span], author: str | None) -> None:
        for span in spans:
            turns = self._turns.setdefault(span.client, [])
            # Two who take turns under one id without end are not told apart any more.
            who = author if len(turns) < _TURNS_MAX else None
            if not turns or turns[-1][1] != who:
                turns.append((span.clock, who))

    def of(self, client: ClientId, clock: Clock) -> str | None:
        turns = self._turns.get(client, [])
        place = bisect_right(turns, clock, key=lambda turn: turn[0]) - 1
        return None if place < 0 else turns[place][1]


class _Pen:
    """Writes entries, nearly always under keys that nobody has written."""

    def __init__(self, client: ClientId) -> None:
        self._client = client
        self._clock = 0

    def write(self, root: str, entries: Mapping[str, Value]) -> Sequence[bytes]:
        return [self._write(root, some) for some in _portions(entries)]

    def write_over(self, entries: Sequence[tuple[Id, Value]]) -> bytes:
        raw = write_over(self._client, self._clock, entries)
        self._clock += len(entries)
        return raw

    def _write(self, root: str, entries: Mapping[str, Value]) -> bytes:
        raw = write_entries(self._client, self._clock, root, entries)
        self._clock += len(entries)
        return raw


def _portions(entries: Mapping[str, Value]) -> Iterator[Mapping[str, Value]]:
    """The entries in parts that fit into a frame: one update may have met very many."""
    portion: dict[str, Value] = {}
    size = 0
    for key, value in entries.items():
        portion[key] = value
        size += len(key) + len(repr(value))
        if size > PORTION_CHARS or len(portion) == PORTION_ENTRIES:
            yield portion
            portion, size = {}, 0
    if portion:
        yield portion


def open_keeper(
    document: str,
    client: ClientId,
    log: Sequence[tuple[bytes, str | None]],
    limits: Limits,
    person: Callable[[ClientId], str | None] = lambda _: None,
) -> Keeper | None:
    """A keeper for a document of this name that knows its log (updates, and who brought each), or None where the relay
    keeps nothing. ``client`` must be an id that nobody has written under, and nobody else will; ``person`` says who
    wrote all that is under an id, where that is certain."""
    match _kind(document):
        case CatalogName():
            keeper: Keeper = CatalogKeeper(client, person)
        case MovementsName():
            keeper = MovementKeeper(client, limits)
        case _:
            return None
    recall_log(keeper, log, limits)
    return keeper


def recall_log(keeper: Keeper, log: Sequence[tuple[bytes, str | None]], limits: Limits) -> None:
    """Let a keeper take in the updates of a log, and who brought each."""
    ledger, stored = Ledger(), limits.for_stored()
    for raw, author in log:
        update = decode_update(raw, stored)
        verdict = judge(update, ledger, stored)
        if verdict.fresh is not None:
            ledger.admit(verdict.fresh)
            keeper.recall(update, verdict, author)


def keeps(document: str) -> bool:
    """Whether the relay keeps what lost in a document of this name."""
    return isinstance(_kind(document), CatalogName | MovementsName)


def _kind(document: str) -> object:
    try:
        return parse_document(document)
    except DocumentError:
        # Not one of ours: tenants may call their own documents what they like.
        return None
