"""``crdt-sync backup``: a copy of the tenants' stores, while the relay goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Final

import typer

from server.commands.documents import Stages, run, tenants_named
from server.commands.options import Config, Data
from server.settings import load_settings
from server.storage.backups import make_backup

EXIT_LEFT_OUT: Final = 1


def backup(
    places: Annotated[
        list[str],
        typer.Argument(metavar="TENANT TO", help="The tenant, and the folder to make; only the folder with --all."),
    ],
    every: Annotated[bool, typer.Option("--all", help="Every tenant of the data directory.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Copy a tenant's documents into a new folder, and check every row of the copy. The relay may run.

    All that was acknowledged before the command began is in it. The folder appears when it is whole, with a manifest
    and checksums. Exit code 1 when a tenant was left out because its store is damaged.
    """
    if len(places) != (1 if every else 2):
        raise typer.BadParameter("name a tenant and the folder to make, or --all and the folder")
    data_dir = load_settings(config, data_dir=data).data_dir
    to = Path(places[-1])
    if to.exists():
        raise typer.BadParameter(f"{to} is there already; a backup goes into a folder of its own")
    tenants = list(tenants_named(data_dir, None if every else places[0]))
    if not tenants:
        raise typer.BadParameter(f"{data_dir} has no tenants")
    run(_backup(data_dir, tenants, to))


async def _backup(data_dir: Path, tenants: list[str], to: Path) -> int:
    made_at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    with Stages() as stages:
        made = await make_backup(data_dir, tenants, to, program=_program(), made_at=made_at, progress=stages)
    for tenant, copy in made.tenants.items():
        typer.echo(f"ok        {tenant}: {len(copy.contents.documents)} documents, {copy.bytes:,} bytes")
    for tenant, why in made.left_out.items():
        typer.echo(f"LEFT OUT  {tenant}: {why}")
    typer.echo(f"{to} is whole and checked")
    return EXIT_LEFT_OUT if made.left_out else 0


def _program() -> str:
    try:
        return f"crdt-sync {version('crdt-sync')}"
    except PackageNotFoundError:
        # Run from its sources.
        return "crdt-sync"
