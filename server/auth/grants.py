"""What a token allows: a tenant, some of its documents, a role, until a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from crdt_sync.errors import Forbidden, Unauthenticated
from crdt_sync.values import RoomId
from server.auth.patterns import LOCATION_PREFIX, DocumentPattern, PathRights, WritePattern, is_inventory, path_rights
from server.auth.rights import Role, role_reads, role_writes

__all__ = ["RELAY_SUBJECT", "CredentialRefused", "DocumentPattern", "Grant", "Refusal", "Role"]

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
    write: tuple[WritePattern, ...] | None = None
    """What it may write, in the place of what its role may; None for just that."""
    locations: tuple[str, ...] = ()
    """It reads the inventory, and writes of it what belongs to these; empty for no such bound."""

    def may_read(self, document: str) -> bool:
        """Whether the bearer may read this document of its own tenant."""
        if not role_reads(self.role, document):
            return False
        is_located = bool(self.locations) and is_inventory(document)
        return is_located or any(pattern.matches(document) for pattern in self.documents)

    def may_write(self, document: str) -> bool:
        """Whether the bearer may write this document of its own tenant, or some of it. A viewer never may."""
        if self.role is Role.VIEWER or not self.may_read(document):
            return False
        patterns = self.write_patterns(document)
        if patterns is None:
            return role_writes(self.role, document)
        return _allows_all(patterns, document) or path_rights(document, patterns) is not None

    def path_rights(self, document: str) -> PathRights | None:
        """What of a document that it :meth:`may_write` it may write, if that is not all of it."""
        patterns = self.write_patterns(document)
        if patterns is None or _allows_all(patterns, document):
            return None
        return path_rights(document, patterns)

    def write_patterns(self, document: str) -> tuple[WritePattern, ...] | None:
        """What bounds the bearer in a document; None where its role alone says what it may write."""
        located = tuple(WritePattern.parse(f"{LOCATION_PREFIX}{location}") for location in self.locations)
        if self.write is not None:
            return (*self.write, *located)
        return located if located and is_inventory(document) else None

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


def _allows_all(patterns: tuple[WritePattern, ...], document: str) -> bool:
    return any(one.paths is None and one.location is None and one.documents.matches(document) for one in patterns)
