"""``crdt-sync epoch``: begin a document anew, with what is alive in it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from crdt_sync.documents.names import next_epoch
from crdt_sync.errors import DocumentError, DocumentRetired, SnapshotMismatch, WrongKind
from crdt_sync.values import check_document
from server.commands.documents import opened_store, run, tenants_named
from server.commands.options import Config, Data
from server.settings import Settings, load_settings

EXIT_REFUSED: Final = 1


def epoch(
    tenant: Annotated[str, typer.Argument(help="The tenant, such as acme.")],
    document: Annotated[str, typer.Argument(help="The document, such as inventory/catalog.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Begin a document anew under the name of its next epoch, such as inventory/catalog.2, and end the old one.

    Keys, client ids and settled conflicts stay behind; values and open conflicts are taken over. Python peers follow by
    themselves; pages read the new name in the reason of close code 4410. The relay must be stopped.
    """
    try:
        successor = next_epoch(check_document(document))
    except DocumentError as error:
        raise typer.BadParameter(str(error)) from error
    run(_epoch(load_settings(config, data_dir=data), tenant, document, successor))


async def _epoch(settings: Settings, tenant: str, document: str, successor: str) -> int:
    # It loads a document, which the relay's process, this program too, must never do.
    from server.commands.renewal import renew

    tenants_named(settings.data_dir, tenant)
    async with opened_store(settings.data_dir, tenant) as store:
        try:
            renewal = await renew(store, document, successor, settings.limits)
        except DocumentRetired as error:
            typer.echo(f"{tenant}/{error.document} has ended before: {error}", err=True)
            return EXIT_REFUSED
        except (WrongKind, SnapshotMismatch) as error:
            typer.echo(f"{tenant}/{document} stays as it is: {error}", err=True)
            return EXIT_REFUSED
    typer.echo(f"{tenant}/{document} goes on as {tenant}/{successor}: {renewal.entries} entries in it")
    typer.echo(f"open conflicts taken over: {renewal.conflicts}")
    for what, count in sorted(renewal.left_out.items()):
        if count:
            typer.echo(f"left out: {count} {what}")
    return 0
