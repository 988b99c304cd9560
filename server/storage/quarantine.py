"""What was set aside of tenants' documents, and is kept: beside each tenant's store one more, with the same names."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from crdt_sync.errors import ProtocolError, StoreCorrupted
from crdt_sync.protocol import wire
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Record, Snapshot
from crdt_sync.values import RoomId, check_tenant
from server.storage.retiring import Order

KIND: Final = "quarantine"
FOLDER: Final = "quarantine"


class Fate(StrEnum):
    """What became of a record that was set aside."""

    KEPT = "kept"
    RESTORED = "restored"
    """It is in the document's log again, under another number."""
    DROPPED = "dropped"
    """Its bytes are gone; it is still not let in."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One record of a document's log that is not served."""

    number: int
    """In the document's log."""
    author: str
    at_ms: int
    """When it came."""
    found_ms: int
    """When it was set aside."""
    reason: str
    builds_on_others: bool
    """It does no harm itself; what of it does not build on others is served."""
    digest: str
    """SHA-256 of its bytes, in hex: a log that was put back from a backup may hold another record of this number."""
    size_bytes: int
    update: bytes
    """As it stood in the log; empty once it was dropped."""
    outline: bytes
    """Where its elements stand and what it deletes; see crdt_sync/updates/withheld.py."""
    fate: Fate = Fate.KEPT

    @classmethod
    def of(cls, number: int, record: Record, reason: str, outline: bytes, found_ms: int, *, builds: bool) -> Self:
        """``record``, which is to be set aside."""
        digest, size = digest_of(record.update), len(record.update)
        return cls(number, record.author, record.at_ms, found_ms, reason, builds, digest, size, record.update, outline)

    @property
    def is_in_force(self) -> bool:
        """It must not be let in again."""
        return self.fate != Fate.RESTORED

    def encode(self) -> bytes:
        facts = {name: getattr(self, name) for name in _FACTS}
        return wire.text(json.dumps(facts)) + wire.blob(self.update) + wire.blob(self.outline)

    @classmethod
    def read(cls, reader: wire.Reader) -> Self:
        """Raises :class:`ProtocolError`, ValueError, KeyError or TypeError."""
        facts = json.loads(reader.text())
        found = cls(**{name: facts[name] for name in _FACTS}, update=reader.blob(), outline=reader.blob())
        return replace(found, fate=Fate(found.fate))


_FACTS: Final = (
    "number",
    "author",
    "at_ms",
    "found_ms",
    "reason",
    "builds_on_others",
    "digest",
    "size_bytes",
    "fate",
)


@dataclass(frozen=True, slots=True)
class Ward:
    """All that was set aside of one document, in the order of its log."""

    kept: Sequence[SetAside] = ()
    seq: int = 0
    """Number of the last change of it; the document's log notes how far it must go."""

    @property
    def in_force(self) -> Sequence[SetAside]:
        return [one for one in self.kept if one.is_in_force]


def digest_of(update: bytes) -> str:
    """As it stands in :class:`SetAside`."""
    return hashlib.sha256(update).hexdigest()


def quarantine_file(data_dir: Path, tenant: str) -> Path:
    """Where a tenant's quarantine is kept, if it has one."""
    return data_dir / FOLDER / f"{check_tenant(tenant)}.db"


@asynccontextmanager
async def opened_quarantine(data_dir: Path, tenant: str, *, create: bool = False) -> AsyncIterator[SqliteStore]:
    """One tenant's quarantine, which must be there unless ``create`` is set. Raises :class:`StoreError`."""
    path = quarantine_file(data_dir, tenant)
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    async with open_sqlite_store(path, create=create, kind=KIND) as store:
        yield store


async def read_ward(store: SqliteStore, document: str) -> Ward:
    """What a quarantine has of one document. Raises :class:`StoreError`."""
    loaded = await store.log(document).load()
    found: dict[tuple[int, str], SetAside] = {}
    try:
        for one in _entries([loaded.snapshot.state] if loaded.snapshot else []):
            found[one.number, one.digest] = one
        for one in _entries(record.update for record in loaded.tail):
            found[one.number, one.digest] = one
    except (ProtocolError, ValueError, KeyError, TypeError) as error:
        raise StoreCorrupted(f"the quarantine of {document} can't be read: {error!r}") from error
    return Ward([found[key] for key in sorted(found)], loaded.last_seq)


