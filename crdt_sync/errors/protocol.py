"""The other side of a connection broke the rules."""

from __future__ import annotations

from crdt_sync.errors.base import SyncError


class ProtocolError(SyncError):
    """The other side broke the rules. Its connection ends; the room goes on."""

    code = "protocol-error"


class MalformedMessage(ProtocolError):
    """A frame that is no message of its dialect."""

    code = "malformed-message"


class MalformedUpdate(ProtocolError):
    """Update bytes that no well-behaved Yjs client sends. Nothing of them was kept."""

    code = "malformed-update"


class ClientIdReused(MalformedUpdate):
    """Two different contents under one (client, clock): replicas would diverge for good."""

    code = "client-id-reused"

    def __init__(self, client: int, clock: int) -> None:
        super().__init__(f"client id {client} is used twice: clock {clock} already holds other content")
        self.client, self.clock = client, clock


class OutOfTurn(ProtocolError):
    """A message that is not legal in this state of the conversation."""

    code = "out-of-turn"


class LimitExceeded(ProtocolError):
    """The other side sent more than was agreed."""

    code = "limit-exceeded"

    def __init__(self, limit: str, allowed: int, actual: int) -> None:
        super().__init__(f"{limit}: {actual} is more than the {allowed} allowed")
        self.limit, self.allowed, self.actual = limit, allowed, actual


class Quarantined(ProtocolError):
    """It holds what the relay has set aside, because processes that load it die. It is kept, and not taken again."""

    code = "quarantined"
