"""Who asks may not have what it asks for."""

from __future__ import annotations

from crdt_sync.errors.base import SyncError


class AccessError(SyncError):
    """Who asks may not have what it asks for."""

    code = "access-error"


class Unauthenticated(AccessError):
    """No token, or one that does not hold (forged, expired, for another audience)."""

    code = "unauthenticated"


class Forbidden(AccessError):
    """A good token, but not for this tenant, document or act."""

    code = "forbidden"


class ClientIdTaken(AccessError):
    """An update that writes under another's client id. Nothing of it was kept, and its sender's connection ends."""

    code = "client-id-taken"

    def __init__(self, client: int) -> None:
        super().__init__(f"client id {client} is somebody else's; open the document anew to write under another one")
        self.client = client


class RateLimited(AccessError):
    """Too many tries. Come back after ``retry_after_s`` seconds."""

    code, retryable = "rate-limited", True

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(f"too many {what}; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s
