"""The words that everything else speaks. Parsed once, at the door; inside nobody re-checks a string."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from crdt_sync.errors import InvalidName

ClientId: TypeAlias = int
"""A Yjs client id: one writing session of one document, 0 to 2**53 - 1. Never reused."""

Clock: TypeAlias = int
"""Counts the elements that one client has inserted into one document."""

Id: TypeAlias = tuple[ClientId, Clock]
"""One element of one document."""

StateVector: TypeAlias = Mapping[ClientId, Clock]
"""What a replica holds: for every client the first clock that it does *not* have."""

TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
SEGMENT = re.compile(r"[a-z0-9_][a-z0-9._-]{0,127}")
DOCUMENT_CHARS_MAX = 200

_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_ALL_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ROUNDS_MAX = 64
"""Many times what is nested in good faith. Each round reads everything, so there is an end to them."""
_SHALLOW = 8


def check_tenant(tenant: str) -> str:
    """Return ``tenant`` unchanged, or raise :class:`InvalidName`."""
    if not TENANT.fullmatch(tenant):
        raise InvalidName("tenant", tenant, "a-z, 0-9, '.', '_' and '-', at most 63, not starting with a sign")
    return tenant


def check_document(document: str) -> str:
    """Return the name of a document, such as ``inventory/2026-11``, unchanged, or raise :class:`InvalidName`.

    Names are compared byte by byte: no case folding, no Unicode forms, no percent escapes, no ``..``.
    """
    if len(document) > DOCUMENT_CHARS_MAX or not all(map(SEGMENT.fullmatch, document.split("/"))):
        raise InvalidName("document", document, "segments of a-z, 0-9, '.', '_' and '-' between single slashes")
    return document


@dataclass(frozen=True, slots=True, order=True)
class RoomId:
    """A tenant's document as the relay knows it, e.g. ``acme/inventory/2026-11``."""

    tenant: str
    document: str

    @classmethod
    def parse(cls, path: str) -> RoomId:
        """Split ``tenant/document``; the document may hold slashes. Raises :class:`InvalidName`."""
        tenant, _, document = path.partition("/")
        return cls(check_tenant(tenant), check_document(document))

    def __str__(self) -> str:
        return f"{self.tenant}/{self.document}"


def read_json(text: str, depth_max: int) -> Any:
    """Parse JSON from a stranger. Raises :class:`ValueError` in one sentence; never recurses past ``depth_max``.

    Numbers come back as floats, as JavaScript reads them: Python's ``int`` of many digits takes quadratic time.
    """
    depth = json_depth(text)
    if depth > depth_max:
        raise ValueError(f"JSON is nested {depth} deep, more than {depth_max}")
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=float)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None


def json_depth(text: str) -> int:
    """An upper bound of the nesting, found before a parser recurses: exact where there is more than a little of it."""
    brackets = text.count("[") + text.count("{")
    if brackets <= _SHALLOW:
        return brackets
    rest = _JSON_STRING.sub("", text).encode("utf-8", "surrogatepass").translate(_ALL_ALIKE, _NO_BRACKETS)
    # Each round takes the innermost pairs away, at the speed of memory; only what is left then is walked through.
    rounds = 0
    while b"[]" in rest and rounds < _ROUNDS_MAX:
        rest, rounds = rest.replace(b"[]", b""), rounds + 1
    depth = deepest = 0
    for bracket in rest:
        depth += 1 if bracket == ord("[") else -1
        deepest = max(deepest, depth)
    return rounds + deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
