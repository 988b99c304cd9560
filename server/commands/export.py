"""``crdt-sync export``: documents as files that any Yjs reads."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from crdt_sync.errors import ScribeError, SyncError
from crdt_sync.stores.sqlite import SqliteStore
from crdt_sync.values import check_document
from server.commands.documents import Stages, opened_scribes, opened_store, run, served, tenants_named
from server.commands.options import Config, Data
from server.scribes.pool import Scribes
from server.settings import Settings, load_settings

EXIT_LEFT_OUT: Final = 1
UPDATE_SUFFIX, VIEW_SUFFIX = ".yjs", ".json"


def export(
    tenant: Annotated[str, typer.Argument(help="The tenant, such as acme.")],
    places: Annotated[
        list[str],
        typer.Argument(metavar="[DOCUMENT] TO", help="The document, or else every one; and the folder to make."),
    ],
    data: Data = None,
    config: Config = None,
) -> None:
    """Write documents as Yjs v1 updates, NAME.yjs, and as JSON beside them. The relay must be stopped.

    A document that can't be exported is left out and told, and the exit code is 1.
    """
    if len(places) > 2:
        raise typer.BadParameter("name a document and the folder to make, or only the folder")
    settings = load_settings(config, data_dir=data)
    to = Path(places[-1])
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise typer.BadParameter(f"{to} is there already, and not empty")
    tenants_named(settings.data_dir, tenant)
    run(_export(settings, tenant, check_document(places[0]) if len(places) == 2 else None, to))


async def _export(settings: Settings, tenant: str, document: str | None, to: Path) -> int:
    left_out = 0
    async with opened_store(settings.data_dir, tenant) as store, opened_scribes(settings) as scribes:
        names = await store.documents()
        if document is not None and document not in names:
            raise typer.BadParameter(f"tenant {tenant} has no document {document}; see crdt-sync rooms")
        names = names if document is None else [document]
        with Stages() as stages:
            for done, name in enumerate(names):
                stages(f"{tenant}: documents exported", done, len(names))
                try:
                    await _export_document(store, scribes, name, to)
                except (SyncError, OSError) as error:
                    left_out += 1
                    typer.echo(f"LEFT OUT  {tenant}/{name}: {error}")
    typer.echo(f"{len(names) - left_out} documents exported to {to}")
    return EXIT_LEFT_OUT if left_out else 0


async def _export_document(store: SqliteStore, scribes: Scribes, name: str, to: Path) -> None:
    loaded = await served(store, name)
    snapshot = None if loaded.snapshot is None else loaded.snapshot.state
    updates: Sequence[bytes] = [record.update for record in loaded.tail]
    exported = await scribes.compact(snapshot, updates)
    try:
        view: dict[str, Any] | None = await scribes.view(None, [exported.state])
    except ScribeError as error:
        # The update is what counts; what it says may be more than a view can hold.
        typer.echo(f"without JSON: {name}: {error}", err=True)
        view = None
    # Names of documents hold no dots that lead upwards, and with a suffix `shop` does not stand in the way of `shop/a`.
    target = to.joinpath(*name.split("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target.with_name(target.name + UPDATE_SUFFIX), exported.state)
    if view is not None:
        text = json.dumps(view, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        _write(target.with_name(target.name + VIEW_SUFFIX), text.encode())


def _write(path: Path, content: bytes) -> None:
    with path.with_name(path.name + ".partial").open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)
