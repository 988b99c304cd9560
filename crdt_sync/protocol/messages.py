"""The one set of messages inside the house. Every dialect's codec turns frames into these and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from crdt_sync.values import ClientId, StateVector


@dataclass(frozen=True, slots=True)
class StateRequest:
    """Says what its sender holds and asks for what it lacks. Also how a member joins a document."""

    state: StateVector


@dataclass(frozen=True, slots=True)
class StateReply:
    """The answer to a :class:`StateRequest`: with this update, the asker has everything that we had."""

    update: bytes


@dataclass(frozen=True, slots=True)
class NewUpdate:
    """A v1 update: an edit, or a part of a long answer whose last part is a :class:`StateReply`."""

    update: bytes


@dataclass(frozen=True, slots=True)
class PresenceEntry:
    """One client's presence. ``state`` is JSON text, or None once the client is gone."""

    client: ClientId
    clock: int
    state: str | None


@dataclass(frozen=True, slots=True)
class Presence:
    """Presence of some clients (y-protocols awareness). Empty is legal and serves as a sign of life."""

    entries: tuple[PresenceEntry, ...]


@dataclass(frozen=True, slots=True)
class PresenceRequest:
    """Asks who is here. Answered with a :class:`Presence` of everyone."""


@dataclass(frozen=True, slots=True)
class Denied:
    """A refusal: a stable ``code`` (see the package errors) and a sentence for people."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The first ``through`` updates that you sent on this conversation are on disk."""

    through: int


@dataclass(frozen=True, slots=True)
class SaveMark:
    """From a client: say ``version`` back as soon as everything that I hold is on disk. From the relay: it is.

    A later mark takes the place of one that has not been said back."""

    version: int


@dataclass(frozen=True, slots=True)
class Leave:
    """The sender has no more business with this document; the connection may go on with others."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Shows a token within the connection, for one document (Hocuspocus) or for all of it (our own peers)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Asks for a token: the one that was shown will soon have expired."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The token holds: its bearer may read the document, and maybe write it."""

    may_write: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """One update of yours, in the order that you sent them: it is on disk, or it will never be."""

    is_kept: bool


@dataclass(frozen=True, slots=True)
class Stateless:
    """Text for whoever is here now. Not kept: who is not here never gets it."""

    payload: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The relay has no more business with the other side about this document, and says why."""

    reason: str


Message: TypeAlias = (
    StateRequest
    | StateReply
    | NewUpdate
    | Presence
    | PresenceRequest
    | Denied
    | Ack
    | SaveMark
    | Leave
    | Authenticate
    | TokenRequest
    | Admitted
    | Settled
    | Stateless
    | Ended
)
