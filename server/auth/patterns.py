"""Which documents, and what in them: the patterns of a token's claims ``docs`` and ``write``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crdt_sync.documents.keys import check_name, comp
from crdt_sync.documents.names import base_of, is_catalog
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import InvalidName
from crdt_sync.updates.places import Path
from crdt_sync.values import check_document
from server.auth.rights import INVENTORY_FOLDER, METRICS_FOLDER, Area, area_of

LOCATION_PREFIX: Final = "location:"
PATTERN_CHARS_MAX: Final = 512
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class DocumentPattern:
    """Which documents: an exact name, ``inventory/*`` for all below ``inventory``, or ``*`` for all of the tenant.

    A wildcard is the whole last segment and stands for one or more segments; ``inventory/*`` does not match
    ``inventory`` itself. An exact name stands for all epochs of its document, ``inventory/catalog.2`` among them.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> DocumentPattern:
        """Raises :class:`InvalidName` for anything that is none of the three forms."""
        name = text.removesuffix("/*")
        if text != "*":
            try:
                check_document(name)
            except InvalidName as error:
                raise InvalidName("document pattern", text, "a document, a document and '/*', or '*'") from error
        return cls(text)

    def matches(self, document: str) -> bool:
        """Whether ``document``, a valid name, is one of those meant."""
        if self.text == "*":
            return True
        if self.text.endswith("/*"):
            return document.startswith(self.text[:-1])
        return self.text in (document, base_of(document))

    def covers(self, other: DocumentPattern) -> bool:
        """Whether everything that ``other`` means is meant here, too."""
        if self.text == "*" or self.text == other.text:
            return True
        if other.text == "*":
            return False
        # Below a prefix lies all that lies below something that lies there.
        return self.matches(other.text.removesuffix("/*")) and (self.text.endswith("/*") or "*" not in other.text)

    def reaches(self, folder: str) -> bool:
        """Whether a document of this folder, such as ``inventory/``, may be meant."""
        return self.text == "*" or self.text.startswith(folder)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class PathPattern:
    """Which elements of a document: segments, of which ``*`` stands for any one, and as the last for one or more."""

    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Raises :class:`InvalidName` for an empty pattern or segment, or for what nobody could print."""
        segments = tuple(text.split("/"))
        if not all(segments) or not text.isprintable() or len(text) > PATTERN_CHARS_MAX:
            raise InvalidName("path pattern", text, "segments between single slashes; '*' is a whole segment")
        return cls(segments)

    def matches(self, path: Path) -> bool:
        """Whether the elements at ``path`` are meant."""
        segments = self.segments
        if segments[-1] == _ANY:
            if len(path) < len(segments):
                return False
        elif len(path) != len(segments):
            return False
        return all(segment in (_ANY, part) for segment, part in zip(segments, path, strict=False))

    def covers(self, other: PathPattern) -> bool:
        """Whether everything that ``other`` means is meant here, too."""
        if other.segments[-1] == _ANY and self.segments[-1] != _ANY:
            return False
        # A wildcard covers one; of anything else only itself is covered.
        return self.matches(other.segments)

    def __str__(self) -> str:
        return "/".join(self.segments)


@dataclass(frozen=True, slots=True)
class WritePattern:
    """One entry of the claim ``write``: documents, or paths within them, or what belongs to a location."""

    text: str
    documents: DocumentPattern
    paths: PathPattern | None = None
    """None for the whole document."""
    location: str | None = None

    @classmethod
    def parse(cls, text: str) -> WritePattern:
        """``inventory/*``, ``inventory/catalog#attr/*/price`` or ``location:paris``. Raises :class:`InvalidName`."""
        if text.startswith(LOCATION_PREFIX):
            return cls(text, DocumentPattern(f"{INVENTORY_FOLDER}*"), location=parse_location(text))
        documents, mark, paths = text.partition("#")
        return cls(text, DocumentPattern.parse(documents), PathPattern.parse(paths) if mark else None)

    def covers(self, other: WritePattern) -> bool:
        """Whether everything that ``other`` allows is allowed by this one alone."""
        if self.location is not None:
            return self.location == other.location
        if not self.documents.covers(other.documents):
            return False
        if self.paths is None:
            return True
        return other.paths is not None and self.paths.covers(other.paths)


@dataclass(frozen=True, slots=True)
class PathRights:
    """What somebody may write in one document, of which it may not write everything."""

    document: str
    patterns: tuple[PathPattern, ...]
    locations: tuple[str, ...] = ()
    """Whose movements it may write."""
    keeps_books: bool = False
    """It may note in the catalog what every writer notes there."""

    def allows(self, path: Path) -> bool:
        """Whether the elements at this path are its to write."""
        return any(pattern.matches(path) for pattern in self.patterns)


def parse_location(text: str) -> str:
    """The location of ``location:paris``, in its one spelling. Raises :class:`InvalidName`."""
    name = check_name("location", text.removeprefix(LOCATION_PREFIX))
    if not name.isprintable() or len(name) > PATTERN_CHARS_MAX:
        raise InvalidName("location", name, "printable text")
    return name


def path_rights(document: str, write: Sequence[WritePattern]) -> PathRights | None:
    """What these patterns allow in a document of which they do not allow everything; None for nothing at all."""
    here = [pattern for pattern in write if pattern.documents.matches(document)]
    patterns = [pattern.paths for pattern in here if pattern.paths is not None]
    locations = tuple(pattern.location for pattern in here if pattern.location is not None)
    if not is_catalog(document):
        return PathRights(document, tuple(patterns), locations) if here else None
    # Whoever writes movements or samples notes in the catalog that there are some.
    keeps_books = any(one.documents.reaches(folder) for one in write for folder in (INVENTORY_FOLDER, METRICS_FOLDER))
    patterns += [PathPattern((ATTRIBUTES, f"@{comp(location)}", _ANY)) for location in locations]
    return PathRights(document, tuple(patterns), keeps_books=True) if keeps_books else None


def is_inventory(document: str) -> bool:
    """Whether locations have anything to say about a document."""
    return area_of(document) is Area.INVENTORY
