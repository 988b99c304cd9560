"""``crdt-sync quarantine``: what was set aside because it ends what loads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from crdt_sync.errors import ReplicaBroken, ScribeDied, SnapshotMismatch
from crdt_sync.stores.update_log import Record
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.pieces import EMPTY_UPDATE
from crdt_sync.updates.withheld import NOTHING, ready_part
from crdt_sync.values import check_document
from server.commands.documents import opened_scribes, opened_store, run, tenants_named
from server.commands.options import Config, Data
from server.commands.revoke import note_event
from server.rooms.history import History
from server.rooms.quarantine import QUARANTINE_MARK, load_log, serve
from server.scribes.pool import Scribes
from server.settings import Settings, load_settings
from server.storage.audit_events import AuditEvent
from server.storage.quarantine import Fate, SetAside, drop, keep, opened_quarantine, quarantine_file, read_ward

EXIT_REFUSED: Final = 1
HEX_BYTES_MAX: Final = 1 << 20

TenantName = Annotated[str, typer.Option("--tenant", help="The tenant.")]
DocumentName = Annotated[str, typer.Option("--document", help="The document.")]
AnyDocument = Annotated[str | None, typer.Option("--document", help="Only this document.")]
Number = Annotated[int, typer.Option("--number", help="The update's number in the document's log.")]
AnyNumber = Annotated[int | None, typer.Option("--number", help="Only this update, and what builds on it.")]

quarantine = typer.Typer(
    help="See what was set aside because it ends what loads it; bring it back or forget it. The relay must be stopped.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@quarantine.command("list")
def list_all(tenant: TenantName, document: AnyDocument = None, data: Data = None, config: Config = None) -> None:
    """List what was set aside: document, number, author, time, bytes, fate, reason."""
    run(_list(load_settings(config, data_dir=data), tenant, document))


@quarantine.command("show")
def show(tenant: TenantName, document: DocumentName, number: Number, data: Data = None, config: Config = None) -> None:
    """Print one update that was set aside: what is in it, and its bytes in hex."""
    run(_show(load_settings(config, data_dir=data), tenant, check_document(document), number))


@quarantine.command("restore")
def restore(
    tenant: TenantName,
    document: DocumentName,
    number: AnyNumber = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Bring back what was set aside, once a scribe has proven that it loads now, such as after an upgrade."""
    run(_restore(load_settings(config, data_dir=data), tenant, check_document(document), number))


