"""The command line's tree."""

from __future__ import annotations

import typer

from server.commands.audit import audit
from server.commands.backup import backup
from server.commands.check_config import check_config
from server.commands.credentials import api_keys, tokens
from server.commands.epoch import epoch
from server.commands.export import export
from server.commands.import_update import import_update
from server.commands.inspect import inspect
from server.commands.quality import quality
from server.commands.quarantine import quarantine
from server.commands.replay import WHOLE_LINE, replay
from server.commands.restore import restore
from server.commands.retire import retire
from server.commands.rooms import rooms
from server.commands.serve import serve
from server.commands.verify import verify

application = typer.Typer(
    name="crdt-sync",
    help="A durable CRDT relay for Yjs pages and offline Python peers: what it acknowledges is on disk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # Its boxes break a sentence over several lines, where neither eyes nor grep find it again.
    rich_markup_mode=None,
)
application.command()(serve)
application.add_typer(tokens, name="token")
application.add_typer(api_keys, name="api-key")
application.command()(audit)
application.command("check-config")(check_config)
application.command()(rooms)
application.command()(inspect)
application.command()(verify)
application.command()(backup)
application.command()(restore)
application.command()(export)
application.command("import")(import_update)
application.command()(retire)
application.command()(epoch)
application.command()(quality)
application.command("replay", context_settings=dict(WHOLE_LINE))(replay)
application.add_typer(quarantine, name="quarantine")
