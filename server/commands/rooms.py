"""``crdt-sync rooms``: what is in a data directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from server.commands.documents import opened_store, run, tenants_named
from server.commands.options import Config, Data, Tenant
from server.settings import load_settings

COLUMNS = ("document", "updates", "in log", "log bytes", "snapshot bytes")
ENDED_COLUMNS = ("document", "ended", "goes on in", "why")


def rooms(
    data: Data = None,
    tenant: Tenant = None,
    config: Config = None,
    plain: Annotated[bool, typer.Option(help="Tab-separated, without a header.")] = False,
    ended: Annotated[bool, typer.Option("--ended", help="List the documents that have ended, and why.")] = False,
) -> None:
    """List every document with its number of updates and its size. The relay must be stopped."""
    data_dir = load_settings(config, data_dir=data).data_dir
    run(_ended(data_dir, tenant, plain) if ended else _rooms(data_dir, tenant, plain))


async def _ended(data_dir: Path, tenant: str | None, plain: bool) -> int:
    rows: list[tuple[str, ...]] = []
    for name in tenants_named(data_dir, tenant):
        async with opened_store(data_dir, name) as store:
            for note in await store.retirements():
                when = datetime.fromtimestamp(note.at_ms / 1_000, UTC).isoformat(timespec="seconds")
                rows.append((f"{name}/{note.document}", when, note.successor or "-", note.why))
    show_table(ENDED_COLUMNS, rows, plain, numbers=False)
    return 0


async def _rooms(data_dir: Path, tenant: str | None, plain: bool) -> int:
    rows: list[tuple[str, ...]] = []
    for name in tenants_named(data_dir, tenant):
        async with opened_store(data_dir, name) as store:
            for document in await store.documents():
                sizes = await store.figures(document)
                figures = (sizes.last_seq, sizes.records, sizes.record_bytes, sizes.snapshot_bytes)
                rows.append((f"{name}/{document}", *map(str, figures)))
    show_table(COLUMNS, rows, plain, numbers=True)
    return 0


def show_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], plain: bool, *, numbers: bool) -> None:
    """Print a table. Behind the first column stand ``numbers``, or text."""
    if plain:
        for row in rows:
            typer.echo("\t".join(row))
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    align = str.rjust if numbers else str.ljust
    for row in (columns, *rows):
        first, *rest = row
        cells = [first.ljust(widths[0]), *(align(cell, width) for cell, width in zip(rest, widths[1:], strict=True))]
        typer.echo("  ".join(cells).rstrip())
