"""What must be right before a document is retired: the note outlives it, and travels in the reason of a close frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from crdt_sync.errors import InvalidName
from crdt_sync.values import check_document

WHY_CHARS_MAX: Final = 200
SUCCESSOR_BYTES_MAX: Final = 80
"""With the error's code before it, the name must fit into the 123 bytes of a close frame's reason."""


@dataclass(frozen=True, slots=True)
class Order:
    """A document that is to end, why, and where it goes on, if at all."""

    document: str
    why: str
    successor: str | None

    @classmethod
    def parse(cls, document: str, why: str, successor: str | None = None) -> Self:
        """Raises :class:`InvalidName` for names that are none, a successor of more than 80 bytes, and a reason that is
        empty, longer than 200 characters, or not printable."""
        check_document(document)
        if not why.strip() or len(why) > WHY_CHARS_MAX or not why.isprintable():
            raise InvalidName("reason", why, f"printable text of 1 to {WHY_CHARS_MAX} characters")
        if successor is not None:
            check_document(successor)
            if len(successor) > SUCCESSOR_BYTES_MAX or successor == document:
                raise InvalidName("successor", successor, f"another document, at most {SUCCESSOR_BYTES_MAX} bytes")
        return cls(document, why, successor)
