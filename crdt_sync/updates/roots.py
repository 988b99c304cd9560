"""Which type each root of a document has. The bytes do not say it outright; what was put into a root does."""

from __future__ import annotations

from enum import Enum

from crdt_sync.updates.content import type_of
from crdt_sync.updates.decode import EMBED, FORMAT, STRING, TYPE, DecodedUpdate


class RootKind(Enum):
    MAP = "map"
    TEXT = "text"
    XML = "xml"
    ARRAY = "array"


_XML_TYPES = (3, 4, 5, 6)


def root_kinds(document: DecodedUpdate) -> dict[str, RootKind]:
    """The roots of a whole document. A root that was used as two types is a map if it ever was one, else text, else
    XML: the order in which less would be lost from view."""
    found: dict[str, set[RootKind]] = {}
    for section in document.sections:
        for struct in section.structs:
            if isinstance(struct.parent, str):
                kind = _kind(document.raw, struct.key, struct.kind, struct.content)
                found.setdefault(struct.parent, set()).add(kind)
    return {name: next(kind for kind in RootKind if kind in kinds) for name, kinds in found.items()}


def _kind(raw: bytes, key: str | None, kind: int, content: int) -> RootKind:
    if key is not None:
        return RootKind.MAP
    if kind in (STRING, EMBED, FORMAT):
        return RootKind.TEXT
    if kind == TYPE and type_of(raw, content) in _XML_TYPES:
        return RootKind.XML
    return RootKind.ARRAY
