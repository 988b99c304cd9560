"""``crdt-sync restore``: the stores of a backup, put back where there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from crdt_sync.stores.update_log import Retirement
from server.commands.documents import Stages, opened_store, run, tenants_named
from server.commands.options import Config, Data, Tenant
from server.settings import load_settings
from server.storage.backups import Manifest, read_backup
from server.storage.restoring import is_occupied, restore_audit, restore_tenant
from server.storage.tenants import tenants_on_disk


def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="The folder that crdt-sync backup has made.")],
    tenant: Tenant = None,
    retired_in: Annotated[
        Path | None,
        typer.Option(
            "--retired-in",
            metavar="DATA",
            help="The data directory from before: what was erased there since the backup is not brought back.",
        ),
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Put the tenants of a backup into a data directory that has none of them. The relay must be stopped.

    Every byte of the backup is checked before anything is written. Peers and pages that have later edits bring them
    when they connect.
    """
    data_dir = load_settings(config, data_dir=data).data_dir
    if retired_in is not None and not retired_in.is_dir():
        raise typer.BadParameter(f"{retired_in} is not there")
    run(_restore(source, tenant, data_dir, retired_in))


async def _restore(source: Path, tenant: str | None, data_dir: Path, retired_in: Path | None) -> int:
    with Stages() as stages:
        manifest = read_backup(source, progress=stages)
        tenants = _wanted(manifest, tenant, source)
        for name in tenants:
            if is_occupied(data_dir, name):
                raise typer.BadParameter(f"{data_dir} has a tenant {name} already; move it away first")
        notes = {name: await _notes(retired_in, name) for name in tenants}
        for name in tenants:
            copy = manifest.tenants[name]
            again = [note for note in notes[name] if note.successor is None]
            kept = manifest.quarantines.get(name)
            await restore_tenant(source, copy, data_dir, name, quarantine=kept, retire=again, progress=stages)
        audits = {name: manifest.audits[name] for name in _audits(manifest, tenants)}
        there = [
            name for name in audits if not await restore_audit(source, audits[name], data_dir, name, progress=stages)
        ]
    for name in there:
        typer.echo(f"the audit log of {name} is there already, and stays as it is")
    for name in tenants:
        documents = len(manifest.tenants[name].contents.documents)
        typer.echo(f"ok  {name}: {documents} documents, as of {manifest.made_at}")
    typer.echo("the steward rests until TENANT.db.restored is removed; do so when all devices have synced")
    _tell_retired(manifest, notes)
    for name, why in manifest.left_out.items():
        typer.echo(f"not in the backup: {name}: {why}", err=True)
    return 0


def _audits(manifest: Manifest, tenants: Sequence[str]) -> Sequence[str]:
    """The audit logs to put back: those of the tenants, and with every tenant the relay's own."""
    is_all = set(tenants) == set(manifest.tenants)
    return sorted(name for name in manifest.audits if name in tenants or (is_all and name not in manifest.tenants))


def _wanted(manifest: Manifest, tenant: str | None, source: Path) -> Sequence[str]:
    if tenant is None:
        return sorted(manifest.tenants)
    if tenant not in manifest.tenants:
        raise typer.BadParameter(f"{source} has no tenant {tenant}; it has {', '.join(sorted(manifest.tenants))}")
    return [tenant]


async def _notes(retired_in: Path | None, tenant: str) -> Sequence[Retirement]:
    """What has ended according to another data directory; raises :class:`StoreError` if that can't say."""
    if retired_in is None or tenant not in tenants_on_disk(retired_in):
        return ()
    tenants_named(retired_in, tenant)
    async with opened_store(retired_in, tenant) as store:
        return await store.retirements()


def _tell_retired(manifest: Manifest, notes: Mapping[str, Sequence[Retirement]]) -> None:
    for tenant, ended in notes.items():
        before = manifest.tenants[tenant].contents.retired
        for note in ended:
            if note.document in before:
                continue
            if note.successor is None:
                typer.echo(f"retired again: {tenant}/{note.document} ({note.why})")
            else:
                typer.echo(
                    f"begun anew since: {tenant}/{note.document} as {note.successor}; it is there as it was before"
                )
