"""What stands in an audit log, and how many rows a flood may make of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal, TypeAlias, get_args

from crdt_sync.errors import StoreCorrupted

AuditKind: TypeAlias = Literal[
    "refused",
    "expelled",
    "carried",
    "revoked",
    "key-made",
    "key-revoked",
    "quarantined",
    "restored",
    "retired",
    "held-back",
]
"""``held-back`` counts the rows that one minute had no room for; the others are what somebody did."""
KINDS: Final[frozenset[str]] = frozenset(get_args(AuditKind))

TEXT_CHARS_MAX: Final = 400
"""Of any one text of an event: a client may have chosen it."""
BUNDLE_S: Final = 60.0
ROWS_PER_MINUTE_MAX: Final = 60
BUNDLES_MAX: Final = 4_096


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that was refused or ordered. Never holds a credential, nor a part of one."""

    kind: AuditKind
    tenant: str | None = None
    """None for what concerns no tenant, or nobody knows which."""
    subject: str = ""
    """Who acted, or was acted upon, as the token says."""
    document: str = ""
    address: str = ""
    """The client's IP address, as the relay sees it."""
    code: str = ""
    """The code of the error that was answered, or another word that programs may look for."""
    sentence: str = ""
    at_ms: int = field(default_factory=wall_clock_ms)
    """Unix milliseconds; of a row that counts several, when the first of them came."""
    count: int = 1

    def to_bytes(self) -> bytes:
        """The row: canonical JSON, so that one event has one form."""
        cut = {name: _cut(value) if isinstance(value, str) else value for name, value in asdict(self).items()}
        return json.dumps(cut, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def parse(cls, row: bytes) -> AuditEvent:
        """Raises :class:`StoreCorrupted` for a row that is none."""
        try:
            plain = json.loads(row)
            if plain["kind"] not in KINDS:
                raise ValueError("a later version's kind of event")
            return cls(**plain)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise StoreCorrupted(f"a row of the audit log is no event: {error!r}") from error


def _cut(text: str) -> str:
    # No token or sentence of ours is that long, and nothing that is not Unicode can be stored.
    return text[:TEXT_CHARS_MAX].encode("utf-8", "backslashreplace").decode()


_Key: TypeAlias = tuple[str, str | None, str, str, str, str]


@dataclass(slots=True)
class _Bundle:
    first: AuditEvent
    closes_at_s: float
    repeats: int = 0


@dataclass(slots=True)
class _Minute:
    ends_at_s: float
    rows: int = 0
    held_back: int = 0
    since_ms: int = 0


Row: TypeAlias = tuple[str, AuditEvent]
"""The log that an event goes to, and the event."""


class FloodGate:
    """Lets the first of equal events through, and later how many more there were. Pure but for the time it is told.

    ``log`` names the log that an event goes to; each has a bounded number of rows in a minute."""

    def __init__(self, *, rows_per_minute_max: int = ROWS_PER_MINUTE_MAX, bundles_max: int = BUNDLES_MAX) -> None:
        self._rows_per_minute_max, self._bundles_max = rows_per_minute_max, bundles_max
        self._bundles: dict[tuple[str, _Key], _Bundle] = {}
        self._minutes: dict[str, _Minute] = {}

    def take(self, log: str, event: AuditEvent, now_s: float) -> Sequence[Row]:
        """The rows that are to be written now."""
        key = (log, _key(event))
        bundle = self._bundles.get(key)
        if bundle is not None and now_s < bundle.closes_at_s:
            bundle.repeats += event.count
            return ()
        rows = [] if bundle is None else self._close(key)
        minute = self._minutes.setdefault(log, _Minute(now_s + BUNDLE_S))
        if minute.rows >= self._rows_per_minute_max or len(self._bundles) >= self._bundles_max:
            minute.since_ms = minute.since_ms or event.at_ms
            minute.held_back += event.count
            return rows
        minute.rows += 1
        self._bundles[key] = _Bundle(event, now_s + BUNDLE_S)
        return [*rows, (log, event)]

    def due(self, now_s: float) -> Sequence[Row]:
        """The counts whose minute is over."""
        return self._settle(lambda ends_at_s: ends_at_s <= now_s)

    def rest(self) -> Sequence[Row]:
        """All that has been counted and not been written."""
        return self._settle(lambda _: True)

    def _settle(self, is_over: Callable[[float], bool]) -> Sequence[Row]:
        rows: list[Row] = []
        for key in [key for key, bundle in self._bundles.items() if is_over(bundle.closes_at_s)]:
            rows += self._close(key)
        for log in [log for log, minute in self._minutes.items() if is_over(minute.ends_at_s)]:
            minute = self._minutes.pop(log)
            if minute.held_back:
                sentence = f"{self._rows_per_minute_max} rows a minute are kept; these were one too many"
                counted = AuditEvent("held-back", sentence=sentence, at_ms=minute.since_ms, count=minute.held_back)
                rows.append((log, counted))
        return rows

    def _close(self, key: tuple[str, _Key]) -> list[Row]:
        bundle = self._bundles.pop(key)
        if not bundle.repeats:
            return []
        return [(key[0], replace(bundle.first, count=bundle.repeats))]


def _key(event: AuditEvent) -> _Key:
    return event.kind, event.tenant, event.subject, event.document, event.code, event.address
