"""What the relay itself writes into a catalog: the values that stand against each other, before anybody forgets them.

Plain pages keep nothing, and once a scribe has compacted the log, what lost a concurrent write is gone. So the relay
notes it in the same turn, under a client id of its own that is fresh for every opened room. It needs no document for
that: an entry under a key that nobody has written yet depends on nothing. Pure.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence

from crdt_sync.documents.catalog.merges import canonical
from crdt_sync.documents.catalog.siblings import EDITS, SIBLINGS_MAX, VAULT, value_of
from crdt_sync.documents.names import CATALOG
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import ATTRIBUTES, stamp
from crdt_sync.limits import Limits
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from crdt_sync.updates.encode import write_entries
from crdt_sync.updates.forks import ForkIndex, Head
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.values import ClientId

AUTHOR = "relay"
"""Stands beside what the relay has written, where a member's subject stands beside its updates."""

PORTION_CHARS, PORTION_ENTRIES = 128 << 10, 500


class Keeper:
    """Follows the attributes of one catalog. Feed it everything that the room keeps, in that order."""

    def __init__(self, client: ClientId) -> None:
        """``client`` must be an id that nobody has written under, and nobody else will."""
        self._client = client
        self._clock = 0
        self._index = ForkIndex((ATTRIBUTES, VAULT, EDITS))
        self._edits: dict[ClientId, list[int]] = {}

    @classmethod
    def load(cls, client: ClientId, updates: Sequence[bytes], limits: Limits) -> Keeper:
        """A keeper that knows the log; nothing of it is noted any more, for what lost may be collected already."""
        keeper, ledger, stored = cls(client), Ledger(), limits.for_stored()
        for raw in updates:
            update = decode_update(raw, stored)
            verdict = judge(update, ledger, stored)
            if verdict.fresh is not None:
                ledger.admit(verdict.fresh)
                keeper._follow(update, verdict)
        return keeper

    def note(self, update: DecodedUpdate, verdict: Verdict) -> Sequence[bytes]:
        """Take in what the room has kept; the updates that the relay must add to it, if values stand against each
        other that nobody has noted."""
        lacking: dict[str, Value] = {}
        for key in sorted(self._follow(update, verdict)):
            for head in self._index.heads(ATTRIBUTES, key)[:SIBLINGS_MAX]:
                entry = f"{key}|{head.dot}"
                is_readable, value = value_of(head)
                if is_readable and not self._index.heads(VAULT, entry):
                    lacking[entry] = [value, *self._written(head)]
        return [self._write(some) for some in _portions(lacking)]

    def _write(self, entries: Mapping[str, Value]) -> bytes:
        raw = write_entries(self._client, self._clock, VAULT, entries)
        self._clock += len(entries)
        return raw

    def _follow(self, update: DecodedUpdate, verdict: Verdict) -> set[str]:
        for section in update.sections:
            for struct in section.structs:
                if struct.parent == EDITS and struct.key is not None:
                    self._sign(struct.key)
        fed = self._index.feed(update, verdict)
        return {key for root, key in fed.forked if root == ATTRIBUTES}

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


def _portions(entries: Mapping[str, Value]) -> Iterator[Mapping[str, Value]]:
    """The entries in parts that fit into a frame: one update may have met very many."""
    portion: dict[str, Value] = {}
    size = 0
    for key, value in entries.items():
        portion[key] = value
        size += len(key) + len(canonical(value))
        if size > PORTION_CHARS or len(portion) == PORTION_ENTRIES:
            yield portion
            portion, size = {}, 0
    if portion:
        yield portion


def keeps(document: str) -> bool:
    """Whether the relay keeps what lost in a document of this name."""
    return document == CATALOG
