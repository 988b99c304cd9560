"""``crdt-sync replay``: passed on as it stands, so that only a replay loads what a replay needs."""

from __future__ import annotations

from collections.abc import Mapping

import typer

WHOLE_LINE: Mapping[str, object] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ()}


def replay(context: typer.Context) -> None:
    """Send real data through peers and a relay: retail, prices, inventree, mentions, engagement, campaigns."""
    # Replays hold documents. The relay's process is this program, too, and must never load native CRDT code.
    from server.replay.command import replay as replays

    replays(args=context.args, prog_name=f"{context.find_root().info_name} replay")