async def keep(store: SqliteStore, document: str, entries: Sequence[SetAside]) -> int:
    """Write entries down, new or changed, in one commit; returns the ward's ``seq``. Raises :class:`StoreError`."""
    return await store.log(document).append([Record(one.encode(), one.author, one.found_ms) for one in entries])


async def drop(store: SqliteStore, document: str, number: int) -> Ward:
    """Forget the bytes of one number for good; that it is not let in stays. Raises :class:`StoreError`."""
    log = store.log(document)
    ward = await read_ward(store, document)
    gone = [
        replace(one, update=b"", fate=Fate.DROPPED)
        for one in ward.kept
        if one.number == number and one.fate == Fate.KEPT
    ]
    # A compaction keeps what the snapshot before it stood for, so it takes two until the bytes are nowhere.
    for _ in range(2):
        seq = await keep(store, document, gone)
        ward = await read_ward(store, document)
        await log.compact(Snapshot(seq, b"".join(one.encode() for one in ward.kept), b""))
    return ward


async def erase(store: SqliteStore, order: Order, at_ms: int) -> None:
    """Erase what is kept of a document that has ended. Raises :class:`StoreError`."""
    if order.document in [*await store.documents(), *(note.document for note in await store.retirements())]:
        await store.retire(order.document, order.why, at_ms, order.successor)


def _entries(parts: Iterable[bytes]) -> Iterable[SetAside]:
    for part in parts:
        reader = wire.Reader(part)
        while reader.remaining:
            yield SetAside.read(reader)


class Quarantines:
    """The open quarantines of one relay, each opened when it is first needed; made by :func:`open_quarantines`."""

    def __init__(self, data_dir: Path, stack: AsyncExitStack) -> None:
        self._data_dir = data_dir
        self._stack = stack
        self._open: dict[str, tuple[SqliteStore, AsyncExitStack]] = {}
        self._opening = asyncio.Lock()
        self._held: dict[RoomId, int] = {}

    async def ward(self, room: RoomId) -> Ward:
        """What was set aside of a document; empty for a tenant without a quarantine. Raises :class:`StoreError`."""
        found = Ward()
        if self._exists(room.tenant):
            found = await read_ward(await self._store(room.tenant), room.document)
        self._note(room, found)
        return found

    async def keep(self, room: RoomId, entries: Sequence[SetAside]) -> int:
        """See :func:`keep`."""
        seq = await keep(await self._store(room.tenant), room.document, entries)
        self._held[room] = self._held.get(room, 0) + len(entries)
        return seq

    async def erase(self, room: RoomId, order: Order, at_ms: int) -> None:
        """Erase what is kept of a document that ends. Raises :class:`StoreError`."""
        self._held.pop(room, None)
        if self._exists(room.tenant):
            await erase(await self._store(room.tenant), order, at_ms)

    def held(self) -> dict[str, int]:
        """How many records are set aside of each document that was opened since the relay was started."""
        return {str(room): count for room, count in self._held.items() if count}

    def _note(self, room: RoomId, ward: Ward) -> None:
        self._held.pop(room, None)
        if count := len(ward.in_force):
            self._held[room] = count

    def _exists(self, tenant: str) -> bool:
        path = quarantine_file(self._data_dir, tenant)
        # Without its file, a sidecar says that there was one: then opening it tells what is missing.
        return path.exists() or path.with_name(f"{path.name}.identity").exists()

    async def _store(self, tenant: str) -> SqliteStore:
        async with self._opening:
            if (found := self._open.pop(tenant, None)) is not None:
                if found[0].failure is None:
                    self._open[tenant] = found
                    return found[0]
                await found[1].aclose()
            stack = await self._stack.enter_async_context(AsyncExitStack())
            store = await stack.enter_async_context(opened_quarantine(self._data_dir, tenant, create=True))
            self._open[tenant] = store, stack
            return store


@asynccontextmanager
async def open_quarantines(data_dir: Path) -> AsyncIterator[Quarantines]:
    """The quarantines of a relay's tenants; closed on leaving."""
    async with AsyncExitStack() as stack:
        yield Quarantines(data_dir, stack)
