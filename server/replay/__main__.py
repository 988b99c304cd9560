"""``python -m server.replay retail …``: the same as ``crdt-sync replay retail …``."""

from __future__ import annotations

import typer

from server.replay.command import replay

if __name__ == "__main__":
    typer.main.get_command(replay)(prog_name="python -m server.replay")
