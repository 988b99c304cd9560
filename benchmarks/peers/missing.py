"""Why there is no measurement of a server."""


class Missing(Exception):
    """A server, or something that it needs, can't be had here. The message is a sentence for the table."""
