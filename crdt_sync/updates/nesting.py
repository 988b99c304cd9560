"""Refuses what lies in an element that nothing can lie in. Stock Yjs drops it; yrs refuses the document for good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crdt_sync.errors import MalformedUpdate
from crdt_sync.updates.decode import Section
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.order import Run
from crdt_sync.updates.pieces import parents_of
from crdt_sync.updates.ranges import Ranges
from crdt_sync.values import ClientId


def new_sections(sections: Sequence[Section], runs: Sequence[Run]) -> Iterator[Section]:
    """The new structs among ``sections``, run by run."""
    for run in runs:
        client, structs = sections[run.section]
        yield Section(client, structs[run.first : run.end])


def check_parents(sections: Sequence[Section], runs: Sequence[Run], ledger: Ledger) -> None:
    """Raise :class:`MalformedUpdate` when a new struct names a parent that is no shared type and never was one."""
    own: dict[ClientId, Ranges] | None = None
    for client, structs in new_sections(sections, runs):
        for struct in structs:
            parent = struct.parent
            if parent is None or isinstance(parent, str):
                continue
            if parent[1] < ledger.clocks.get(parent[0], 0):
                found = ledger.may_be_parent(parent)
            else:
                if own is None:
                    # Deletes are applied last, so a type that the same update deletes is one still.
                    own = {at: Ranges(ranges) for at, ranges in parents_of(new_sections(sections, runs)).items()}
                found = parent[0] in own and parent[1] in own[parent[0]]
            if not found:
                raise MalformedUpdate(
                    f"client {client}, clock {struct.clock} lies in an element that is no shared type"
                    f" (client {parent[0]}, clock {parent[1]})"
                )
