"""What the relay and its steward say to each other: JSON, a line each, over pipes. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

VISITED_MAX: Final = 1_000
"""Documents of one tenant that the steward is told of, well below what one connection may open."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """The first line to the steward."""

    relay: str
    """Where it connects, as every peer does."""
    folder: str
    """Where it keeps its files."""
    secret: str = field(repr=False)
    """Base64 of the secret of the relay's own key; it never touches a disk."""
    issuer: str
    audience: str
    token_ttl_s: int
    interval_s: float
    limits: dict[str, int]
    """The relay's own, by name."""


@dataclass(frozen=True, slots=True)
class Attend:
    """Somebody came into this document: look after its tenant from now on."""

    tenant: str
    document: str


@dataclass(frozen=True, slots=True)
class Dismiss:
    """The tenant is not in use any more."""

    tenant: str


@dataclass(frozen=True, slots=True)
class Alive:
    """Said again and again, so that a steward that hangs is told from one that has nothing to do."""


@dataclass(frozen=True, slots=True)
class Handles:
    """Said before native code gets anything of a document: should the steward die, that is what it died of."""

    tenant: str
    document: str
    """Empty for a duty, which reads several."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """All duties were gone through for a tenant."""

    tenant: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A duty could not be done for a tenant, or something else went wrong there."""

    tenant: str
    duty: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Retire:
    """The relay is asked to end a document."""

    tenant: str
    document: str
    why: str


Order: TypeAlias = Attend | Dismiss
Report: TypeAlias = Alive | Handles | Rounded | Failed | Retire
_WORDS: Final[tuple[type[Any], ...]] = (Instructions, Attend, Dismiss, Alive, Handles, Rounded, Failed, Retire)
_BY_NAME: Final[Mapping[str, type[Any]]] = {kind.__name__: kind for kind in _WORDS}


def to_line(word: Instructions | Order | Report) -> bytes:
    return json.dumps({"word": type(word).__name__, **asdict(word)}, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Instructions | Order | Report:
    """Raises ValueError, KeyError or TypeError for what is none."""
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("no word is without its name")
    word: Instructions | Order | Report = _BY_NAME[fields.pop("word")](**fields)
    return word
