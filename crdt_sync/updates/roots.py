"""Which type each root of a document has. The bytes do not say it outright; what was put into a root does."""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum

from crdt_sync.updates.content import type_of
from crdt_sync.updates.decode import EMBED, FORMAT, STRING, TYPE, DecodedUpdate, Struct
from crdt_sync.values import ClientId, Clock, Id


class RootKind(Enum):
    MAP = "map"
    TEXT = "text"
    XML = "xml"
    ARRAY = "array"


_XML_TYPES = (3, 4, 5, 6)


def root_kinds(document: DecodedUpdate) -> dict[str, RootKind]:
    """The roots of a whole document. A root that was used as two types is a map if it ever was one, else text, else
    XML: the order in which less would be lost from view."""
    owners = _Owners(document)
    found: dict[str, set[RootKind]] = {}
    for section in document.sections:
        for struct in section.structs:
            root = owners.root_of(section.client, struct)
            if root is not None:
                kind = _kind(document.raw, struct.key, struct.kind, struct.content)
                found.setdefault(root, set()).add(kind)
    return {name: next(kind for kind in RootKind if kind in kinds) for name, kinds in found.items()}


class _Owners:
    """Finds the root that a struct lies in. Only the first struct of a sequence says it, and its content may be gone,
    so that all others lead to it by their origins."""

    def __init__(self, document: DecodedUpdate) -> None:
        self._structs = {section.client: section.structs for section in document.sections}
        self._known: dict[Id, str | None] = {}

    def root_of(self, client: ClientId, struct: Struct) -> str | None:
        """The name of the root, or None for what lies in a nested type."""
        path: list[Id] = []
        current: tuple[ClientId, Struct] | None = (client, struct)
        root = None
        while current is not None:
            place = current[0], current[1].clock
            if place in self._known:
                root = self._known[place]
                break
            # Known as nested until found out, so that not even a circle can keep this from ending.
            self._known[place] = None
            path.append(place)
            neighbour = current[1].origin or current[1].right
            if neighbour is None:
                root = current[1].parent if isinstance(current[1].parent, str) else None
                break
            current = self._holder(*neighbour)
        for place in path:
            self._known[place] = root
        return root

    def _holder(self, client: ClientId, clock: Clock) -> tuple[ClientId, Struct] | None:
        structs = self._structs.get(client, ())
        index = bisect_right(structs, clock, key=lambda struct: struct.clock) - 1
        return (client, structs[index]) if index >= 0 else None


def _kind(raw: bytes, key: str | None, kind: int, content: int) -> RootKind:
    if key is not None:
        return RootKind.MAP
    if kind in (STRING, EMBED, FORMAT):
        return RootKind.TEXT
    if kind == TYPE and type_of(raw, content) in _XML_TYPES:
        return RootKind.XML
    return RootKind.ARRAY
