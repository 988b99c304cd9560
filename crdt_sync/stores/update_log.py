"""What a store promises, and the words that it speaks. Implementations: memory.py, sqlite.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from crdt_sync.errors import DocumentRetired, StoreError
from crdt_sync.values import ClientId

INTEGER_MAX = 2**63 - 1
UPDATE_BYTES_MAX = 512 << 20
"""One update or one snapshot: half of what SQLite takes in one row, so that no batch fails because of one job."""

How: TypeAlias = Literal["firm", "mixed", "carried"]
"""``firm``: its owner has written under it. ``mixed``: so it has, but others have brought some of what is under it.
``carried``: somebody has brought what is under it, which may be another's work."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (records read so far, records in all)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a document's log."""

    update: bytes
    """Canonical Yjs v1 update bytes, stored unchanged."""
    author: str = ""
    """On a relay: who sent it (the token's subject). On a peer: its replica name for a local edit, else empty."""
    at_ms: int = 0
    """Wall clock, for display only; it never orders anything."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Whose client id it is. Only a relay's stores hold any."""

    client: ClientId
    subject: str
    how: How


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cache that replaces the log up to ``through``."""

    through: int
    """Sequence number of the last record that it contains; at least 1."""
    state: bytes
    """The whole document as one Yjs v1 update."""
    ledger: bytes
    """What the gate knows at ``through``; opaque to the store."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document as its log has it: the snapshot, every record after it, the marks and the bindings."""

    snapshot: Snapshot | None = None
    tail: tuple[Record, ...] = ()
    """Dense: the first one has number ``snapshot.through + 1`` (1 without a snapshot), the last ``last_seq``."""
    marks: Mapping[str, int] = field(default_factory=dict)
    healed: str | None = None
    """Says what was damaged, when the current snapshot was and the previous one stood in. The content is whole."""
    bindings: Mapping[ClientId, Binding] = field(default_factory=dict)
    """Of each client id that was bound, the last binding."""

    @property
    def last_seq(self) -> int:
        """Sequence number of the last record ever appended; 0 for a document without any."""
        return (self.snapshot.through if self.snapshot else 0) + len(self.tail)


@dataclass(frozen=True, slots=True)
class Figures:
    """How big a document's log is. Kept records include those that the previous snapshot needs."""

    last_seq: int
    records: int
    record_bytes: int
    snapshots: int
    snapshot_bytes: int


@dataclass(frozen=True, slots=True)
class Retirement:
    """The note that stays of a document that has ended. It outlives the document, so nothing in it may be personal."""

    document: str
    why: str
    at_ms: int
    """Wall clock of whoever retired it, in Unix milliseconds."""
    successor: str | None = None
    """The document that it goes on in."""

    def error(self) -> DocumentRetired:
        """What everybody gets who still asks for the document."""
        return DocumentRetired(self.document, self.why, self.successor)


class UpdateLog(Protocol):
    """One document's log. At most one writer at a time; who opens a room, or a peer's document, is that writer.

    The rules, each with tests of its number in tests/contracts:

    - L1  Records come back in the order of their appends, byte for byte, with author and time.
    - L2  Sequence numbers start at 1 and are dense. The store gives them; a failed append uses none.
    - L3  When ``append`` returns, its records are durable: no crash of process or machine loses them.
    - L4  One ``append`` is all or nothing, whatever happens in the middle. An empty one changes nothing.
    - L5  Appends that run at the same time are each whole; those of one document keep the order of their calls.
    - L6  ``load`` sees everything whose ``append``, ``mark`` or ``compact`` has returned.
    - L7  ``compact`` is atomic and changes neither content nor numbers: snapshot and tail still end at ``last_seq``.
    - L8  The previous snapshot and the log after it stay until the next ``compact``; what is older is deleted.
    - L9  ``compact`` refuses (ValueError) a snapshot that is ahead of the log or behind the current snapshot.
          One at the same ``through`` replaces the current snapshot, and the previous one stays.
    - L10 When ``mark`` returns, the counter is durable. Marks survive compaction.
    - L11 Documents of one store do not see each other. One that was never written is empty, not an error.
    - L12 A damaged, missing, surplus or moved row is StoreCorrupted, naming the place: never fewer records, never
          other bytes, never an empty document. Only a damaged current snapshot heals, and ``Loaded.healed`` says so.
    - L13 A caller that is cancelled while it waits breaks nothing for others. What it wrote is there whole or not
          at all; which of the two, the next ``load`` tells.
    - L14 A store that failed (``Store.failure``) refuses everything until it is opened again. A full disk is not
          such a failure: that append fails, nothing is kept of it, and the next may succeed.
    - L15 ``retire`` is atomic: after a crash the document is there whole, or it is gone and its note stands. Every
          method of its log then raises DocumentRetired, for good.
    - L16 When ``retire`` returns, no byte of the document is in the store's files; what a crash kept it from
          overwriting is overwritten when the store is opened the next time.
    - L17 A binding is durable with the records that it was appended with, in the same commit, and of one client id the
          last counts. Compaction leaves bindings alone, ``retire`` drops them, and L12 holds for them, too.

    Every method raises :class:`~crdt_sync.errors.StoreUnavailable` when the disk does not do its part,
    :class:`~crdt_sync.errors.StoreCorrupted` for rule L12, and :class:`~crdt_sync.errors.DocumentRetired` for L15.
    """

    async def load(self) -> Loaded:
        """Everything that a reader needs to rebuild the document."""
        ...

    async def load_from_previous(self) -> Loaded:
        """The same document, read from the previous snapshot and every record since (rule L8).

        It says the same as :meth:`load` by a longer way, and so proves what the current snapshot says."""
        ...

    async def append(self, records: Sequence[Record], bindings: Sequence[Binding] = ()) -> int:
        """Make ``records`` durable and return the last sequence number (the current one if there are none).

        ``bindings`` are made durable with them; without records there must be none (ValueError)."""
        ...

    async def compact(self, snapshot: Snapshot) -> None:
        """Make ``snapshot`` the current one and delete what only the one before the previous needed."""
        ...

    async def mark(self, name: str, value: int) -> None:
        """Set a small named counter of this document, such as how far the relay has acknowledged."""
        ...


class Store(Protocol):
    """One file, or one memory, that holds the logs of many documents."""

    @property
    def identity(self) -> str:
        """A uuid (32 hex digits) made when the store was created."""
        ...

    @property
    def failure(self) -> StoreError | None:
        """Why the store refuses everything until it is opened again, or None (rule L14)."""
        ...

    def log(self, document: str) -> UpdateLog:
        """The document's log; cheap, does no I/O. One writer per document (see :class:`UpdateLog`)."""
        ...

    async def documents(self) -> Sequence[str]:
        """Names of all documents that were ever written and have not ended, sorted."""
        ...

    async def retirements(self) -> Sequence[Retirement]:
        """The notes of all documents that have ended, by name."""
        ...

    async def retire(
        self, document: str, why: str, at_ms: int, successor: str | None = None, contents: Sequence[Record] = ()
    ) -> Retirement:
        """End a document: drop its log, snapshots and marks, and keep a note (rules L15 and L16).

        In the same commit ``contents`` are appended to ``successor``. A document that was never written can be
        retired, too. Retiring it again with the same successor returns the first note and appends nothing; with
        another one it raises :class:`DocumentRetired`. Takes as long as copying the store's file, and waits for
        verifications. Raises :class:`StoreUnavailable` when the disk could not overwrite everything: the document has
        ended then, and retiring it again, or the next opening, tries again."""
        ...

    async def figures(self, document: str) -> Figures:
        """Sizes, without checking any row."""
        ...

    async def verify(self, document: str, *, progress: Progress | None = None) -> Figures:
        """Read and check every row of the document, kept older ones too; raises StoreCorrupted at the first flaw."""
        ...


def check_records(records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the records, or raise ValueError for one that a row can't hold: it must not fail others' appends."""
    for record in records:
        check_text("author", record.author)
        check_integer("at_ms", record.at_ms)
        check_bytes("update", record.update)
    return tuple(records)


def check_bindings(bindings: Sequence[Binding], records: Sequence[Record]) -> tuple[Binding, ...]:
    """Return the bindings, or raise ValueError for one that a row can't hold, or if no record comes with them."""
    if bindings and not records:
        raise ValueError("a binding comes with what was written under it")
    for binding in bindings:
        check_integer("client", binding.client)
        check_text("subject", binding.subject)
    return tuple(bindings)


def check_snapshot(snapshot: Snapshot, *, current: int, last_seq: int) -> None:
    """Raise ValueError unless rule L9 holds. ``current`` is the current snapshot's ``through``, 0 without one."""
    if not 1 <= snapshot.through <= last_seq:
        raise ValueError(f"a snapshot through {snapshot.through} does not fit a log that ends at {last_seq}")
    if snapshot.through < current:
        raise ValueError(f"a snapshot through {snapshot.through} is older than the current one, through {current}")
    check_bytes("state", snapshot.state)
    check_bytes("ledger", snapshot.ledger)


def check_retirement(retirement: Retirement, contents: Sequence[Record]) -> tuple[Record, ...]:
    """Return the contents, or raise ValueError for a note or contents that make no sense."""
    check_text("why", retirement.why)
    check_integer("at_ms", retirement.at_ms)
    if retirement.successor is None and contents:
        raise ValueError("contents need a successor to go on in")
    if retirement.successor == check_text("document", retirement.document):
        raise ValueError(f"{retirement.document!r} can't succeed itself")
    if retirement.successor is not None:
        check_text("successor", retirement.successor)
    return check_records(contents)


def check_text(what: str, text: str) -> str:
    """Return ``text``, or raise ValueError if it is no valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} {text!r} is not valid Unicode") from error
    return text


def check_integer(what: str, value: int) -> int:
    """Return ``value``, or raise ValueError unless it is a signed 64-bit integer."""
    if not -INTEGER_MAX - 1 <= value <= INTEGER_MAX:
        raise ValueError(f"{what} {value} does not fit into 64 bits")
    return value


def check_bytes(what: str, data: bytes) -> None:
    """Raise ValueError for more bytes than one row may hold."""
    if len(data) > UPDATE_BYTES_MAX:
        raise ValueError(f"{what} has {len(data)} bytes; a row holds at most {UPDATE_BYTES_MAX}")
