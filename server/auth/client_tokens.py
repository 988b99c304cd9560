"""Tokens for pages: got by a page's own backend with a token of its own, and never worth more than that one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crdt_sync.errors import Forbidden, MalformedMessage
from crdt_sync.values import RoomId
from server.auth.grants import RELAY_SUBJECT, CredentialRefused, Grant, Role
from server.auth.tokens import TokenIssuer

TTL_S: Final = 900
"""How long a page's token lives unless its backend asks for another time."""


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What a backend wants for one of its users. What is None is left to the relay."""

    document: str
    role: Role | None = None
    """As whom the page acts: an operator where nothing is said, or a viewer, where the backend is no more."""
    user: str | None = None
    """Stands in the subject behind the backend's own: ``shop/ada``. So nobody can speak as anybody else's user."""
    ttl_s: int | None = None


@dataclass(frozen=True, slots=True)
class ClientToken:
    token: str
    role: Role


class ClientTokens:
    """Issues them; the relay's own verifier takes them, after a restart, too."""

    def __init__(self, issuer: TokenIssuer, *, ttl_max_s: int) -> None:
        self._issuer, self._ttl_max_s = issuer, ttl_max_s

    def issue(self, grant: Grant, request: ClientRequest, now_s: float) -> ClientToken:
        """A token for one document, within ``grant`` in every respect; it ends with it at the latest.

        Raises :class:`Forbidden` for a document or a role that the bearer does not have, :class:`MalformedMessage`
        for a life or a user that no token may have.
        """
        grant.check_read(RoomId(grant.tenant, request.document))
        if grant.subject == RELAY_SUBJECT:
            raise Forbidden("the relay's own token is not for pages")
        role = _role(grant, request.role)
        wanted_s = TTL_S if request.ttl_s is None else request.ttl_s
        if wanted_s < 1:
            raise MalformedMessage("a token must live at least one second")
        if request.user == "":
            raise MalformedMessage("a user must have a name")
        ttl_s = min(wanted_s, self._ttl_max_s, grant.expires_at_s - int(now_s))
        if ttl_s < 1:
            raise CredentialRefused("expired", "the token has expired")
        try:
            token = self._issuer.issue(
                tenant=grant.tenant,
                role=role,
                documents=[request.document],
                subject=grant.subject if request.user is None else f"{grant.subject}/{request.user}",
                ttl_s=ttl_s,
                now_s=now_s,
                root=grant,
            )
        except ValueError as error:
            raise MalformedMessage(str(error)) from error
        return ClientToken(token, role)


def _role(grant: Grant, wanted: Role | None) -> Role:
    ranks = list(Role)
    if wanted is None:
        wanted = Role.OPERATOR if grant.role is not Role.VIEWER else Role.VIEWER
    if wanted is Role.ADMIN:
        raise Forbidden("a page is never given the role admin")
    if ranks.index(wanted) < ranks.index(grant.role):
        raise Forbidden(f"this token is of the role {grant.role}, so it can't give a page the role {wanted}")
    return wanted
