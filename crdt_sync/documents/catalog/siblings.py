"""What stands against what: the values of one attribute that nobody has chosen from, and who wrote them.

Two roots help. ``conflict`` is the vault: ``{attribute}|{tip}`` -> ``[value, device, stamp, person, [base]]``, what a
sibling held, because the CRDT itself forgets what lost. The value is a function of the tip, so whoever notes it notes
the same; the person is known to the relay alone. ``edits`` says who wrote: ``{client}.{clock}`` -> ``[device, stamp]``,
for that element and the client's following ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from crdt_sync.documents.catalog.registers import DELETED, check_value, is_deletion, read_value
from crdt_sync.documents.clock import at_ms
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import stamp
from crdt_sync.errors import InvalidValue
from crdt_sync.updates.forks import Head
from crdt_sync.values import ClientId

VAULT, EDITS = "conflict", "edits"

SIBLINGS_MAX = 64
"""So many siblings of one key are kept and shown. Nobody resolves more by hand, and a page could make thousands."""

CLAIM = "!"
"""A tip that begins so is no element of the attribute: somebody wrote on the grounds of a version that was not the
latest any more, and what they wrote is kept beside it."""


OVERRULED = CLAIM + "-"
"""A claim that begins so stands for a delete without effect: who wrote the element behind it had not seen it."""


def overruled_entry(key: str, dot: str) -> tuple[str, list[Value]]:
    """What the vault says of a delete that met the writing of the element ``dot``: a function of that element alone."""
    return f"{key}|{OVERRULED}{dot}", [None]


class ForksView(Protocol):
    """The heads of a document's watched keys. A :class:`~crdt_sync.replica.Replica` that watches them is one."""

    def heads(self, root: str, key: str) -> Sequence[Head]:
        """The heads of one key by rising id; none where it was never written."""
        ...

    def forked(self, root: str) -> Mapping[str, Sequence[Head]]:
        """All keys of a root that have several heads, by rising key."""
        ...


class _NoForks:
    def heads(self, root: str, key: str) -> Sequence[Head]:
        return ()

    def forked(self, root: str) -> Mapping[str, Sequence[Head]]:
        return {}


NO_FORKS: Final = _NoForks()
"""For a document whose heads nobody follows."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """One of the values that stand against each other."""

    tip: str
    """The element that wrote it, ``{client}.{clock}``, or the id of a claim."""
    value: Value
    """None also where the field was cleared."""
    is_known: bool
    """False where a page that keeps no losers had merged before anybody looked: the value is gone."""
    client: ClientId | None
    device: str | None
    """Who wrote it, as it calls itself; None for a plain page."""
    stamp: int | None
    person: str | None = None
    """Whose token the write came with, as the relay has noted it; None where no relay has."""
    base: tuple[Value] | None = None
    """What the field held when this was written, if that is known: a tuple of one, for it may have held nothing."""

    @property
    def at_ms(self) -> int | None:
        """When it was written, in Unix milliseconds, by its writer's clock."""
        return None if self.stamp is None else at_ms(self.stamp)

    def entry(self) -> list[Value]:
        """What the vault says of it. What nobody knows is left out at the end."""
        entry: list[Value] = [self.value, self.device, self.stamp]
        if self.person is not None or self.base is not None:
            entry.append(self.person)
        if self.base is not None:
            entry.append([*self.base])
        return entry


class Siblings:
    """What the documents say of tips: their values, their writers. Reads its roots once."""

    def __init__(self, roots: RootsView, forks: ForksView) -> None:
        self._roots = roots
        self._forks = forks
        self._vault = roots.entries(VAULT)
        self._edits: dict[ClientId, list[tuple[int, str, int]]] = {}
        for key, entry in roots.entries(EDITS).items():
            client, _, clock = key.partition(".")
            if client.isdecimal() and clock.isdecimal() and isinstance(entry, list) and len(entry) >= 2:
                device, written = entry[0], stamp(entry[1])
                if isinstance(device, str) and written is not None:
                    self._edits.setdefault(int(client), []).append((int(clock), device, written))
        for edits in self._edits.values():
            edits.sort()

    def claims(self) -> dict[str, list[str]]:
        """The claims of every key."""
        claims = defaultdict(list)
        for entry in self._vault:
            key, _, tip = entry.rpartition("|")
            if tip.startswith(CLAIM):
                claims[key].append(tip)
        return claims

    def of_head(self, key: str, head: Head) -> Sibling:
        """The sibling that ``head`` is; its own bytes say more than the vault, into which anybody may write."""
        device, written = self._written(head.client, head.clock)
        noted = self._noted(key, head.dot)
        is_known, value = value_of(head)
        if not is_known:
            is_known, value = noted.is_known, noted.value
        has_base, began = readable(head.base_value())
        base = (began,) if has_base else noted.base
        return Sibling(head.dot, value, is_known, head.client, device, written, noted.person, base)

    def of_tip(self, key: str, tip: str) -> Sibling:
        """The sibling behind a tip that may be no head any more."""
        noted = self._noted(key, tip)
        client, _, clock = tip.partition(".")
        if not (client.isdecimal() and clock.isdecimal()):
            return noted
        device, written = self._written(int(client), int(clock))
        return replace(noted, client=int(client), device=device, stamp=written)

    def has(self, key: str, tip: str) -> bool:
        """Whether the vault holds it."""
        return f"{key}|{tip}" in self._vault

    def _noted(self, key: str, tip: str) -> Sibling:
        """What the vault says of a tip, which may be anything: anybody may write there."""
        entry = self._vault.get(f"{key}|{tip}")
        if not isinstance(entry, list) or not entry:
            return Sibling(tip, None, False, None, None, None)
        is_known, value = readable(entry[0])
        _, device, written, person, base, *_ = [*entry, None, None, None, None]
        return Sibling(tip, value, is_known, None, _text(device), stamp(written), _text(person), _base(base))

    def _written(self, client: ClientId, clock: int) -> tuple[str | None, int | None]:
        edits = self._edits.get(client, [])
        place = bisect_right(edits, clock, key=lambda edit: edit[0]) - 1
        return (None, None) if place < 0 else edits[place][1:]


def last_edits(roots: RootsView) -> dict[str, int]:
    """By device the greatest stamp that it has signed an edit of attributes with."""
    latest: dict[str, int] = {}
    for entry in roots.entries(EDITS).values():
        device, written, *_ = [*entry, None, None] if isinstance(entry, list) else [None, None]
        if isinstance(device, str) and (at := stamp(written)) is not None:
            latest[device] = max(latest.get(device, 0), at)
    return latest


def value_of(head: Head) -> tuple[bool, Value]:
    """Whether the value of a head is known and can be read, and what it is."""
    return readable(head.value()) if head.is_known else (False, None)


def _text(noted: Value) -> str | None:
    return noted if isinstance(noted, str) else None


def _base(noted: Value) -> tuple[Value] | None:
    if not isinstance(noted, list) or len(noted) != 1:
        return None
    is_known, value = readable(noted[0])
    return (value,) if is_known else None


def readable(value: object) -> tuple[bool, Value]:
    """Whether a value of an attribute can be read, and what it says; a deletion with its evidence is ``"deleted"``."""
    if is_deletion(value):
        return True, DELETED
    try:
        return True, check_value("sibling", read_value(value))  # type: ignore[arg-type]  # a stranger wrote it
    except InvalidValue:
        # A nested type or raw bytes, which no facade of ours writes.
        return False, None
