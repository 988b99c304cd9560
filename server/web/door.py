"""Who may come in: a request's credential is turned into a grant before anything of it is accepted."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from starlette.requests import HTTPConnection

from crdt_sync.errors import AccessError, Forbidden
from crdt_sync.values import RoomId, check_document, check_tenant
from server.auth.access import AccessBook
from server.auth.api_keys import KEY_PREFIX, redeem_api_key
from server.auth.credentials import read_credential
from server.auth.grants import CredentialRefused, Grant
from server.auth.tickets import TICKET_PREFIX, Tickets
from server.auth.tokens import TokenVerifier
from server.telemetry.meters import Meters
from server.web.quotas import Quotas, address_of
from server.web.refusals import remember_grant


class Admission(NamedTuple):
    """A grant, and the subprotocol to accept the WebSocket with."""

    grant: Grant
    subprotocol: str | None


class Door:
    """Redeems tokens, tickets and API keys. Refusals are counted; none of them says more than it must."""

    def __init__(
        self,
        verifier: TokenVerifier,
        tickets: Tickets,
        allowed_origins: Collection[str],
        meters: Meters,
        quotas: Quotas,
        book: AccessBook,
    ) -> None:
        self.tickets = tickets
        self._verifier = verifier
        self._allowed_origins = frozenset(allowed_origins)
        self._meters = meters
        self._quotas = quotas
        self._book = book

    def admit(self, request: HTTPConnection, tenant: str | None, document: str | None = None) -> Admission:
        """The grant of a request for a tenant, and for one of its documents if it names one.

        Without a tenant it is for the credential's own.

        Raises :class:`Unauthenticated`, :class:`Forbidden`, :class:`RateLimited` or :class:`InvalidName`.
        """
        with self._counting():
            self._check_origin(request.headers.get("origin"))
            admission = self._show(request)
            grant = admission.grant
            if tenant is not None and check_tenant(tenant) != grant.tenant:
                raise Forbidden(f"this token is not for tenant {tenant}")
            if document is not None:
                self._check_read(grant, RoomId(grant.tenant, check_document(document)))
        return admission

    def admit_unknown(self, request: HTTPConnection, tenant: str) -> None:
        """Let in a connection that will show tokens within it. Raises :class:`Forbidden` or :class:`InvalidName`."""
        with self._counting():
            self._check_origin(request.headers.get("origin"))
            check_tenant(tenant)

    def admit_to(self, room: RoomId, secret: str) -> Grant:
        """The grant of a token or ticket that was shown within a connection, for one document.

        Raises :class:`Unauthenticated` or :class:`Forbidden`.
        """
        with self._counting():
            grant = self._redeem("ticket" if secret.startswith(TICKET_PREFIX) else "token", secret)
            self._check_read(grant, room)
        return grant

    def admit_again(self, grant: Grant, secret: str) -> Grant:
        """The grant of a token that the bearer of ``grant`` shows within its connection, to go on with.

        Raises :class:`Unauthenticated` or :class:`Forbidden`."""
        with self._counting():
            renewed = self._redeem("token", secret)
            if (renewed.tenant, renewed.subject) != (grant.tenant, grant.subject):
                raise Forbidden("a connection goes on with a token of the same tenant and subject only")
        return renewed

    def check_read(self, grant: Grant, room: RoomId) -> None:
        """Raise :class:`Forbidden` or :class:`Unauthenticated` unless ``grant`` still opens a room."""
        with self._counting():
            self._check_read(grant, room)

    def _check_read(self, grant: Grant, room: RoomId) -> None:
        grant.check_read(room)
        self._book.now.check(grant, room.document)

    def identify(self, request: HTTPConnection) -> Admission:
        """The grant of a request, for whatever it is good for.

        Raises :class:`Unauthenticated`, :class:`Forbidden` for a foreign origin, and :class:`RateLimited`."""
        with self._counting():
            self._check_origin(request.headers.get("origin"))
            return self._show(request)

    def _show(self, request: HTTPConnection) -> Admission:
        try:
            credential = read_credential(request.headers.raw, request.scope["query_string"])
            grant = self._redeem(credential.kind, credential.secret)
        except CredentialRefused:
            # A good one is let in however many were wrong: who shares the address is not to blame.
            self._quotas.note_wrong_token(address_of(request.scope))
            raise
        remember_grant(request, grant)
        if request.scope["type"] == "http":
            self._quotas.check_request(grant)
        return Admission(grant, credential.subprotocol)

    def _redeem(self, kind: Literal["token", "ticket"], secret: str) -> Grant:
        if not secret:
            raise CredentialRefused("missing", "no token was shown")
        now_s = time.time()
        if kind == "ticket":
            grant = self.tickets.redeem(secret, now_s)
        elif secret.startswith(KEY_PREFIX):
            # It may have been made in this very second.
            self._book.look()
            grant = redeem_api_key(self._book.now.keys, secret, now_s=now_s)
            self._verifier.check_served(grant)
        else:
            grant = self._verifier.verify(secret, now_s=now_s)
        self._book.now.check(grant)
        return grant

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except AccessError as error:
            reason = error.reason if isinstance(error, CredentialRefused) else error.code
            self._meters.auth_refusals.labels(reason=reason).inc()
            raise

    def _check_origin(self, origin: str | None) -> None:
        # Programs send no Origin; browsers always do, and no page can forge its own.
        if origin is not None and self._allowed_origins and origin not in self._allowed_origins:
            raise Forbidden("pages of this origin may not connect here")
