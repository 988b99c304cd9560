"""``python -m server``: the command line without an installation."""

from server.cli import main

main()
