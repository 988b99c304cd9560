"""``crdt-sync api-key``: credentials for programs that have nobody to ask for a fresh token."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from crdt_sync.errors import SyncError
from server.auth.api_keys import NEVER_S, make_api_key
from server.auth.grants import Role
from server.auth.revocations import Revocation
from server.commands.options import Config, Data, Tenant
from server.commands.revoke import book_of, put_down
from server.commands.rooms import show_table
from server.commands.token import document_claims, seconds
from server.settings import load_settings

COLUMNS = ("id", "tenant", "subject", "role", "documents", "made", "ends", "state")


def create(  # noqa: PLR0913, PLR0917  the command line's options, one by one
    tenant: Annotated[str, typer.Option(help="The tenant that the key is for.")],
    role: Annotated[Role, typer.Option(help="What its bearer may do; a viewer only reads.")],
    subject: Annotated[str, typer.Option(help="Which program bears it; stands beside every edit in the log.")],
    document: Annotated[
        list[str] | None,
        typer.Option(help="Document or pattern such as inventory/*; may be repeated.", show_default="every document"),
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(help="What it may write of these; may be repeated.", show_default="what its role may"),
    ] = None,
    location: Annotated[
        list[str] | None,
        typer.Option(help="It reads the inventory, and writes what belongs to this location; may be repeated."),
    ] = None,
    ttl: Annotated[str | None, typer.Option(help="How long it holds, such as 90d.", show_default="no end")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make an API key and print it, and nothing else. It is shown this once: only a hash of it is kept."""
    settings = load_settings(config, data_dir=data)
    claims: dict[str, Any] = {"sub": subject, "tenant": tenant, "role": str(role)}
    claims["docs"] = document_claims(document or [], location or [])
    if write is not None:
        claims["write"] = write
    try:
        key, shown = make_api_key(claims, ttl_s=None if ttl is None else seconds(ttl), now_s=time.time())
    except (SyncError, ValueError) as error:
        raise typer.BadParameter(str(error).replace("the token", "the key")) from error
    put_down(settings, key)
    typer.echo(shown)


def list_keys(
    tenant: Tenant = None,
    data: Data = None,
    config: Config = None,
    plain: Annotated[bool, typer.Option(help="Tab-separated, without a header.")] = False,
) -> None:
    """List the API keys, those that have ended for some time left out. The relay may run."""
    book = book_of(load_settings(config, data_dir=data))
    book.open()
    rows = []
    for key in book.now.keys.values():
        grant = key.grant
        if tenant is None or grant.tenant == tenant:
            state = "holds"
            if book.now.is_revoked(grant):
                state = "revoked"
            elif grant.has_expired(time.time()):
                state = "expired"
            ends = "never" if grant.expires_at_s == NEVER_S else _day(grant.expires_at_s)
            documents = ",".join(key.claims.get("docs", ["*"]))
            rows.append(
                (key.id, grant.tenant, grant.subject, grant.role, documents, _day(grant.issued_at_s), ends, state)
            )
    show_table(COLUMNS, rows, plain, numbers=False)


def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as api-key list shows it.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Take back an API key, and the tokens that pages got with it. What they have open ends within 5 s."""
    settings = load_settings(config, data_dir=data)
    book = book_of(settings)
    book.open()
    key = book.now.keys.get(key_id)
    if key is None:
        raise typer.BadParameter(f"there is no API key {key_id}; see crdt-sync api-key list")
    put_down(settings, Revocation(key.grant.tenant, int(time.time()), token=key_id, of_key=True))
    typer.echo(f"revoked: the API key {key_id} of {key.grant.subject}")


def _day(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
