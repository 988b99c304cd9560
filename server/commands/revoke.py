"""``crdt-sync token revoke``: take back what tokens and API keys allow, before their end."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Annotated

import typer

from crdt_sync.errors import InvalidName, MalformedMessage
from server.auth.access import AccessBook
from server.auth.api_keys import ApiKey
from server.auth.revocations import Revocation
from server.commands.options import Config, Data
from server.settings import Settings, load_settings
from server.storage.audit import is_written_by_a_relay, open_audit
from server.storage.audit_events import AuditEvent
from server.web.access import event_of, parse_revocation

BY = "command-line"


def revoke(
    tenant: Annotated[str, typer.Option(help="The tenant whose tokens are meant.")],
    user: Annotated[
        str | None, typer.Option(metavar="SUBJECT", help="Only this subject, and the pages that it got tokens for.")
    ] = None,
    document: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Take back just these documents, such as pii/*.")
    ] = None,
    token: Annotated[str | None, typer.Option(metavar="ID", help="Only the token or API key of this id.")] = None,
    all_before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what was issued until then: now, or such as 2026-11-20T08:00:00Z."),
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Take back tokens and API keys that were issued until now. The relay may run: what they have open ends within 5 s.

    Tokens that are issued after the command has ended hold. At least one of the options besides --tenant is needed;
    --all-before now takes back everything of the tenant.
    """
    settings = load_settings(config, data_dir=data)
    now_s = time.time()
    wanted = {"user": user, "document": document, "token": token, "all_before": all_before}
    try:
        revocation = parse_revocation(tenant, wanted, now_s=now_s)
    except MalformedMessage as error:
        raise typer.BadParameter(str(error).replace("all_before", "all-before")) from error
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from error
    put_down(settings, revocation)
    typer.echo(f"revoked: {revocation}")
    # Times of issue are whole seconds: a token that is issued in this very one would be hit, too.
    time.sleep(max(0.0, math.floor(now_s) + 1 - time.time()))


def put_down(settings: Settings, order: Revocation | ApiKey) -> None:
    """Put an order into the access file, and, where no relay runs that would do so, into the audit log."""
    entry = book_of(settings).add(order, by=BY)
    if not is_written_by_a_relay(settings.data_dir):
        asyncio.run(note_event(settings.data_dir, event_of(entry)))


def book_of(settings: Settings) -> AccessBook:
    """The access file of a data directory."""
    return AccessBook(settings.data_dir, token_life_s=settings.token_ttl_max_s + settings.token_leeway_s)


async def note_event(data_dir: Path, event: AuditEvent) -> None:
    """Put an event into the audit log of a directory that no relay runs on."""

    def lose(count: int) -> None:
        typer.echo(f"{count} events could not be put into the audit log", err=True)

    async with open_audit(data_dir, on_written=lambda _: None, on_lost=lose) as trail:
        trail.note(event)
