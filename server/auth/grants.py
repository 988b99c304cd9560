"""What a token allows: a tenant, some of its documents, a role, until a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from crdt_sync.documents.names import base_of
from crdt_sync.errors import Forbidden, InvalidName, Unauthenticated
from crdt_sync.values import RoomId, check_document

Refusal: TypeAlias = Literal["missing", "malformed", "untrusted", "expired", "revoked", "claims", "ticket"]
"""Why a credential was refused, as the meters count it."""


RELAY_SUBJECT: Final = "relay"
"""Whom the relay's own steward acts as; no token of anybody else may name it."""


class CredentialRefused(Unauthenticated):
    """No credential, or one that does not hold. ``reason`` is for meters, the message for people.

    Neither holds any part of the credential.
    """

    def __init__(self, reason: Refusal, sentence: str) -> None:
        super().__init__(sentence)
        self.reason: Refusal = reason


class Role(StrEnum):
    """Who acts. Within its documents everyone but a viewer may write."""

    ADMIN = "admin"
    MANAGER = "manager"
    OPERATOR = "operator"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class DocumentPattern:
    """Which documents: an exact name, ``inventory/*`` for all below ``inventory``, or ``*`` for all of the tenant.

    A wildcard is the whole last segment and stands for one or more segments; ``inventory/*`` does not match
    ``inventory`` itself. An exact name stands for all epochs of its document, ``inventory/catalog.2`` among them.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> DocumentPattern:
        """Raises :class:`InvalidName` for anything that is none of the three forms."""
        name = text.removesuffix("/*")
        if text != "*":
            try:
                check_document(name)
            except InvalidName as error:
                raise InvalidName("document pattern", text, "a document, a document and '/*', or '*'") from error
        return cls(text)

    def matches(self, document: str) -> bool:
        """Whether ``document``, a valid name, is one of those meant."""
        if self.text == "*":
            return True
        if self.text.endswith("/*"):
            return document.startswith(self.text[:-1])
        return self.text in (document, base_of(document))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Grant:
    """What the bearer of one token may do. Times are Unix seconds."""

    subject: str
    tenant: str
    documents: tuple[DocumentPattern, ...]
    role: Role
    expires_at_s: int
    token_id: str
    """Shared by all that came of one token: those that pages got for it are revoked with it."""
    issued_at_s: int = 0
    """Not later than the token's issue, and that of the one that it was got with. A revocation hits what it finds."""

    def may_read(self, document: str) -> bool:
        """Whether the bearer may read this document of its own tenant."""
        return any(pattern.matches(document) for pattern in self.documents)

    def may_write(self, document: str) -> bool:
        """Whether the bearer may write this document of its own tenant. A viewer never may."""
        return self.role is not Role.VIEWER and self.may_read(document)

    def has_expired(self, now_s: float) -> bool:
        """Whether its time is over; a connection that outlives its grant must be closed."""
        return now_s >= self.expires_at_s

    def check_read(self, room: RoomId) -> None:
        """Raise :class:`Forbidden` unless the bearer may read this room."""
        # One sentence for a foreign tenant and for a foreign document: it must not tell which names exist.
        if room.tenant != self.tenant or not self.may_read(room.document):
            raise Forbidden(f"this token does not allow to read {room}")

    def check_write(self, room: RoomId) -> None:
        """Raise :class:`Forbidden` unless the bearer may write this room."""
        if room.tenant != self.tenant or not self.may_write(room.document):
            raise Forbidden(f"this token does not allow to write {room}")
