"""The audit log: who was refused what, and what operators ordered. One store for each tenant, one log a UTC month.

It stands on the same store as documents, and has for free what that gives: rows are durable, only ever appended, and
each is sealed with all before it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog

from crdt_sync.errors import StoreCorrupted, StoreError
from crdt_sync.stores.copying import copy_store
from crdt_sync.stores.custody import Sidecar, beside, is_held, write_sidecar
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Record, Store
from crdt_sync.values import TENANT, check_tenant
from server.storage.audit_events import AuditEvent, FloodGate, Row
from server.storage.tenants import tenant_file

log = structlog.get_logger(__name__)

KIND: Final = "audit"
RELAY_LOG: Final = "_relay"
"""The log of what concerns no tenant that is on disk. No tenant's name begins with a sign. A relay that runs has it
open, so who finds it free may write in its place: :func:`is_written_by_a_relay`."""
FLUSH_S: Final = 0.2
QUEUE_ROWS_MAX: Final = 10_000
OPEN_STORES_MAX: Final = 32
ROWS_READ_MAX: Final = 10_000


def audit_file(data_dir: Path, log_name: str) -> Path:
    """Where a tenant's audit log is kept, or that of :data:`RELAY_LOG`."""
    return data_dir / "audit" / f"{log_name if log_name == RELAY_LOG else check_tenant(log_name)}.db"


def audits_on_disk(data_dir: Path, tenant: str | None = None) -> Sequence[str]:
    """The names of the logs that have a file, sorted; or of one tenant, if it has one."""
    names = sorted(path.stem for path in (data_dir / "audit").glob("*.db") if _is_made(path))
    return names if tenant is None else [name for name in names if name == tenant]


def _is_made(path: Path) -> bool:
    """Not so when the relay was killed while it made the file: nothing has been in it yet."""
    identity_path = beside(path, ".identity")
    try:
        return Sidecar.parse(identity_path.read_text("utf-8", errors="replace"), identity_path).state != "creating"
    except (FileNotFoundError, StoreCorrupted):
        # Damage is for whoever opens it to say.
        return True


class AuditTrail:
    """Takes events without waiting, and writes them a little later. Made by :func:`open_audit`."""

    def __init__(
        self,
        data_dir: Path,
        on_written: Callable[[int], None],
        on_lost: Callable[[int], None],
        *,
        rows_max: int = QUEUE_ROWS_MAX,
        stores_max: int = OPEN_STORES_MAX,
    ) -> None:
        self._data_dir = data_dir
        self._on_written, self._on_lost = on_written, on_lost
        self._rows_max, self._stores_max = rows_max, stores_max
        self._gate = FloodGate()
        self._rows: deque[Row] = deque()
        self._on_disk: set[str] = set()
        # From the one used the longest ago to the latest.
        self._open: dict[str, tuple[SqliteStore, AsyncExitStack]] = {}
        self._using = asyncio.Lock()
        self._ending = asyncio.Event()

    def note(self, event: AuditEvent) -> None:
        """Put an event on record. Never waits and never fails: what can't be written is counted and logged."""
        for row in self._gate.take(self._log_of(event.tenant), event, time.monotonic()):
            self._queue(row)

    async def events(
        self, tenant: str, *, since_ms: int = 0, kinds: Collection[str] = (), limit: int = ROWS_READ_MAX
    ) -> Sequence[AuditEvent]:
        """The latest events of a tenant, at most ``limit``, in the order in which they were written; what was noted
        just now may not be among them yet. Raises :class:`StoreError`."""
        if tenant not in audits_on_disk(self._data_dir):
            return ()
        async with self._using:
            return await select_events(await self._store(tenant), since_ms=since_ms, kinds=kinds, limit=limit)

    async def flush(self) -> None:
        """Write what is waiting; what the disk does not take goes on waiting."""
        async with self._using:
            waiting: dict[tuple[str, str], list[Row]] = {}
            while self._rows:
                row = self._rows.popleft()
                waiting.setdefault((row[0], month_of(row[1].at_ms)), []).append(row)
            for (name, month), rows in waiting.items():
                records = [Record(event.to_bytes(), event.subject, event.at_ms) for _, event in rows]
                try:
                    await (await self._store(name)).log(month).append(records)
                    self._on_written(len(rows))
                except (StoreError, OSError) as error:
                    log.error("audit log not written", log=name, rows=len(rows), error=str(error))
                    for row in rows:
                        self._queue(row)

    async def write(self) -> None:
        """Write what is noted until :meth:`end`, and then the rest."""
        async with self._using:
            try:
                await self._store(RELAY_LOG)
            except (StoreError, OSError) as error:
                log.error("audit log not opened", log=RELAY_LOG, error=str(error))
        while not self._ending.is_set():
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self._ending.wait()
            except TimeoutError:
                for row in self._gate.due(time.monotonic()):
                    self._queue(row)
                await self.flush()
        for row in self._gate.rest():
            self._queue(row)
        await self.flush()
        if self._rows:
            self._lose(len(self._rows))
        async with self._using:
            while self._open:
                await self._close(next(iter(self._open)))

    def end(self) -> None:
        self._ending.set()

    def _log_of(self, tenant: str | None) -> str:
        if tenant is None:
            return RELAY_LOG
        if tenant not in self._on_disk:
            # Whoever makes up names must not make files with them.
            if not TENANT.fullmatch(tenant) or not tenant_file(self._data_dir, tenant).exists():
                return RELAY_LOG
            self._on_disk.add(tenant)
        return tenant

    def _queue(self, row: Row) -> None:
        if len(self._rows) >= self._rows_max:
            self._lose(row[1].count)
        else:
            self._rows.append(row)

    def _lose(self, count: int) -> None:
        self._on_lost(count)
        log.error("audit events lost", count=count)

    async def _store(self, name: str) -> SqliteStore:
        """The store of a log, opened when it is needed; the one not used for the longest is closed for it."""
        found = self._open.pop(name, None)
        if found is not None and found[0].failure is not None:
            await found[1].aclose()
            found = None
        if found is None:
            while len(self._open) >= self._stores_max:
                await self._close(next(name for name in self._open if name != RELAY_LOG))
            path, stack = audit_file(self._data_dir, name), AsyncExitStack()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = await stack.enter_async_context(open_sqlite_store(path, create=True, kind=KIND)), stack
        self._open[name] = found
        return found[0]

    async def _close(self, name: str) -> None:
        _, stack = self._open.pop(name)
        try:
            await stack.aclose()
        except StoreError as error:
            # What was appended is on disk; the next opening looks at the file anew.
            log.error("audit log not closed", log=name, error=str(error))


