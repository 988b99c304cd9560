"""Finds two contents under one (client, clock): the trace of a client id that two writers share, or that one forged.

Replicas that took different ones differ for good while their state vectors agree, so this must be loud.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from crdt_sync.errors import ClientIdReused
from crdt_sync.updates.content import GONE, elements
from crdt_sync.updates.decode import DecodedUpdate, Section, decode_update
from crdt_sync.updates.ledger import Ledger
from crdt_sync.values import Clock


def check_reuse(update: DecodedUpdate, ledger: Ledger) -> None:
    """Raise :class:`ClientIdReused` when ``update`` gives a remembered element another content.

    Compares contents, not bytes: the same value is encoded in many ways, runs are cut and merged, and deleted
    content is gone on one side or the other.
    """
    for section in update.sections:
        known_to = ledger.clocks.get(section.client, 0)
        start = section.structs[0].clock
        if start >= known_to:
            continue
        came = dict(_contents(update.raw, section, start, known_to))
        for raw in ledger.admitted(section.client, start, known_to):
            for kept in decode_update(raw).sections:
                if kept.client == section.client:
                    _compare(came, _contents(raw, kept, start, known_to), section.client)


def _compare(came: dict[Clock, Any], kept: Iterator[tuple[Clock, Any]], client: int) -> None:
    for clock, content in kept:
        other = came.get(clock, GONE)
        if content is not GONE and other is not GONE and not _same(content, other):
            raise ClientIdReused(client, clock)


def _contents(raw: bytes, section: Section, start: Clock, end: Clock) -> Iterator[tuple[Clock, Any]]:
    for struct in section.structs:
        if struct.clock < end and struct.clock + struct.length > start:
            yield from enumerate(elements(raw, struct), struct.clock)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        # NaN is the same content as NaN.
        return left == right or (left != left and right != right)
    if isinstance(left, list) and isinstance(right, list):
        return _same_items(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)


def _same_items(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return len(left) == len(right) and all(map(_same, left, right))
