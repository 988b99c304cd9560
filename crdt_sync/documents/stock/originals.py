"""Movements as they were first written, also where somebody has changed one after the fact.

A ``Y.Map`` shows the last of two writes, so no sum over it could tell. The relay sees it in the bytes, and puts what a
movement said at first under its id into the root ``orig``. Readers take that instead, and everybody ends at one sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Final

from crdt_sync.documents.keys import is_movement_id
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import MOVEMENTS, Fault
from crdt_sync.values import ClientId

ORIGINALS: Final = "orig"
"""``{movement id}`` -> the movement's row as it was first written. Only the relay writes here."""

CHANGED: Final = "was changed after it was written; the first content counts"


class FirstWritten:
    """One document whose movements read as they were first written; other roots as they are."""

    def __init__(self, under: RootsView) -> None:
        self._under = under

    @property
    def client_id(self) -> ClientId:
        return self._under.client_id

    @property
    def version(self) -> Hashable:
        return self._under.version

    def get(self, root: str, key: str) -> Value | None:
        """As of any document; a movement that was changed, or deleted, says what it said at first."""
        if root != MOVEMENTS:
            return self._under.get(root, key)
        original = self._under.get(ORIGINALS, key)
        return self._under.get(root, key) if original is None else original

    def entries(self, root: str) -> Mapping[str, Value]:
        """As of any document; see :meth:`get`."""
        entries = self._under.entries(root)
        originals = self._under.entries(ORIGINALS) if root == MOVEMENTS else {}
        return {**entries, **_present(originals)} if originals else entries

    def keys(self, root: str) -> Iterable[str]:
        """As of any document; a deleted movement is still among them."""
        keys = self._under.keys(root)
        originals = self._under.entries(ORIGINALS) if root == MOVEMENTS else {}
        return [*dict.fromkeys([*keys, *_present(originals)])] if originals else keys


def changed_movements(document: RootsView) -> list[str]:
    """The ids of all movements of a document that somebody has changed, or deleted, after they were written."""
    return sorted(filter(is_movement_id, document.keys(ORIGINALS)))


def change_faults(document: RootsView) -> list[Fault]:
    """The same, as faults."""
    return [Fault(MOVEMENTS, mid, CHANGED) for mid in changed_movements(document)]


def _present(originals: Mapping[str, Value]) -> Mapping[str, Value]:
    return {mid: row for mid, row in originals.items() if row is not None}