def is_written_by_a_relay(data_dir: Path) -> bool:
    """Whether a relay runs on this directory, which notes what commands order."""
    return is_held(audit_file(data_dir, RELAY_LOG))


@asynccontextmanager
async def open_audit(
    data_dir: Path, *, on_written: Callable[[int], None], on_lost: Callable[[int], None]
) -> AsyncIterator[AuditTrail]:
    """The audit logs of ``data_dir``; on leaving, all that was noted is on disk, or counted as lost."""
    trail = AuditTrail(data_dir, on_written, on_lost)
    writing = asyncio.create_task(trail.write(), name="write the audit log")
    try:
        yield trail
    finally:
        trail.end()
        await asyncio.wait([writing])
        writing.result()


async def read_audit(
    data_dir: Path, log_name: str, *, since_ms: int = 0, kinds: Collection[str] = (), limit: int = ROWS_READ_MAX
) -> Sequence[AuditEvent]:
    """The latest events of a log whose file is there, read from a copy, so that a relay may go on writing.

    Raises :class:`StoreError`."""
    path = audit_file(data_dir, log_name)
    with TemporaryDirectory(prefix="crdt-sync-audit-") as folder:
        copy = Path(folder) / path.name
        identity = await copy_store(path, copy, kind=KIND)
        write_sidecar(copy, Sidecar(identity, "closed"))
        async with open_sqlite_store(copy, create=False, kind=KIND) as store:
            return await select_events(store, since_ms=since_ms, kinds=kinds, limit=limit)


async def select_events(store: Store, *, since_ms: int, kinds: Collection[str], limit: int) -> Sequence[AuditEvent]:
    """The latest events of an audit store, in the order in which they were written."""
    found: deque[AuditEvent] = deque(maxlen=limit)
    for month in await store.documents():
        if month >= month_of(since_ms):
            records = (await store.log(month).load()).tail
            events = (AuditEvent.parse(record.update) for record in records if record.at_ms >= since_ms)
            found.extend(event for event in events if not kinds or event.kind in kinds)
    return list(found)


def month_of(at_ms: int) -> str:
    """The UTC month of a time, such as ``2026-11``: the name of the log that it belongs to."""
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m}"
