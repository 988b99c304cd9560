"""Makes the next epoch of a document from its log. Only for commands: it runs native CRDT code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crdt_sync.documents.catalog.conflicts import Conflict, open_conflicts
from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.epochs import new_epoch, spelled
from crdt_sync.documents.names import epoch_of
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import SnapshotMismatch, WrongKind
from crdt_sync.limits import Limits
from crdt_sync.replica import Replica, Write, replay
from crdt_sync.stores.sqlite import SqliteStore
from crdt_sync.stores.update_log import Loaded, Record
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.roots import RootKind, root_kinds
from server.commands.documents import served

AUTHOR: Final = "relay"
ENTRIES_PER_RECORD: Final = 1_000


@dataclass(frozen=True, slots=True)
class Renewal:
    """A document's next epoch, proven to say what the last one did."""

    updates: Sequence[bytes]
    entries: int
    conflicts: int
    left_out: Mapping[str, int]


async def renew(store: SqliteStore, document: str, successor: str, limits: Limits) -> Renewal:
    """Write the next epoch and end the last one, in one commit.

    Raises :class:`DocumentRetired`, :class:`WrongKind` for a document that is not there, that holds other types than
    maps, or whose next name is taken, and :class:`SnapshotMismatch` when the new one does not say the same."""
    loaded = await served(store, document)
    if not loaded.last_seq:
        raise WrongKind(f"there is no document {document}; see crdt-sync rooms")
    if (await store.log(successor).load()).last_seq:
        raise WrongKind(f"{successor} is there already")
    at_ms = time.time_ns() // 1_000_000
    renewal = await asyncio.to_thread(begun_anew, loaded, epoch_of(successor), limits, at_ms)
    contents = [Record(update, AUTHOR, at_ms) for update in renewal.updates]
    await store.retire(document, "begun anew", at_ms, successor, contents)
    return renewal


def begun_anew(loaded: Loaded, epoch: int, limits: Limits, now_ms: int) -> Renewal:
    """The next epoch of the document that a log makes."""
    log = [record.update for record in loaded.tail]
    if loaded.snapshot is not None:
        log.insert(0, loaded.snapshot.state)
    old, new = Replica(limits), Replica(limits)
    old.watch((ATTRIBUTES,))
    new.watch((ATTRIBUTES,))
    replay(log, limits, onto=old)
    kinds = root_kinds(decode_update(old.snapshot(), limits.for_stored()))
    if others := sorted(name for name, kind in kinds.items() if kind is not RootKind.MAP):
        raise WrongKind(f"{', '.join(others)} are no maps; a new epoch could not take them over as they are")
    stamp = HybridClock().tick(now_ms)
    made = new_epoch(old, old, kinds, epoch=epoch, client=new.client_id, stamp=stamp)
    writes = [Write(*entry) for entry in made.entries]
    starts = range(0, len(writes), ENTRIES_PER_RECORD)
    updates = [new.write(writes[start : start + ENTRIES_PER_RECORD]) for start in starts]
    conflicts = _check(old, new, kinds)
    return Renewal([update for update in updates if update is not None], len(made.entries), conflicts, made.left_out)


def _check(old: Replica, new: Replica, names: Mapping[str, RootKind]) -> int:
    """Prove that the new epoch shows what the old one did; returns the number of open conflicts."""
    for name in names:
        if name in ("meta", "conflict", "edits", "resolve"):
            continue
        if _alive(old, name) != _alive(new, name):
            raise SnapshotMismatch(f"the new epoch's {name} does not say what the old one's does")
    before, after = _open(old), _open(new)
    if before != after:
        raise SnapshotMismatch("the new epoch has other open conflicts")
    return len(before)


def _alive(replica: Replica, name: str) -> dict[str, str]:
    values = {key: replica.get(name, key) for key in replica.keys(name)}
    return {key: spelled(value) for key, value in values.items() if value is not None}


def _open(replica: Replica) -> dict[str, list[str]]:
    def never(conflict: Conflict, accept: str | None, value: object, merge: str | None, base: object) -> None:
        raise AssertionError("nobody resolves here")

    return {
        conflict.key: sorted(repr((sibling.value, sibling.is_known)) for sibling in conflict.siblings)
        for conflict in open_conflicts(replica, replica, never)
    }
