"""``crdt-sync rooms``: what is in a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.commands.documents import opened_store, run, tenants_named
from server.commands.options import Config, Data, Tenant
from server.settings import load_settings

COLUMNS = ("document", "updates", "in log", "log bytes", "snapshot bytes")


def rooms(
    data: Data = None,
    tenant: Tenant = None,
    config: Config = None,
    plain: Annotated[bool, typer.Option(help="Tab-separated, without a header.")] = False,
) -> None:
    """List every document with its number of updates and its size. The relay must be stopped."""
    run(_rooms(load_settings(config, data_dir=data).data_dir, tenant, plain))


async def _rooms(data_dir: Path, tenant: str | None, plain: bool) -> int:
    rows: list[tuple[str, ...]] = []
    for name in tenants_named(data_dir, tenant):
        async with opened_store(data_dir, name) as store:
            for document in await store.documents():
                sizes = await store.figures(document)
                figures = (sizes.last_seq, sizes.records, sizes.record_bytes, sizes.snapshot_bytes)
                rows.append((f"{name}/{document}", *map(str, figures)))
    if plain:
        for row in rows:
            typer.echo("\t".join(row))
        return 0
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        first, *rest = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        typer.echo("  ".join(cells))
    return 0
