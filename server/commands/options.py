"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Config: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with settings; environment variables and options override it."),
]
Data: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data", help="Directory of the relay's files.", show_default="crdt-sync-data"),
]
Tenant: TypeAlias = Annotated[str | None, typer.Option("--tenant", help="Only this tenant.")]
