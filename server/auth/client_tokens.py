"""Tokens for pages: got by a page's own backend with a token of its own, and never worth more than that one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from crdt_sync.errors import Forbidden, InvalidName, MalformedMessage
from crdt_sync.values import RoomId
from server.auth.grants import RELAY_SUBJECT, CredentialRefused, Grant
from server.auth.patterns import WritePattern
from server.auth.rights import Role, least_writer
from server.auth.tokens import TokenIssuer

TTL_S: Final = 900
"""How long a page's token lives unless its backend asks for another time."""


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What a backend wants for one of its users. What is None is left to the relay."""

    document: str
    role: Role | None = None
    """As whom the page acts; where nothing is said, as the least role that may write such a document, or as the
    backend itself, where that is less."""
    user: str | None = None
    """Stands in the subject behind the backend's own: ``shop/ada``. So nobody can speak as anybody else's user."""
    ttl_s: int | None = None
    write: tuple[str, ...] | None = None
    """What of the document it may write, as in the claim ``write``; less than the backend, or the same."""
    must_write: bool = False
    """A token that only reads is of no use to it."""


@dataclass(frozen=True, slots=True)
class ClientToken:
    token: str
    role: Role
    may_write: bool


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
        role, write = _role(grant, request), _write(grant, request)
        page = dataclasses.replace(grant, role=role, write=write, locations=())
        may_write = page.may_write(request.document)
        if request.must_write and not may_write:
            raise Forbidden(f"this token does not allow to write {request.document}")
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
                write=None if write is None else [pattern.text for pattern in write],
                root=grant,
            )
        except ValueError as error:
            raise MalformedMessage(str(error)) from error
        return ClientToken(token, role, may_write)


def _write(grant: Grant, request: ClientRequest) -> tuple[WritePattern, ...] | None:
    """The claim of the page's token: what it asks for, if the bearer may write as much, or else what the bearer may."""
    own = grant.write_patterns(request.document)
    if request.write is None:
        return own
    try:
        wanted = tuple(map(WritePattern.parse, request.write))
    except InvalidName as error:
        raise MalformedMessage(str(error)) from error
    if not grant.may_write(request.document):
        raise Forbidden(f"this token does not allow to write {request.document}")
    for pattern in wanted:
        if own is not None and not any(one.covers(pattern) for one in own):
            raise Forbidden(f"this token does not allow to write {pattern.text}, so it can't allow a page to")
    return wanted


def _role(grant: Grant, request: ClientRequest) -> Role:
    ranks, wanted = list(Role), request.role
    if wanted is None:
        wanted = max(least_writer(request.document), grant.role, key=ranks.index)
    if wanted is Role.ADMIN:
        raise Forbidden("a page is never given the role admin")
    if ranks.index(wanted) < ranks.index(grant.role):
        raise Forbidden(f"this token is of the role {grant.role}, so it can't give a page the role {wanted}")
    return wanted
