"""What a facade sees of a document: root maps of plain values, never the CRDT behind them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Protocol, TypeAlias

from crdt_sync.errors import DocumentError
from crdt_sync.values import ClientId

Value: TypeAlias = bool | int | float | str | bytes | list["Value"] | dict[str, "Value"] | None
"""What one map entry holds. Numbers read from a document may come as floats; readers make whole ones ints again."""


class RootsView(Protocol):
    """One document's root maps, to be read. A :class:`~crdt_sync.replica.Replica` is one."""

    @property
    def client_id(self) -> ClientId:
        """This replica's Yjs client id; fresh for every opened document, never stored, never reused."""
        ...

    @property
    def version(self) -> Hashable:
        """Another one after every write, by whomever. What was read under one version need not be read again."""
        ...

    def get(self, root: str, key: str) -> Value | None:
        """The entry, or None where there is none (an entry that holds null reads as None, too)."""
        ...

    def entries(self, root: str) -> Mapping[str, Value]:
        """All entries of a root. A full read; the mapping may be made afresh on every call.

        As JSON has them, so byte strings may come as lists of numbers: read those by :meth:`keys` and :meth:`get`."""
        ...

    def keys(self, root: str) -> Iterable[str]:
        """The keys of a root, without reading what they hold."""
        ...


class Roots(RootsView, Protocol):
    """One document's root maps, to be read and written. Nothing here deletes: no root of ours knows deletion."""

    def put(self, root: str, key: str, value: Value) -> None:
        """Set one entry."""
        ...


class Draft:
    """Writes collected over a document. Reads see them; the document does not, until the owner applies ``writes``.

    CRDT transactions do not roll back, so an edit that fails half-way must not have begun to write."""

    def __init__(self, under: RootsView) -> None:
        self._under = under
        self._staged: dict[str, dict[str, Value]] = {}
        self._ended = False
        # Two drafts over one state may stage as many, but different, writes.
        self._self = object()
        self._puts = 0

    @property
    def client_id(self) -> ClientId:
        return self._under.client_id

    @property
    def version(self) -> Hashable:
        return (self._under.version, self._self, self._puts) if self._puts else self._under.version

    def get(self, root: str, key: str) -> Value | None:
        staged = self._staged.get(root)
        if staged is not None and key in staged:
            return staged[key]
        return self._under.get(root, key)

    def entries(self, root: str) -> Mapping[str, Value]:
        staged = self._staged.get(root)
        return {**self._under.entries(root), **staged} if staged else self._under.entries(root)

    def keys(self, root: str) -> Iterable[str]:
        staged = self._staged.get(root)
        return {**dict.fromkeys(self._under.keys(root)), **staged} if staged else self._under.keys(root)

    def put(self, root: str, key: str, value: Value) -> None:
        """Stage one write; a later write of the same key in the same edit replaces it.

        Raises :class:`DocumentError` once the edit has ended: the write would be lost without a word."""
        if self._ended:
            raise DocumentError("this edit has ended and takes no more writes; begin another one")
        self._puts += 1
        self._staged.setdefault(root, {})[key] = value

    @property
    def writes(self) -> list[tuple[str, str, Value]]:
        """What is staged, as ``(root, key, value)``, every key once."""
        return [(root, key, value) for root, staged in self._staged.items() for key, value in staged.items()]

    def end(self) -> list[tuple[str, str, Value]]:
        """Close the draft against further writes and return what was staged. Idempotent."""
        self._ended = True
        return self.writes
