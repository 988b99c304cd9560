"""``crdt-sync inspect``: one document as JSON."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from crdt_sync.values import RoomId
from server.commands.documents import opened_scribes, opened_store, run, served, tenants_named
from server.commands.options import Config, Data
from server.settings import Settings, load_settings


def inspect(
    document: Annotated[str, typer.Argument(metavar="DOC", help="Tenant and document: acme/inventory/catalog")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Print a document's roots as JSON. The relay must be stopped."""
    run(_inspect(RoomId.parse(document), load_settings(config, data_dir=data)))


async def _inspect(room: RoomId, settings: Settings) -> int:
    tenants_named(settings.data_dir, room.tenant)
    async with opened_store(settings.data_dir, room.tenant) as store, opened_scribes(settings) as scribes:
        if room.document not in await store.documents():
            raise typer.BadParameter(f"tenant {room.tenant} has no document {room.document}; see crdt-sync rooms")
        loaded = await served(store, room.document)
        state = None if loaded.snapshot is None else loaded.snapshot.state
        view = await scribes.view(state, [record.update for record in loaded.tail])
    typer.echo(json.dumps(view, ensure_ascii=False, indent=2, sort_keys=True))
    return 0
