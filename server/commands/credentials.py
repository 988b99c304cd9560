"""``crdt-sync token`` and ``crdt-sync api-key``: the commands with commands of their own."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from server.commands.api_key import create, list_keys, revoke_key
from server.commands.revoke import revoke
from server.commands.token import token

ISSUE = "issue"


class IssuesByDefault(TyperGroup):
    """``token --tenant acme ...`` makes a token, as it did before there was anything else to do with one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what names no command for the options of the one that makes a token."""
        if not args or args[0] not in self.commands:
            args = [ISSUE, *args]
        return super().parse_args(ctx, args)


tokens = typer.Typer(cls=IssuesByDefault, rich_markup_mode=None, help="Print a token, or take tokens back.")
tokens.command(ISSUE, hidden=True, epilog="To take tokens back: crdt-sync token revoke --help")(token)
tokens.command("revoke")(revoke)

api_keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make, list and take back API keys.")
api_keys.command("create")(create)
api_keys.command("list")(list_keys)
api_keys.command("revoke")(revoke_key)
