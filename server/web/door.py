"""Who may come in: a request's credential is turned into a grant before anything of it is accepted."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import NamedTuple

from starlette.requests import HTTPConnection

from crdt_sync.errors import AccessError, Forbidden
from crdt_sync.values import RoomId, check_document, check_tenant
from server.auth.credentials import read_credential
from server.auth.grants import CredentialRefused, Grant
from server.auth.tickets import Tickets
from server.auth.tokens import TokenVerifier
from server.telemetry.meters import Meters


class Admission(NamedTuple):
    """A grant, and the subprotocol to accept the WebSocket with."""

    grant: Grant
    subprotocol: str | None


class Door:
    """Redeems tokens and tickets. Refusals are counted; none of them says more than it must."""

    def __init__(
        self, verifier: TokenVerifier, tickets: Tickets, allowed_origins: Collection[str], meters: Meters
    ) -> None:
        self.tickets = tickets
        self._verifier = verifier
        self._allowed_origins = frozenset(allowed_origins)
        self._meters = meters

    def admit(self, request: HTTPConnection, tenant: str | None, document: str | None = None) -> Admission:
        """The grant of a request for a tenant, and for one of its documents if it names one.

        Without a tenant it is for the credential's own.

        Raises :class:`Unauthenticated`, :class:`Forbidden` or :class:`InvalidName`.
        """
        try:
            self._check_origin(request.headers.get("origin"))
            admission = self.identify(request)
            grant = admission.grant
            if tenant is not None and check_tenant(tenant) != grant.tenant:
                raise Forbidden(f"this token is not for tenant {tenant}")
            if document is not None:
                grant.check_read(RoomId(grant.tenant, check_document(document)))
        except AccessError as error:
            reason = error.reason if isinstance(error, CredentialRefused) else error.code
            self._meters.auth_refusals.labels(reason=reason).inc()
            raise
        return admission

    def identify(self, request: HTTPConnection) -> Admission:
        """The grant of a request, for whatever it is good for. Raises :class:`Unauthenticated`."""
        credential = read_credential(request.headers.raw, request.scope["query_string"])
        if credential.kind == "ticket":
            grant = self.tickets.redeem(credential.secret, time.time())
        else:
            grant = self._verifier.verify(credential.secret, now_s=time.time())
        return Admission(grant, credential.subprotocol)

    def _check_origin(self, origin: str | None) -> None:
        # Programs send no Origin; browsers always do, and no page can forge its own.
        if origin is not None and self._allowed_origins and origin not in self._allowed_origins:
            raise Forbidden("pages of this origin may not connect here")
