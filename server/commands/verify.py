"""``crdt-sync verify``: is everything that was written still there, and does it make documents?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from crdt_sync.errors import StoreCorrupted, StoreError, StoreTooNew, SyncError
from crdt_sync.stores.sqlite import SqliteStore, open_sqlite_store
from crdt_sync.stores.update_log import Figures
from server.commands.deep import check_document, check_file
from server.commands.documents import Progress, opened_scribes, opened_store, run, served, tenants_named, ward_of
from server.commands.options import Config, Data, Tenant
from server.scribes.pool import Scribes
from server.settings import Settings, load_settings
from server.storage.audit import KIND as AUDIT
from server.storage.audit import audit_file, audits_on_disk
from server.storage.quarantine import opened_quarantine, quarantine_file, read_ward

EXIT_DAMAGED = 1
Deep = Annotated[bool, typer.Option("--deep", help="Ask everything that can be asked; takes several times as long.")]


@dataclass(frozen=True, slots=True)
class Finding:
    """One document's verdict; ``flaw`` is None when it is whole."""

    document: str
    figures: Figures | None
    flaw: str | None
    is_document: bool = True
    """Not so for what stands beside the documents: the audit log."""


def verify(data: Data = None, tenant: Tenant = None, config: Config = None, deep: Deep = False) -> None:
    """Check every row's checksum, and that each snapshot equals the log that it stands for.

    With --deep also: the file's structure, every update of the log against the gate, the ledgers of snapshots, and
    every typed read of documents of ours.

    Exit code 1 when anything is damaged. The relay must be stopped.
    """
    run(_verify(load_settings(config, data_dir=data), tenant, deep=deep))


async def _verify(settings: Settings, tenant: str | None, *, deep: bool) -> int:
    findings = [finding async for finding in verify_data(settings, tenant, deep=deep)]
    flawed = 0
    for finding in findings:
        if finding.flaw is not None:
            flawed += 1
            typer.echo(f"DAMAGED  {finding.document}: {finding.flaw}")
        elif finding.figures is not None:
            figures, what = finding.figures, "updates" if finding.is_document else "events"
            typer.echo(f"ok       {finding.document}: {figures.last_seq} {what}, {figures.records} of them in the log")
    documents = sum(finding.is_document for finding in findings)
    typer.echo(f"{documents} documents, {flawed} damaged")
    return EXIT_DAMAGED if flawed else 0


async def verify_data(settings: Settings, tenant: str | None = None, *, deep: bool = False) -> AsyncIterator[Finding]:
    """Check all documents of a data directory, or of one tenant.

    Raises :class:`StoreUnavailable` while a relay holds them.
    """
    data_dir: Path = settings.data_dir
    async with opened_scribes(settings) as scribes:
        for name in tenants_named(data_dir, tenant):
            try:
                async with opened_store(data_dir, name) as store:
                    if deep:
                        await check_file(store)
                    for document in await store.documents():
                        yield await _verify_document(store, scribes, name, document, deep=deep)
                if quarantine_file(data_dir, name).exists():
                    async for finding in _verify_quarantine(data_dir, name):
                        yield finding
            except (StoreCorrupted, StoreTooNew) as error:
                yield Finding(name, None, str(error))

    for name in audits_on_disk(data_dir, tenant):
        async for finding in _verify_audit(data_dir, name):
            yield finding


async def _verify_audit(data_dir: Path, name: str) -> AsyncIterator[Finding]:
    try:
        async with open_sqlite_store(audit_file(data_dir, name), create=False, kind=AUDIT) as store:
            for month in await store.documents():
                shown = f"{name}/{month} (audit log)"
                try:
                    yield Finding(shown, await store.verify(month), None, is_document=False)
                except StoreError as error:
                    yield Finding(shown, None, str(error), is_document=False)
    except (StoreCorrupted, StoreTooNew) as error:
        yield Finding(f"{name} (audit log)", None, str(error), is_document=False)


async def _verify_quarantine(data_dir: Path, tenant: str) -> AsyncIterator[Finding]:
    async with opened_quarantine(data_dir, tenant) as quarantine:
        for document in await quarantine.documents():
            name = f"{tenant}/{document} (quarantine)"
            try:
                figures = await quarantine.verify(document)
                await read_ward(quarantine, document)
            except SyncError as error:
                yield Finding(name, None, str(error))
            else:
                yield Finding(name, figures, None)


async def _verify_document(store: SqliteStore, scribes: Scribes, tenant: str, document: str, *, deep: bool) -> Finding:
    name = f"{tenant}/{document}"
    progress = Progress(name)
    try:
        figures = await store.verify(document, progress=progress)
        await _check_content(store, scribes, document)
        if deep:
            await check_document(store, scribes, document)
    except SyncError as error:
        return Finding(name, None, str(error))
    finally:
        progress.end()
    return Finding(name, figures, None)


async def _check_content(store: SqliteStore, scribes: Scribes, document: str) -> None:
    """The snapshot says what its log said, and with the log after it, it makes a document."""
    update_log = store.log(document)
    # What is set aside was checked as rows are; to load it is what must not be done.
    loaded = await served(store, document)
    state = None if loaded.snapshot is None else loaded.snapshot.state
    if loaded.snapshot is not None and not (await ward_of(store, document)).kept:
        before = await update_log.load_from_previous()
        older, began = (None, 0) if before.snapshot is None else (before.snapshot.state, before.snapshot.through)
        replaced = before.tail[: loaded.snapshot.through - began]
        await scribes.check(loaded.snapshot.state, older, [record.update for record in replaced])
    await scribes.compact(state, [record.update for record in loaded.tail])