@quarantine.command("drop")
def drop_for_good(
    tenant: TenantName,
    document: DocumentName,
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Forget the bytes of an update for good. That it is not let in again stays."""
    if not yes:
        typer.confirm(f"Forget number {number} of {tenant}/{document} for good?", abort=True)
    run(_drop(load_settings(config, data_dir=data), tenant, check_document(document), number))


async def _list(settings: Settings, tenant: str, document: str | None) -> int:
    tenants_named(settings.data_dir, tenant)
    count = 0
    if quarantine_file(settings.data_dir, tenant).exists():
        async with opened_quarantine(settings.data_dir, tenant) as store:
            for name in await store.documents() if document is None else [check_document(document)]:
                for one in (await read_ward(store, name)).kept:
                    count += 1
                    typer.echo(
                        f"{name}  {one.number}  {one.author}  {_time(one.at_ms)}  {one.size_bytes} bytes"
                        f"  {one.fate}  {one.reason}"
                    )
    typer.echo(f"{count} updates set aside")
    return 0


async def _show(settings: Settings, tenant: str, document: str, number: int) -> int:
    for one in await _entries(settings, tenant, document, number):
        typer.echo(f"number {one.number}, {one.fate}: {one.reason}")
        typer.echo(f"by {one.author or 'somebody'} at {_time(one.at_ms)}, set aside at {_time(one.found_ms)}")
        outline = decode_update(one.update or one.outline, settings.limits.for_stored())
        for client, structs in outline.sections:
            last = structs[-1]
            typer.echo(f"client {client}: clocks {structs[0].clock} to {last.clock + last.length - 1}")
        for client, ranges in outline.deletes.items():
            for start, end in ranges[:20]:
                typer.echo(f"deletes of client {client}: clocks {start} to {end - 1}")
        typer.echo(one.update[:HEX_BYTES_MAX].hex() or "its bytes were dropped")
        if len(one.update) > HEX_BYTES_MAX:
            typer.echo(f"and {len(one.update) - HEX_BYTES_MAX} bytes more")
    return 0


async def _restore(settings: Settings, tenant: str, document: str, number: int | None) -> int:
    wanted = await _entries(settings, tenant, document, number)
    async with (
        opened_store(settings.data_dir, tenant) as store,
        opened_quarantine(settings.data_dir, tenant) as kept,
        opened_scribes(settings) as scribes,
    ):
        ward = await read_ward(kept, document)
        # What builds on a culprit comes back with it, as far as it is ready then.
        found = [
            one
            for one in ward.kept
            if one.fate == Fate.KEPT and (one in wanted or (one.builds_on_others and number is not None))
        ]
        log = store.log(document)
        history = serve(await load_log(log, ward), ward, settings.limits, document=document)
        could_be_read = await _loads(scribes, history, reads=True) is None
        records = [_brought_back(history, one, settings) for one in found]
        back = [one for one, record in zip(found, records, strict=True) if record is not None]
        if not back:
            typer.echo("nothing of it can come back without what else was set aside", err=True)
            return EXIT_REFUSED
        if (why := await _loads(scribes, history, reads=could_be_read)) is not None:
            typer.echo(f"nothing was changed: {why}", err=True)
            return EXIT_REFUSED
        # The log first: killed in between, it is there, and once more restored it is known.
        await log.append([record for record in records if record is not None and record.update != EMPTY_UPDATE])
        seq = await keep(kept, document, [replace(one, fate=Fate.RESTORED) for one in back])
        await log.mark(QUARANTINE_MARK, seq)
    for one in back:
        typer.echo(f"restored  {tenant}/{document}: number {one.number}")
        sentence = f"number {one.number}, by command-line"
        await note_event(settings.data_dir, AuditEvent("restored", tenant, one.author, document, sentence=sentence))
    return 0


def _brought_back(history: History, one: SetAside, settings: Settings) -> Record | None:
    """What of an entry is ready, and taken into ``history``; None when something that it builds on is missing."""
    limits = settings.limits.for_stored()
    update = decode_update(one.update, limits)
    piece = ready_part(update, history.ledger, limits)
    if piece is not NOTHING:
        history.add(piece)
    ledger = history.ledger
    ends = ((client, structs[-1].clock + structs[-1].length) for client, structs in update.sections)
    if any(ledger.clocks.get(client, 0) < end for client, end in ends):
        return None if piece is NOTHING else Record(piece.raw, one.author, one.at_ms)
    return Record(piece.raw, one.author, one.at_ms)


async def _loads(scribes: Scribes, history: History, *, reads: bool) -> str | None:
    """Why the document does not load; None when it does."""
    try:
        await scribes.examine(history.snapshot or None, history.tail(), reads=reads)
    except (ScribeDied, ReplicaBroken, SnapshotMismatch) as error:
        return str(error)
    return None


async def _drop(settings: Settings, tenant: str, document: str, number: int) -> int:
    await _entries(settings, tenant, document, number)
    async with (
        opened_store(settings.data_dir, tenant) as store,
        opened_quarantine(settings.data_dir, tenant) as kept,
    ):
        ward = await drop(kept, document, number)
        await store.log(document).mark(QUARANTINE_MARK, ward.seq)
    typer.echo(f"dropped  {tenant}/{document}: number {number}")
    return 0


async def _entries(settings: Settings, tenant: str, document: str, number: int | None) -> Sequence[SetAside]:
    """The entries asked for. Ends the command when there are none."""
    tenants_named(settings.data_dir, tenant)
    if quarantine_file(settings.data_dir, tenant).exists():
        async with opened_quarantine(settings.data_dir, tenant) as store:
            found = [one for one in (await read_ward(store, document)).kept if number in (None, one.number)]
            if found:
                return found
    raise typer.BadParameter(f"nothing of that is set aside; see crdt-sync quarantine list --tenant {tenant}")


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
