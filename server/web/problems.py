"""One table: how each error looks from outside, as a WebSocket close code and as an HTTP status."""

from __future__ import annotations

from typing import Final, NamedTuple

from starlette.responses import JSONResponse

from crdt_sync.errors import (
    ClientIdTaken,
    DocumentRetired,
    Forbidden,
    HandshakeTimeout,
    InvalidName,
    LimitExceeded,
    MalformedMessage,
    MalformedUpdate,
    MemberTooSlow,
    OutOfTurn,
    ProtocolError,
    Quarantined,
    RateLimited,
    RoomClosing,
    StoreCorrupted,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    SyncError,
    Unauthenticated,
)


class Problem(NamedTuple):
    """44xx codes say "do not try the same again", 1012 and 1013 say "come back"."""

    close_code: int
    http_status: int


# The first entry that an error is an instance of counts, so the special stand before the general.
PROBLEMS: Final[tuple[tuple[type[SyncError], Problem], ...]] = (
    (LimitExceeded, Problem(1009, 413)),
    (MalformedMessage, Problem(4400, 400)),
    (MalformedUpdate, Problem(4400, 400)),
    (OutOfTurn, Problem(4409, 409)),
    (Quarantined, Problem(4422, 422)),
    (ProtocolError, Problem(4400, 400)),
    (Unauthenticated, Problem(4401, 401)),
    (Forbidden, Problem(4403, 403)),
    (ClientIdTaken, Problem(4403, 403)),
    (RateLimited, Problem(4429, 429)),
    (InvalidName, Problem(4404, 404)),
    (DocumentRetired, Problem(4410, 410)),
    (StoreUnavailable, Problem(1012, 503)),
    (StoreCorrupted, Problem(1011, 500)),
    (StoreTooNew, Problem(1011, 500)),
    (StoreError, Problem(1011, 500)),
    (RoomClosing, Problem(1012, 503)),
    (MemberTooSlow, Problem(1013, 503)),
    (HandshakeTimeout, Problem(4408, 408)),
    (SyncError, Problem(1011, 500)),
)

REASON_BYTES_MAX = 123
"""What fits into a close frame beside the code (RFC 6455, 5.5)."""


def problem_of(error: SyncError) -> Problem:
    """The entry for ``error``."""
    return next(problem for kind, problem in PROBLEMS if isinstance(error, kind))


def close_reason(error: SyncError) -> str:
    """The error's code and sentence, cut to what a close frame holds."""
    text = f"{error.code}: {error}"
    return text.encode()[:REASON_BYTES_MAX].decode(errors="ignore")


def problem_response(error: SyncError) -> JSONResponse:
    """The error as problem+json (RFC 9457)."""
    status = problem_of(error).http_status
    body: dict[str, str | int | None] = {
        "type": f"urn:crdt-sync:{error.code}",
        "title": error.code,
        "status": status,
        "detail": str(error),
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, DocumentRetired):
        body["successor"] = error.successor
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return JSONResponse(body, status, headers, media_type="application/problem+json")
