"""Which movements of a closed period its fold counts; what came later is late, and moves on to another period."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from crdt_sync.documents.keys import is_movement_id, parse_base36, to_base36
from crdt_sync.documents.roots import RootsView, Value
from crdt_sync.documents.schema import INT_MAX, META, Fault, whole

CLOSED, COVERS = "closed", "covers"
HOME = "home"
"""Root of a movement document: of each movement that moved in here, the period in which it was late."""

MARK_BYTES = 8
_OTHERS = ""
"""Under this key of the covers, which is no client's, stand ids that no number of a client names."""


class Coverage:
    """A set of movement ids, kept as ranges of the sequence numbers of each client."""

    def __init__(self, mids: Iterable[str] = ()) -> None:
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        others = set()
        for mid in mids:
            client, number = _parts(mid)
            if number is None:
                others.add(mid)
            else:
                numbers[client].append(number)
        self._ranges = {client: _boundaries(sorted(found)) for client, found in sorted(numbers.items())}
        self._others = frozenset(others)

    def __contains__(self, mid: str) -> bool:
        client, number = _parts(mid)
        if number is None:
            return mid in self._others
        # Between a beginning and its end an odd number of boundaries lies behind.
        return bisect_right(self._ranges.get(client, ()), number) % 2 == 1

    def __iter__(self) -> Iterator[str]:
        for client, boundaries in self._ranges.items():
            for start, end in zip(boundaries[::2], boundaries[1::2], strict=True):
                yield from (f"{client}.{to_base36(number)}" for number in range(start, end))
        yield from sorted(self._others)

    def __len__(self) -> int:
        return len(self._others) + sum(sum(ends[1::2]) - sum(ends[::2]) for ends in self._ranges.values())

    def encode(self) -> Value:
        """As ``covers`` in ``meta`` holds it: of each client how many, or from where to where."""
        encoded: dict[str, Value] = {
            client: ends[1] if len(ends) == 2 and ends[0] == 0 else list(ends) for client, ends in self._ranges.items()
        }
        if self._others:
            encoded[_OTHERS] = [*sorted(self._others)]
        return encoded

    @classmethod
    def decode(cls, value: Value) -> Coverage | None:
        """What :meth:`encode` made; None for anything else."""
        if not isinstance(value, dict):
            return None
        coverage = cls()
        for client, content in value.items():
            if client == _OTHERS:
                if not isinstance(content, list) or not all(isinstance(mid, str) for mid in content):
                    return None
                coverage._others = frozenset(str(mid) for mid in content)
                continue
            ends = [whole(end) for end in (content if isinstance(content, list) else [0, content])]
            known = [end for end in ends if end is not None and end >= 0]
            if len(known) != len(ends) or len(ends) % 2 or any(a >= b for a, b in pairwise(known)):
                return None
            coverage._ranges[client] = known
        return coverage


class Uncovered(NamedTuple):
    """The movements of a closed document that its fold does not count, read at one version of it."""

    version: Hashable
    mids: Sequence[str]


def read_covers(document: RootsView) -> Coverage | None:
    """Which movements of this document its fold counts; None as long as it is open."""
    value = document.get(META, COVERS)
    return None if value is None else Coverage.decode(value)


def coverage_faults(document: RootsView) -> list[Fault]:
    """The entry of ``meta`` that should say what a fold counts and does not."""
    is_wrong = document.get(META, COVERS) is not None and read_covers(document) is None
    return [Fault(META, COVERS, "does not say which movements are in the fold")] if is_wrong else []


def mark_of(mid: str) -> bytes:
    """Eight bytes that stand for an id."""
    return sha256(mid.encode()).digest()[:MARK_BYTES]


def subject_mark(mid: str) -> bytes:
    """Eight bytes that stand for an id as what others refer to."""
    # Callers choose references freely: one that is some movement's id must not keep that movement from counting.
    return mark_of(f"@{mid}")


def digest_of(mids: Iterable[str]) -> str:
    """What a set of ids comes to, whatever their order: the xor of their marks, as 16 hex digits."""
    total = 0
    for mid in mids:
        total ^= int.from_bytes(mark_of(mid))
    return f"{total:016x}"


def countable_ids(mids: Iterable[str]) -> Iterator[str]:
    """Of the keys of a log those that are ids."""
    return filter(is_movement_id, mids)


def homes(document: RootsView) -> Mapping[str, Value]:
    """The movements that moved into this document, and from where."""
    return document.entries(HOME)


def _parts(mid: str) -> tuple[str, int | None]:
    client, _, sequence = mid.partition(".")
    number = parse_base36(sequence)
    return client, number if number is not None and number < INT_MAX else None


def _boundaries(numbers: list[int]) -> list[int]:
    """Where each run of numbers begins and where it has ended, one after the other."""
    ends: list[int] = []
    for number in numbers:
        if ends and ends[-1] == number:
            ends[-1] += 1
        else:
            ends += [number, number + 1]
    return ends
