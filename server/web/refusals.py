"""Refusals, put on record: the one place where a request is answered with an error."""

from __future__ import annotations

from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

from crdt_sync.errors import AccessError, HandshakeTimeout, InvalidName, ProtocolError, SyncError
from server.auth.grants import Grant
from server.storage.audit import AuditTrail
from server.storage.audit_events import AuditEvent
from server.web.problems import problem_response

REFUSALS: Final = (AccessError, ProtocolError, InvalidName, HandshakeTimeout)
"""What somebody did that was not allowed; the rest is what the relay could not do, or told somebody politely."""


class Refusals:
    """Puts what was refused into the audit log."""

    def __init__(self, trail: AuditTrail) -> None:
        self.trail = trail

    def answer(self, request: HTTPConnection, error: SyncError, document: str = "") -> JSONResponse:
        """The refusal of a request or of an upgrade, on record."""
        self.note(request, error, document)
        return problem_response(error)

    def note(self, connection: HTTPConnection, error: SyncError, document: str = "") -> None:
        """Put a refusal on record, if it is one."""
        if isinstance(error, REFUSALS):
            grant = grant_of(connection)
            self.trail.note(
                AuditEvent(
                    "refused",
                    None if grant is None else grant.tenant,
                    "" if grant is None else grant.subject,
                    document or _document_of(connection),
                    client_address(connection),
                    error.code,
                    str(error),
                )
            )


def client_address(connection: HTTPConnection) -> str:
    """The IP address that a request came from."""
    return "" if connection.client is None else connection.client.host


def remember_grant(connection: HTTPConnection, grant: Grant) -> None:
    """Let a later refusal know whose request it was."""
    connection.state.grant = grant


def grant_of(connection: HTTPConnection) -> Grant | None:
    """Whose request it is, once its credential has held."""
    grant: Grant | None = getattr(connection.state, "grant", None)
    return grant


def _document_of(connection: HTTPConnection) -> str:
    # As the client spelt it: what is no name is part of what was refused.
    parameters = connection.path_params
    return str(parameters.get("document") or parameters.get("doc_id") or "")
