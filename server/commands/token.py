"""``crdt-sync token``: print a token and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Annotated

import typer

from server.auth.patterns import LOCATION_PREFIX
from server.auth.rights import Role
from server.auth.tokens import issue_token
from server.commands.options import Config, Data
from server.settings import SettingsError, load_settings

_UNITS_S: Mapping[str, int] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([0-9]+)([smhd])")


def token(  # noqa: PLR0913, PLR0917  the command line's options, one by one
    tenant: Annotated[str, typer.Option(help="The tenant that the token is for.")],
    role: Annotated[Role, typer.Option(help="What its bearer may do; a viewer only reads.")],
    document: Annotated[
        list[str] | None,
        typer.Option(help="Document or pattern such as inventory/*; may be repeated.", show_default="every document"),
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may write of these, such as 'inventory/catalog#attr/*/quantity'; may be repeated.",
            show_default="what its role may",
        ),
    ] = None,
    location: Annotated[
        list[str] | None,
        typer.Option(help="It reads the inventory, and writes what belongs to this location; may be repeated."),
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it holds: 90s, 15m, 8h, 1d.")] = "8h",
    subject: Annotated[str, typer.Option(help="Who bears it; stands beside every edit in the log.")] = "command-line",
    data: Data = None,
    config: Config = None,
) -> None:
    """Print a token signed with the relay's secret (made when there is none yet), and nothing else."""
    settings = load_settings(config, data_dir=data)
    try:
        issued = issue_token(
            settings.secret_path,
            tenant=tenant,
            role=role,
            documents=document_claims(document or [], location or []),
            write=write,
            subject=subject,
            ttl_s=seconds(ttl),
            now_s=time.time(),
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            ttl_max_s=settings.token_ttl_max_s,
        )
    except SettingsError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(issued)


def document_claims(patterns: list[str], locations: list[str]) -> list[str]:
    if not patterns and not locations:
        return ["*"]
    return [*patterns, *(f"{LOCATION_PREFIX}{location}" for location in locations)]


def seconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no time such as 90s, 15m, 8h or 1d", param_hint="--ttl")
    return int(match[1]) * _UNITS_S[match[2]]
