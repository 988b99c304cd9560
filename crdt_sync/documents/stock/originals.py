"""Movements as they were first written, also where somebody has changed one after the fact.

A ``Y.Map`` shows the last of two writes, so no sum over it could tell. The relay sees it in the bytes, and puts what a
movement said at first under its id into the root ``orig``. Readers take that instead, and everybody ends at one sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from crdt_sync.documents.keys import is_movement_id
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import MOVEMENTS, Fault

ORIGINALS: Final = "orig"
"""``{movement id}`` -> the movement's row as it was first written. Only the relay writes here."""

CHANGED: Final = "was changed after it was written; the first content counts"


def entry_of(document: RootsView, mid: str) -> Value | None:
    """One movement as it was first written, or None where there is none."""
    original = document.get(ORIGINALS, mid)
    return document.get(MOVEMENTS, mid) if original is None else original


def entries_of(document: RootsView) -> Mapping[str, Value]:
    """All movements as they were first written, also those that somebody has deleted since. A full read."""
    entries, originals = document.entries(MOVEMENTS), document.entries(ORIGINALS)
    return {**entries, **originals} if originals else entries


def keys_of(document: RootsView) -> Iterable[str]:
    """The ids of all movements, also of those that somebody has deleted since."""
    keys, originals = document.keys(MOVEMENTS), list(document.keys(ORIGINALS))
    return {**dict.fromkeys(keys), **dict.fromkeys(originals)} if originals else keys


def changed_movements(document: RootsView) -> list[str]:
    """The ids of all movements of a document that somebody has changed, or deleted, after they were written."""
    return sorted(filter(is_movement_id, document.keys(ORIGINALS)))


def change_faults(document: RootsView) -> list[Fault]:
    """The same, as faults."""
    return [Fault(MOVEMENTS, mid, CHANGED) for mid in changed_movements(document)]
