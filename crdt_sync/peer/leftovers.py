"""What a peer has written into a document that has ended, and no relay has acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

from crdt_sync.documents.catalog.siblings import Siblings
from crdt_sync.documents.epochs import Leftover, whole_numbers
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.limits import Limits
from crdt_sync.peer.local_document import unsynced_of
from crdt_sync.replica import Replica, replay
from crdt_sync.stores.update_log import Loaded
from crdt_sync.updates.decode import DecodedUpdate, decode_update


def leftovers_of(loaded: Loaded, limits: Limits) -> Sequence[Leftover]:
    """The entries that this peer's unacknowledged edits have written and nobody has followed yet, losers included.

    A full replay of the log. Raises :class:`ReplicaBroken` when the log does not make a document."""
    stored = limits.for_stored()
    first = loaded.last_seq - len(loaded.tail) + 1
    waiting = unsynced_of(loaded)
    if not waiting:
        return ()
    begin = [] if loaded.snapshot is None else [loaded.snapshot.state]
    tail = [record.update for record in loaded.tail]
    decoded = [decode_update(update, stored) for update in (*begin, *tail)]
    whole = Replica(limits)
    whole.watch(sorted(roots_of(decoded)))
    replay([*begin, *tail], limits, onto=whole)
    base = replay([*begin, *tail[: waiting[0] - first]], limits)
    ours = _elements([decode_update(tail[seq - first], stored) for seq in waiting])
    siblings = Siblings(whole, whole)
    found = []
    for root in sorted(roots_of(decoded)):
        for key in sorted(whole.keys(root)):
            for head in whole.heads(root, key):
                if head.is_known and any(start <= head.clock < end for start, end in ours.get(head.client, ())):
                    written = siblings.of_head(key, head).stamp if root == ATTRIBUTES else None
                    before = whole_numbers(base.get(root, key))
                    found.append(Leftover(root, key, whole_numbers(head.value()), before, head.dot, written))
    return found


def roots_of(updates: Sequence[DecodedUpdate]) -> set[str]:
    """The root maps that updates write into."""
    return {
        struct.parent
        for update in updates
        for section in update.sections
        for struct in section.structs
        if isinstance(struct.parent, str) and struct.key is not None
    }


def _elements(updates: Sequence[DecodedUpdate]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for update in updates:
        for client, structs in update.sections:
            found.setdefault(client, []).extend((struct.clock, struct.clock + struct.length) for struct in structs)
    return found
