"""``crdt-sync check-config``: what the relay would run with, and where each value comes from."""

from __future__ import annotations

import typer

from server.auth.keys import load_jwks, load_secret
from server.commands.options import Config, Data
from server.settings import describe_settings, load_settings


def check_config(data: Data = None, config: Config = None) -> None:
    """Check every setting and print it with its source. Exit code 2 and a sentence when one is wrong."""
    settings = load_settings(config, data_dir=data)
    if settings.jwks_file is not None:
        load_jwks(settings.jwks_file)
    if settings.secret_path.exists():
        load_secret(settings.secret_path)
    values = describe_settings(settings)
    width = max(len(value.name) for value in values)
    for value in values:
        typer.echo(f"{value.name:<{width}}  {value.value}  ({value.source})")
