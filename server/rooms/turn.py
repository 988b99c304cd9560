"""What goes into a room's decision, and what comes out of it: envelopes in, a :class:`Turn` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from crdt_sync.errors import SyncError
from crdt_sync.protocol.messages import Message
from crdt_sync.stores.update_log import Binding
from crdt_sync.updates.decode import DecodedUpdate
from crdt_sync.values import ClientId, Clock
from server.auth.patterns import PathRights

MemberId: TypeAlias = int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A connection enters the room."""

    member: MemberId
    author: str
    """Who it is: the subject of its token. Stands beside every update that it brings."""
    may_write: bool
    wants_echo: bool
    """Its dialect knows an update to be on disk by getting it back."""
    keeps_pending: bool = False
    """What it says that it holds may build on something that is in it nowhere."""
    counts_acks: bool = False
    """It counts what is not on disk yet, anew from each StateRequest on, and so is asked for its state each time."""
    rights: PathRights | None = None
    """What it may write, where that is not the whole document."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A member has shown another token: from here on it may write, or may not, or just some of the document."""

    member: MemberId
    may_write: bool
    rights: PathRights | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A member sent a message; ``update`` is what it holds, decoded once, at the edge."""

    member: MemberId
    message: Message
    update: DecodedUpdate | None = None
    heard_at_s: float = 0.0
    """When the edge received it; for the meters."""


@dataclass(frozen=True, slots=True)
class Drained:
    """A member that was shed has read all that was queued for it; it was told everything through ``seq``."""

    member: MemberId
    seq: int


@dataclass(frozen=True, slots=True)
class Departed:
    """A connection is gone."""

    member: MemberId


@dataclass(frozen=True, slots=True)
class Compacted:
    """A snapshot has taken the place of the log up to ``through``; it is on disk already."""

    state: bytes
    through: int


Envelope: TypeAlias = Arrived | Granted | Said | Drained | Departed | Compacted


@dataclass(frozen=True, slots=True)
class Kept:
    """An update to append: canonical bytes, and who brought them."""

    update: bytes
    author: str
    bindings: Sequence[Binding] = ()
    """Client ids that it binds to somebody; they go on record with it."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """For every member that listens but ``excluded``. ``seq`` is the update's number, None for what is not logged."""

    message: Message
    seq: int | None
    excluded: MemberId | None


@dataclass(frozen=True, slots=True)
class Reply:
    """For one member. An ``essential`` one is queued even for a member that was shed: it brings it up to date."""

    member: MemberId
    message: Message
    essential: bool = False


@dataclass(frozen=True, slots=True)
class Listens:
    """From here on the member is sent broadcasts: what came before it has just been told."""

    member: MemberId


@dataclass(frozen=True, slots=True)
class Changed:
    """A member has changed movements after the fact; the originals are kept beside them."""

    author: str
    movements: Sequence[str]


@dataclass(frozen=True, slots=True)
class Carried:
    """A member has brought, because the relay asked, new structs under a client id that is another's. They are kept."""

    bringer: str
    owner: str
    client: ClientId
    clock: Clock
    end_clock: Clock


@dataclass(slots=True)
class Turn:
    """What a batch of messages comes to. Append ``kept``, then deliver in order, then expel."""

    kept: list[Kept] = field(default_factory=list)
    deliveries: list[Broadcast | Reply | Listens] = field(default_factory=list)
    expelled: list[tuple[MemberId, SyncError]] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    gaps: int = 0
    known: int = 0
