"""Who may still come in: what the access file says, kept in memory and looked at anew when the file has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from crdt_sync.errors import InvalidName, StoreCorrupted, StoreError
from server.auth.access_file import FILE_NAME, AccessFile, Entry, seal
from server.auth.api_keys import ACT as KEY_MADE
from server.auth.api_keys import ApiKey
from server.auth.grants import CredentialRefused, Grant
from server.auth.revocations import ACT as REVOKED
from server.auth.revocations import Revocation

log = structlog.get_logger(__name__)

GRACE_S: Final = 60
"""Lines are kept for so much longer than they can be needed: clocks of issuers are not ours."""


@dataclass(frozen=True, slots=True)
class Access:
    """What stands in the file at one time."""

    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    revocations: Mapping[tuple[str, str, str], Sequence[Revocation]] = field(default_factory=dict)
    """By whom they can hit: (tenant, token id, user), each empty where it does not matter. There may be thousands, and
    every open connection is held against them."""
    strange: tuple[str, ...] = ()
    """What is wrong with entries that could not be understood."""

    @classmethod
    def parse(cls, entries: Sequence[Entry]) -> Access:
        """An entry that makes no sense is told in :attr:`strange`; the others count."""
        keys: dict[str, ApiKey] = {}
        revocations: dict[tuple[str, str, str], list[Revocation]] = {}
        strange = []
        for number, entry in enumerate(entries, start=1):
            try:
                match entry.get("act"):
                    case act if act == KEY_MADE:
                        key = ApiKey.parse(entry)
                        keys[key.id] = key
                    case act if act == REVOKED:
                        revocation = Revocation.parse(entry)
                        user = "" if revocation.token else revocation.user or ""
                        whom = revocation.tenant, revocation.token or "", user
                        revocations.setdefault(whom, []).append(revocation)
                    case _:
                        raise ValueError("neither a key nor a revocation")
            except (KeyError, TypeError, ValueError, InvalidName, CredentialRefused) as error:
                strange.append(f"entry {number}: {error!r}")
        return cls(keys, revocations, tuple(strange))

    def is_revoked(self, grant: Grant, document: str | None = None) -> bool:
        """Whether all that ``grant`` allows was taken back, or one document of it."""
        return any(
            (revocation.document is None or (document is not None and revocation.document.matches(document)))
            and revocation.hits(grant)
            for whom in _whom(grant)
            for revocation in self.revocations.get(whom, ())
        )

    def check(self, grant: Grant, document: str | None = None) -> None:
        """Raise :class:`CredentialRefused` for what was taken back."""
        if self.is_revoked(grant, document):
            raise revoked_error()


def _whom(grant: Grant) -> Iterator[tuple[str, str, str]]:
    """Under what the revocations stand that can hit ``grant``: those of ``shop`` hit ``shop/ada``, too."""
    yield grant.tenant, "", ""
    yield grant.tenant, grant.token_id, ""
    user = grant.subject
    while user:
        yield grant.tenant, "", user
        user = user.rpartition("/")[0]


def revoked_error() -> CredentialRefused:
    return CredentialRefused("revoked", "revoked: show a token that was issued since")


class AccessBook:
    """The access file of a data directory, as a relay or a command sees it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        token_life_s: float,
        on_entry: Callable[[Entry], None] | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """``token_life_s`` is the longest that a token may live: what has hit only older ones is forgotten.
        ``on_entry`` is told of every line that comes while the book is open."""
        self.now = Access()
        self._on_entry = on_entry
        self._file = AccessFile(data_dir / FILE_NAME)
        self._token_life_s, self._wall_s = token_life_s, wall_s
        self._seen: tuple[int, int, int] | None = None
        self._entries: tuple[Entry, ...] = ()

    def open(self) -> None:
        """Read the file for the first time. Raises :class:`StoreCorrupted` when it is damaged: a revocation may be
        missing, and nobody must come in who was thrown out."""
        self._seen = self._file.signature()
        lines = self._file.read()
        self._entries = lines.entries
        self.now = Access.parse(lines.entries)
        if lines.damage or self.now.strange:
            raise StoreCorrupted(
                f"{self._file.path} is damaged ({', '.join((*lines.damage, *self.now.strange))}): see what it takes"
                " back, revoke it again in a new file, and make its API keys anew"
            )

    def look(self) -> bool:
        """Read the file if it has changed; returns whether it had. Never fails: what was taken back stays taken back
        when the file is damaged or gone, and what it says beside that counts."""
        try:
            signature = self._file.signature()
            if signature == self._seen:
                return False
            lines = self._file.read()
        except (StoreError, OSError) as error:
            log.error("access file not read", error=str(error))
            return False
        # Once here, a line counts for as long as it can matter, whatever becomes of the file.
        before = {seal(entry): entry for entry in self._entries}
        known = {seal(entry): entry for entry in (*self.still_needed(self._entries), *lines.entries)}
        self._seen, self._entries = signature, tuple(known.values())
        if self._on_entry is not None:
            for entry in [entry for line, entry in known.items() if line not in before]:
                self._on_entry(entry)
        self.now = Access.parse(self._entries)
        if lines.damage or self.now.strange:
            log.error("access file damaged", path=str(self._file.path), where=[*lines.damage, *self.now.strange])
        return True

    def add(self, order: Revocation | ApiKey, *, by: str) -> Entry:
        """Put a revocation or a key down, durably, and who ordered it. Raises :class:`StoreUnavailable`."""
        entry = {**order.to_entry(), "by": by, "at_s": int(self._wall_s())}
        self._file.append(entry, still_needed=self.still_needed)
        return entry

    def still_needed(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Without keys that have ended, and without revocations that hit nothing any more that could be shown."""
        now_s = self._wall_s()
        access = Access.parse(entries)
        living = {key.id for key in access.keys.values() if not key.grant.has_expired(now_s - GRACE_S)}
        oldest_s = now_s - self._token_life_s - GRACE_S

        def is_needed(entry: Entry) -> bool:
            if entry.get("act") == KEY_MADE:
                return entry.get("id") in living
            if entry.get("act") != REVOKED:
                return True
            revocation = Revocation.parse(entry)
            return revocation.issued_until_s >= oldest_s or any(
                revocation.hits(access.keys[key_id].grant) for key_id in living
            )

        return entries if access.strange else [entry for entry in entries if is_needed(entry)]
