"""How the documents of one tenant are called, and what each name says about the document."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

from crdt_sync.errors import InvalidName, WrongKind

CATALOG = "inventory/catalog"
_PERIOD = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?")
_YEAR = re.compile(r"(?!0000)[0-9]{4}")
_DAY_MS = 86_400_000
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = re.compile(r"((?:inventory|metrics)/[0-9a-z-]+)\.([2-9]|[1-9][0-9]{1,5})")
_SUBJECT = re.compile(r"[a-z0-9_][a-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class CatalogName:
    """The one catalog of a tenant."""

    epoch: int = 1
    """How often the document was begun anew, plus one."""

    def __str__(self) -> str:
        return in_epoch(CATALOG, self.epoch)


@dataclass(frozen=True, slots=True)
class MovementsName:
    """The movements of one period."""

    period: str
    epoch: int = 1

    def __str__(self) -> str:
        return in_epoch(movements_document(self.period), self.epoch)


@dataclass(frozen=True, slots=True)
class MetricsName:
    """The metrics of one period."""

    period: str
    epoch: int = 1

    def __str__(self) -> str:
        return in_epoch(metrics_document(self.period), self.epoch)


@dataclass(frozen=True, slots=True)
class PersonalName:
    """What is known of one person, in a document that can be erased."""

    subject: str

    def __str__(self) -> str:
        return personal_document(self.subject)


DocumentName: TypeAlias = CatalogName | MovementsName | MetricsName | PersonalName


def check_period(period: str) -> str:
    """Return a UTC month such as ``2026-11``, or a UTC day such as ``2026-11-20``, unchanged.

    Raises :class:`InvalidName`, also for days that no calendar has."""
    if _PERIOD.fullmatch(period):
        year, month, *day = map(int, period.split("-"))
        try:
            date(year, month, day[0] if day else 1)
        except ValueError as error:
            raise InvalidName("period", period, str(error)) from error
        return period
    raise InvalidName("period", period, "a UTC month like 2026-11 or a UTC day like 2026-11-20")


def is_year(period: str) -> bool:
    """Whether this is a UTC year such as ``2026``: a period of metrics that holds the folds of its months."""
    return _YEAR.fullmatch(period) is not None


def period_span_ms(period: str) -> tuple[int, int]:
    """When a year, month or day begins and when the next one does, in Unix milliseconds.

    Raises :class:`InvalidName`."""
    year, month, day = (*map(int, (period if is_year(period) else check_period(period)).split("-")), 0, 0)[:3]
    first = date(year, month or 1, day or 1)
    if day:
        last = first
    elif month:
        last = date(year, month, monthrange(year, month)[1])
    else:
        last = date(year, 12, 31)
    return _days_ms(first), _days_ms(last) + _DAY_MS


def period_of(at_ms: int) -> str:
    """The UTC month of a Unix time in milliseconds. Raises :class:`InvalidName` outside the years 1 to 9999."""
    return _moment(at_ms).strftime("%Y-%m").zfill(7)


def day_of(at_ms: int) -> str:
    """The UTC day of a Unix time in milliseconds, for tenants whose months would grow too large."""
    return _moment(at_ms).date().isoformat()


def movements_document(period: str) -> str:
    """``inventory/{period}``. Raises :class:`InvalidName`."""
    return f"inventory/{check_period(period)}"


def metrics_document(period: str) -> str:
    """``metrics/{period}``; the period may be a year. Raises :class:`InvalidName`."""
    return f"metrics/{period if is_year(period) else check_period(period)}"


def personal_document(subject: str) -> str:
    """``pii/{subject}``. Raises :class:`InvalidName`.

    The subject is an id that says nothing by itself, such as a customer number: names of documents outlive them."""
    if not _SUBJECT.fullmatch(subject):
        raise InvalidName("subject", subject, "a-z, 0-9, '.', '_' and '-', at most 128, not starting with a sign")
    return f"pii/{subject}"


def base_of(document: str) -> str:
    """The name of a document's first epoch: ``inventory/catalog`` of ``inventory/catalog.3``, and of itself."""
    found = _EPOCH.fullmatch(document)
    return document if found is None else found[1]


def epoch_of(document: str) -> int:
    """Which epoch of a document this is: 1 for a name that says nothing of one."""
    found = _EPOCH.fullmatch(document)
    return 1 if found is None else int(found[2])


def in_epoch(base: str, epoch: int) -> str:
    """The name of one epoch of the document that began as ``base``."""
    return base if epoch == 1 else f"{base}.{epoch}"


def next_epoch(document: str) -> str:
    """The name of the epoch after this one. Raises :class:`WrongKind` for a document that has none."""
    if isinstance(parse_document(document), PersonalName):
        raise WrongKind(f"{document!r} has no epochs: personal data is erased, not begun anew")
    return in_epoch(base_of(document), epoch_of(document) + 1)


def is_catalog(document: str) -> bool:
    """Whether this is the catalog, in whatever epoch."""
    return base_of(document) == CATALOG


def parse_document(name: str) -> DocumentName:
    """What a document's name says that it holds.

    Raises :class:`WrongKind` for a name that is not one of ours, :class:`InvalidName` for one with a bad period."""
    epoch = epoch_of(name)
    match base_of(name).split("/"):
        case ["inventory", "catalog"]:
            return CatalogName(epoch)
        case ["inventory", period]:
            return MovementsName(check_period(period), epoch)
        case ["metrics", period]:
            return MetricsName(period if is_year(period) else check_period(period), epoch)
        case ["pii", subject] if _SUBJECT.fullmatch(subject):
            return PersonalName(subject)
        case _:
            raise WrongKind(f"{name[:80]!r} names neither a catalog nor movements nor metrics nor a person's data")


def _days_ms(day: date) -> int:
    return (day - _UNIX_EPOCH.date()).days * _DAY_MS


def _moment(at_ms: int) -> datetime:
    try:
        return _UNIX_EPOCH + timedelta(milliseconds=at_ms)
    except OverflowError as error:
        raise InvalidName("time", str(at_ms), "Unix milliseconds of the years 1 to 9999") from error
