"""``crdt-sync retire``: end a document, and overwrite what it held."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from crdt_sync.errors import DocumentRetired, InvalidName
from server.commands.documents import opened_store, run, tenants_named
from server.commands.options import Config, Data
from server.settings import load_settings
from server.storage.quarantine import erase, opened_quarantine, quarantine_file
from server.storage.retiring import Order

EXIT_ENDED_OTHERWISE = 1


def retire(
    tenant: Annotated[str, typer.Argument(help="The tenant, such as acme.")],
    document: Annotated[str, typer.Argument(help="The document, such as pii/customer-1042 or metrics/2024-01.")],
    why: Annotated[str, typer.Option(help="Why; everybody who asks for the document reads it, for good.")],
    successor: Annotated[str | None, typer.Option(help="The document that it goes on in.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """End a document for good: its bytes are overwritten, and every peer that syncs drops its own copy.

    Do so also for a document that the relay never had: a peer may still bring it. The relay must be stopped.
    """
    try:
        order = Order.parse(document, why, successor)
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from error
    run(_retire(load_settings(config, data_dir=data).data_dir, tenant, order))


async def _retire(data_dir: Path, tenant: str, order: Order) -> int:
    tenants_named(data_dir, tenant)
    async with opened_store(data_dir, tenant) as store:
        try:
            at_ms = time.time_ns() // 1_000_000
            note = await store.retire(order.document, order.why, at_ms, order.successor)
            if quarantine_file(data_dir, tenant).exists():
                async with opened_quarantine(data_dir, tenant) as quarantine:
                    await erase(quarantine, order, at_ms)
        except DocumentRetired as error:
            typer.echo(f"{tenant}/{error.document} has ended before: {error}", err=True)
            return EXIT_ENDED_OTHERWISE
    typer.echo(f"{tenant}/{note.document} {note.error()}")
    return 0
