"""What the relay sees to in a tenant's documents. Each duty is done in one edit or a few, and only when there is need.

A duty first looks, in a :meth:`~crdt_sync.peer.OfflinePeer.read`, and opens an edit only when it found something to do.
Two stewards that did one duty at once would do no harm: what is written is the same, or is joined like any two edits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from crdt_sync.documents.names import MetricsName, MovementsName, is_year, parse_document
from crdt_sync.peer import OfflinePeer


@dataclass(slots=True)
class Charge:
    """One tenant, as a duty meets it."""

    peer: OfflinePeer
    retire: Callable[[str, str], None]
    """Ask the relay to end a document, and say why; nobody else can."""
    now_ms: Callable[[], int]
    visited: set[str] = field(default_factory=set)
    """Documents that somebody came into. Only there can something have come too late: who has nothing to bring stays
    away from what is closed."""

    @property
    def visited_movements(self) -> Collection[str]:
        """The periods of the visited documents of movements."""
        return {name.period for name in map(parse_document, self.visited) if isinstance(name, MovementsName)}

    @property
    def visited_metrics(self) -> set[str]:
        """The periods of the visited documents of metrics, without years."""
        found = {name.period for name in map(parse_document, self.visited) if isinstance(name, MetricsName)}
        return {period for period in found if not is_year(period)}


class Duty(Protocol):
    """One thing that is seen to. What was done stands in the documents, and nowhere else."""

    @property
    def name(self) -> str:
        """For logs and meters, such as ``settle-conflicts``."""
        ...

    async def run(self, charge: Charge) -> None:
        """Do what is due. Raises :class:`~crdt_sync.errors.SyncError`; what was written by then is whole."""
        ...
