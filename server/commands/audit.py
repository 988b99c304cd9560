"""``crdt-sync audit``: what was refused and ordered, from the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from crdt_sync.errors import MalformedMessage
from server.commands.documents import run
from server.commands.options import Config, Data
from server.commands.rooms import show_table
from server.settings import load_settings
from server.storage.audit import RELAY_LOG, ROWS_READ_MAX, audits_on_disk, read_audit
from server.storage.audit_events import KINDS, AuditEvent
from server.web.access import parse_time

COLUMNS = ("when", "times", "kind", "code", "subject", "document", "address", "what")


def audit(
    tenant: Annotated[
        str | None, typer.Option(help="The tenant.", show_default="what concerns none that is on disk")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only events of this kind; may be repeated.")] = None,
    since: Annotated[str | None, typer.Option(help="Only later ones, such as 2026-11-20T08:00:00Z.")] = None,
    limit: Annotated[int, typer.Option(help="Only the latest ones.", min=1, max=ROWS_READ_MAX)] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="An event a line, as JSON.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Print the latest events of a tenant's audit log, oldest first, after checking every row. The relay may run."""
    data_dir = load_settings(config, data_dir=data).data_dir
    unknown = set(kind or ()) - KINDS
    if unknown:
        raise typer.BadParameter(f"there is no kind {', '.join(sorted(unknown))}; there are {', '.join(sorted(KINDS))}")
    try:
        since_ms = 0 if since is None else int(parse_time(since).timestamp() * 1_000)
    except MalformedMessage as error:
        raise typer.BadParameter(str(error)) from error
    log_name = RELAY_LOG if tenant is None else tenant
    if log_name not in audits_on_disk(data_dir):
        found = ", ".join(name for name in audits_on_disk(data_dir) if name != RELAY_LOG)
        raise typer.BadParameter(f"{data_dir} has no audit log of {tenant or 'the relay'}; it has {found or 'none'}")
    run(_audit(data_dir, log_name, since_ms, kind or [], limit, as_json))


async def _audit(data_dir: Path, log_name: str, since_ms: int, kinds: list[str], limit: int, as_json: bool) -> int:
    events = await read_audit(data_dir, log_name, since_ms=since_ms, kinds=kinds, limit=limit)
    if as_json:
        for event in events:
            typer.echo(event.to_bytes().decode())
    else:
        show_table(COLUMNS, [_row(event) for event in events], plain=False, numbers=False)
    return 0


def _row(event: AuditEvent) -> tuple[str, ...]:
    when = datetime.fromtimestamp(event.at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    named = (event.code, event.subject, event.document, event.address)
    # What a client has chosen must not move the cursor of whoever reads it.
    return tuple(
        "".join(char if char.isprintable() else "?" for char in text) or "-"
        for text in (when, str(event.count), event.kind, *named, event.sentence)
    )
