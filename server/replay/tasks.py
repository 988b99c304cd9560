"""What the replay and its peer processes say to each other: JSON, a line each, over pipes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FOUND, RECORDED, SYNCING, SYNCED, FAILED, DONE = "found", "recorded", "syncing", "synced", "failed", "done"
"""The first place of each line that a peer process says."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The first line to a peer process."""

    relay: str
    token: str = field(repr=False)
    tenant: str
    descriptions_file: str


@dataclass(frozen=True, slots=True)
class Record:
    """Record these invoices, then sync if told so."""

    peer: str
    file: str
    invoices: list[tuple[str, str, str, list[tuple[str, int]]]]
    """Number, period, country and lines of each."""
    products: list[str]
    """Products to add in any case."""
    syncs: bool
    resumed: bool
    """The process before this one was killed: look into the file for what is recorded already."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Sync all documents that there are, close the file, open it again and write its stock table to ``table_file``."""

    peer: str
    file: str
    table_file: str


Task = Record | Settle


def to_line(message: Setting | Task) -> bytes:
    return json.dumps({"kind": type(message).__name__, **asdict(message)}, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Setting | Task:
    fields: Mapping[str, Any] = json.loads(line)
    kinds: Mapping[str, type[Setting | Record | Settle]] = {kind.__name__: kind for kind in (Setting, Record, Settle)}
    return kinds[fields["kind"]](**{name: value for name, value in fields.items() if name != "kind"})
