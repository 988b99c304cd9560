"""``crdt-sync import``: a Yjs v1 update file into a document."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from crdt_sync.errors import ProtocolError, ReplicaBroken, ScribeDied, SnapshotMismatch
from crdt_sync.limits import Limits
from crdt_sync.stores.update_log import Loaded, Record
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.legacy import convert_legacy
from crdt_sync.values import check_document
from server.commands.documents import opened_scribes, opened_store, run, served, tenants_named
from server.commands.options import Config, Data
from server.settings import Settings, load_settings

AUTHOR: Final = "import"
EXIT_REFUSED: Final = 1
REMEDY: Final = (
    "If Yjs itself reads it, load it in Node, copy its contents into a new Y.Doc, and import that one: "
    "docs/how-to/back-up-and-restore.md shows how"
)


def import_update(
    tenant: Annotated[str, typer.Argument(help="The tenant, such as acme.")],
    document: Annotated[str, typer.Argument(help="The document, such as inventory/catalog.")],
    file: Annotated[Path, typer.Argument(help="A Yjs v1 update: what Y.encodeStateAsUpdate returns.")],
    merge: Annotated[bool, typer.Option("--merge", help="Merge it into a document that has other content.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make the tenant if the relay never had it.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Bring a Yjs v1 update file into a document, through the same gate as a client's edit. The relay must be stopped.

    Nothing is written unless the document can be loaded with it. Importing the same file twice changes nothing.
    Elements of a kind that only Yjs before 13.0 wrote are converted to what Yjs writes today.
    """
    settings = load_settings(config, data_dir=data)
    check_document(document)
    if not create:
        tenants_named(settings.data_dir, tenant)
    try:
        size = file.stat().st_size
        raw = file.read_bytes() if size <= settings.limits.document_bytes_max else b""
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from error
    if not raw:
        limit = settings.limits.document_bytes_max
        raise typer.BadParameter(f"{file} has {size} bytes; it must have 1 to limits.document_bytes_max = {limit}")
    run(_import(settings, tenant, document, raw, merge=merge, create=create))


async def _import(settings: Settings, tenant: str, document: str, raw: bytes, *, merge: bool, create: bool) -> int:
    name = f"{tenant}/{document}"
    try:
        # Before a tenant is made for it.
        converted = convert_legacy(raw, settings.limits.for_stored())
        update = decode_update(converted.update, settings.limits.for_stored())
    except ProtocolError as error:
        return _refused(f"the file is no update that {name} can take: {error}. {REMEDY}")
    if converted.elements:
        typer.echo(f"{converted.elements:,} elements of a kind that Yjs wrote before 13.0 are converted")
    async with opened_store(settings.data_dir, tenant, create=create) as store, opened_scribes(settings) as scribes:
        log = store.log(document)
        loaded = await served(store, document)
        try:
            verdict = _judged(update, loaded, settings.limits)
        except ProtocolError as error:
            return _refused(f"the file is no update that {name} can take: {error}")
        if verdict.gap:
            return _refused("the file builds on something that is not in it; export the whole state of its document")
        if verdict.fresh is None:
            typer.echo(f"{name} holds all of it already")
            return 0
        if loaded.last_seq and not merge:
            return _refused(f"{name} is there already and holds other content; --merge merges the file into it")
        state = None if loaded.snapshot is None else loaded.snapshot.state
        try:
            await scribes.compact(state, [*(record.update for record in loaded.tail), verdict.fresh.raw])
        except (ReplicaBroken, ScribeDied, SnapshotMismatch) as error:
            return _refused(f"no document can be made with the file: {error}. {REMEDY}")
        await log.append([Record(verdict.fresh.raw, AUTHOR, time.time_ns() // 1_000_000)])
    typer.echo(f"{name} holds {len(verdict.fresh.raw):,} bytes more")
    return 0


def _judged(update: DecodedUpdate, loaded: Loaded, limits: Limits) -> Verdict:
    """What the gate says. Its bounds on a single update don't hold here: a file may be a document's whole life."""
    stored = limits.for_stored()
    ledger = Ledger(remembers=True)
    if loaded.snapshot is not None:
        ledger = Ledger.decode(loaded.snapshot.ledger, remembers=True)
    for record in loaded.tail:
        fresh = judge(decode_update(record.update, stored), ledger, stored).fresh
        if fresh is not None:
            ledger.admit(fresh)
    return judge(update, ledger, stored)


def _refused(why: str) -> int:
    typer.echo(f"nothing was written: {why}", err=True)
    return EXIT_REFUSED
