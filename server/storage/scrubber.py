"""Reads what nobody asks for: every document on disk in turn, each row against its checksum.

Damage that nobody looks at is found when it is too late: when the other copy has rotted, too, when the backups that
were whole are gone, or when a room that was served from memory for months is opened again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from crdt_sync.errors import DocumentRetired, StoreCorrupted, StoreError, StoreTooNew, StoreUnavailable
from crdt_sync.stores.sqlite import SqliteStore
from server.storage.tenants import Tenants

log = structlog.get_logger(__name__)

FIRST_AFTER_S: Final = 60.0
"""A relay that was just started has better things to do."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What was found, and whether anything can still be read."""

    tenant: str
    document: str | None
    """None: the tenant's store as a whole."""
    error: StoreError
    is_readable: bool
    """The content is whole: what is damaged is only there in case of need, such as the snapshot before the current."""

    @property
    def place(self) -> str:
        return f"tenant {self.tenant}" if self.document is None else f"room {self.tenant}/{self.document}"


Rest: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told while documents are read."""

    checked: Callable[[int], None]
    """A document was read, of so many bytes."""
    damaged: Callable[[Damage], Awaitable[None]]
    passed: Callable[[], None]
    """All documents were read once."""


class Scrubber:
    """Goes round all tenants for ever; run by :func:`run_beside`."""

    def __init__(
        self,
        tenants: Tenants,
        listener: Listener,
        *,
        interval_s: float,
        bytes_per_s: int,
        rest: Rest = asyncio.sleep,
    ) -> None:
        self._tenants = tenants
        self._listener = listener
        self._interval_s = interval_s
        self._bytes_per_s = bytes_per_s
        self._rest = rest
        self._found: dict[tuple[str, str | None], Damage] = {}

    def lost(self) -> Mapping[str, str]:
        """Where something can't be read any more, and why: of the last time that each place was looked at."""
        return {damage.place: str(damage.error) for damage in self._found.values() if not damage.is_readable}

    def at_risk(self) -> Mapping[str, str]:
        """Where everything can be read, but from the last copy."""
        return {damage.place: str(damage.error) for damage in self._found.values() if damage.is_readable}

    async def run(self) -> None:
        """Read everything once in each ``interval_s``, if ``bytes_per_s`` allow it."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await self._rest(min(FIRST_AFTER_S, self._interval_s))
        while True:
            await self.read_everything()
            self._listener.passed()
            begun_s = max(begun_s + self._interval_s, loop.time())
            await self._rest(begun_s - loop.time())

    async def read_everything(self) -> None:
        """One pass over all tenants. Never raises what is wrong with one of them."""
        tenants = await self._tenants.served_on_disk()
        for place in self._found.keys() - {place for place in self._found if place[0] in tenants}:
            del self._found[place]
        for tenant in tenants:
            try:
                async with self._tenants.visited(tenant) as store:
                    await self._read_store(tenant, store)
            except (StoreCorrupted, StoreTooNew) as error:
                await self._note(Damage(tenant, None, error, is_readable=False))
            except StoreUnavailable as error:
                # A full disk, a command that works on it, a store that has failed: others tell of that.
                log.info("tenant not scrubbed", tenant=tenant, error=str(error))

    async def _read_store(self, tenant: str, store: SqliteStore) -> None:
        documents = await store.documents()
        self._found.pop((tenant, None), None)
        for gone in [place for place in self._found if place[0] == tenant and place[1] not in documents]:
            del self._found[gone]
        for document in documents:
            read_bytes = await self._read_document(tenant, store, document)
            # Between two documents, when nothing is held: neither a view of the file nor a lock of the store.
            await self._rest(read_bytes / self._bytes_per_s)

    async def _read_document(self, tenant: str, store: SqliteStore, document: str) -> int:
        """Check one document; how many bytes that took."""
        try:
            figures = await store.verify(document)
        except DocumentRetired:
            self._found.pop((tenant, document), None)
            return 0
        except StoreCorrupted as error:
            await self._note(Damage(tenant, document, error, await _is_readable(store, document)))
            return 0
        self._found.pop((tenant, document), None)
        read_bytes = figures.record_bytes + figures.snapshot_bytes
        self._listener.checked(read_bytes)
        return read_bytes

    async def _note(self, damage: Damage) -> None:
        self._found[damage.tenant, damage.document] = damage
        log.error("damage found", where=damage.place, error=str(damage.error), readable=damage.is_readable)
        await self._listener.damaged(damage)


async def _is_readable(store: SqliteStore, document: str) -> bool:
    try:
        await store.log(document).load()
    except StoreCorrupted:
        return False
    return True


@asynccontextmanager
async def run_beside(scrubber: Scrubber) -> AsyncIterator[None]:
    """Let it run while the block does."""
    running = asyncio.create_task(scrubber.run(), name="scrub documents")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
