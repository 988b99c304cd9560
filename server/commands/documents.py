"""What the commands that look into a data directory have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import typer

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Loaded
from crdt_sync.values import check_tenant
from server.rooms.quarantine import load_log, serve
from server.scribes.pool import Scribes, open_scribes
from server.settings import Settings
from server.storage.quarantine import Ward, opened_quarantine, quarantine_file, read_ward
from server.storage.tenants import KIND, tenant_file, tenants_on_disk

SILENT_S = 2.0
"""Work that takes longer shows how far it is."""


def tenants_named(data_dir: Path, tenant: str | None) -> Sequence[str]:
    """The tenants on disk, or the one asked for. Ends the command when there is none."""
    found = tenants_on_disk(data_dir)
    if tenant is not None:
        if check_tenant(tenant) not in found:
            raise typer.BadParameter(f"{data_dir} has no tenant {tenant}; it has {', '.join(found) or 'none'}")
        return [tenant]
    if not data_dir.is_dir():
        raise typer.BadParameter(f"{data_dir} is not there; name the relay's directory with --data")
    return found


@asynccontextmanager
async def opened_store(data_dir: Path, tenant: str, *, create: bool = False) -> AsyncIterator[SqliteStore]:
    """A tenant's store, which must be there unless ``create`` is set. Raises :class:`StoreUnavailable` while a relay
    holds it."""
    path = tenant_file(data_dir, tenant)
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    async with open_sqlite_store(path, create=create, kind=KIND) as store:
        yield store


async def ward_of(store: SqliteStore, document: str) -> Ward:
    """What was set aside of a document of a tenant's ``store``; the relay must be stopped. Raises StoreError."""
    data_dir, tenant = store.path.parent.parent, store.path.stem
    if not quarantine_file(data_dir, tenant).exists():
        return Ward()
    async with opened_quarantine(data_dir, tenant) as quarantine:
        return await read_ward(quarantine, document)


async def served(store: SqliteStore, document: str) -> Loaded:
    """A document as the relay serves it: without what was set aside, which nothing may load. Raises StoreError."""
    ward = await ward_of(store, document)
    loaded = await load_log(store.log(document), ward)
    if not ward.kept:
        return loaded
    history = serve(loaded, ward, DEFAULT_LIMITS, document=document)
    updates = zip(loaded.tail, history.tail(), strict=True)
    return replace(loaded, tail=tuple(replace(record, update=update) for record, update in updates))


@asynccontextmanager
async def opened_scribes(settings: Settings) -> AsyncIterator[Scribes]:
    """Scribes as the relay would have them."""
    async with open_scribes(
        count=settings.scribe_count,
        memory_bytes_max=settings.scribe_memory_bytes_max,
        timeout_s=settings.scribe_timeout_s,
        on_death=lambda how: typer.echo(f"a scribe died: {how}", err=True),
    ) as scribes:
        yield scribes


def run(work: Coroutine[Any, Any, int]) -> None:
    """Run a command's work; its result is the exit code."""
    if code := asyncio.run(work):
        raise typer.Exit(code)


class Progress:
    """One line on standard error, rewritten in place, once the work takes longer than two seconds."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._shown_at_s = time.monotonic() + SILENT_S
        self._is_shown = False

    def __call__(self, done: int, total: int) -> None:
        now_s = time.monotonic()
        if now_s >= self._shown_at_s:
            self._shown_at_s = now_s + 0.2
            self._is_shown = True
            typer.echo(f"\r{self.what}: {done:,} of {total:,}\033[K", nl=False, err=True)

    def end(self) -> None:
        """Leave the line behind."""
        if self._is_shown:
            typer.echo(err=True)


class Stages:
    """Progress of work that has several parts, all on one line; ``with`` leaves it behind."""

    def __init__(self) -> None:
        self._progress = Progress("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.end()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far ``what`` is, once all of it has taken longer than two seconds."""
        self._progress.what = what
        self._progress(done, total)
