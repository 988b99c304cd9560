"""One SQLite file for each tenant, opened when it is first needed and held until the relay stops."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from crdt_sync.errors import Forbidden, StoreUnavailable, SyncError
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.values import check_tenant

log = structlog.get_logger(__name__)

KIND = "tenant"
LOOK_S: Final = 0.1
"""So long the free space that was found is taken for what there is."""


def tenant_file(data_dir: Path, tenant: str) -> Path:
    """Where a tenant's documents are kept."""
    return data_dir / "tenants" / f"{check_tenant(tenant)}.db"


def tenants_on_disk(data_dir: Path) -> Sequence[str]:
    """The tenants that have a file, sorted."""
    return sorted(path.stem for path in (data_dir / "tenants").glob("*.db"))


class Tenants:
    """The open stores of one relay; made by :func:`open_tenants`."""

    def __init__(self, data_dir: Path, served: Collection[str], free_space_bytes_min: int) -> None:
        self._data_dir = data_dir
        self._served = frozenset(served)
        self._free_space_bytes_min = free_space_bytes_min
        self._free_bytes = 0
        self._looked_at_s = -math.inf
        self._opening: dict[str, asyncio.Lock] = {}
        self._open: dict[str, tuple[SqliteStore, AsyncExitStack]] = {}
        self._failures: dict[str, str] = {}
        self._kept: set[str] = set()
        """Tenants that somebody needs until the relay stops."""

    async def store(self, tenant: str) -> SqliteStore:
        """The tenant's store, opened once; one that has failed is opened anew, which re-reads the disk.

        Raises :class:`Forbidden` for a tenant that is not served, and :class:`StoreError`.
        """
        if not self._serves(tenant):
            raise Forbidden(f"tenant {tenant} is not served here")
        async with self._opening.setdefault(tenant, asyncio.Lock()):
            self._kept.add(tenant)
            found = self._open.get(tenant)
            if found is not None and found[0].failure is None:
                return found[0]
            if found is not None:
                del self._open[tenant]
                await found[1].aclose()
            return await self._open_store(tenant)

    @asynccontextmanager
    async def visited(self, tenant: str) -> AsyncIterator[SqliteStore]:
        """The tenant's store for somebody who only looks around: what nobody else has asked for, before or meanwhile,
        is closed behind him. Nobody waits for the end of the block.

        Raises :class:`StoreError`; what keeps only him out is not among :meth:`failures`."""
        async with self._opening.setdefault(tenant, asyncio.Lock()):
            found = self._open.get(tenant)
            try:
                store = found[0] if found else await self._open_store(tenant)
            except StoreUnavailable:
                # Such as a command that works on it. Whoever needs the store will hear of it.
                if tenant not in self._kept:
                    self._failures.pop(tenant, None)
                raise
        try:
            yield store
        finally:
            async with self._opening[tenant]:
                found = self._open.get(tenant)
                if tenant not in self._kept and found is not None and found[0] is store:
                    del self._open[tenant]
                    await found[1].aclose()

    async def served_on_disk(self) -> Sequence[str]:
        """The tenants that have a file and are served here, sorted."""
        found = await asyncio.to_thread(tenants_on_disk, self._data_dir)
        return [tenant for tenant in found if self._serves(tenant)]

    def _serves(self, tenant: str) -> bool:
        return not self._served or tenant in self._served

    async def _open_store(self, tenant: str) -> SqliteStore:
        stack = AsyncExitStack()
        try:
            self.check_free_space()
            path = tenant_file(self._data_dir, tenant)
            path.parent.mkdir(parents=True, exist_ok=True)
            store = await stack.enter_async_context(open_sqlite_store(path, create=True, kind=KIND))
        except SyncError as error:
            self._failures[tenant] = str(error)
            log.error("store not opened", tenant=tenant, error=str(error), code=error.code)
            raise
        self._failures.pop(tenant, None)
        self._open[tenant] = store, stack
        return store

    def check_free_space(self) -> int:
        """Free bytes of the data directory as of a moment ago. Raises :class:`StoreUnavailable` below the floor."""
        now_s = time.monotonic()
        # Asked before every commit: the floor leaves room for what is written within the moment.
        if now_s - self._looked_at_s > LOOK_S:
            self._free_bytes, self._looked_at_s = shutil.disk_usage(self._data_dir).free, now_s
        if self._free_bytes < self._free_space_bytes_min:
            floor = self._free_space_bytes_min
            raise StoreUnavailable(
                f"{self._free_bytes} bytes are free in {self._data_dir}, less than free_space_bytes_min = {floor}"
            )
        return self._free_bytes

    def failures(self) -> dict[str, str]:
        """Why a tenant's store is not usable now, for each that is not."""
        open_failures = {tenant: str(store.failure) for tenant, (store, _) in self._open.items() if store.failure}
        return {**self._failures, **open_failures}

    async def aclose(self) -> None:
        """Close every store; what was appended is on disk."""
        while self._open:
            _, (_, stack) = self._open.popitem()
            await stack.aclose()


@asynccontextmanager
async def open_tenants(data_dir: Path, *, served: Collection[str], free_space_bytes_min: int) -> AsyncIterator[Tenants]:
    """The stores of ``data_dir``, which is made when it is missing; closed on leaving."""
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    tenants = Tenants(data_dir, served, free_space_bytes_min)
    try:
        yield tenants
    finally:
        await tenants.aclose()
