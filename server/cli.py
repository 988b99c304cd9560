"""The command line. Its commands are in ``server/commands/``."""

from __future__ import annotations

import sys

from crdt_sync.errors import SyncError
from server.commands.application import application
from server.settings import SettingsError

EXIT_FAILED, EXIT_USAGE = 1, 2


def main() -> None:
    """Run a command. Errors that we know end in one clear sentence and a fitting exit code, never a traceback."""
    try:
        application()
    except SettingsError as error:
        print(f"crdt-sync: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except SyncError as error:
        print(f"crdt-sync: {error} [{error.code}]", file=sys.stderr)
        sys.exit(EXIT_FAILED)
