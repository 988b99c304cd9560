"""What a room serves of a document some of whose records are set aside. The log itself stays as it is.

The quarantine's store is written first, and then the document's log notes how far that store must go. So a crash
between the two leaves an entry that counts, and a quarantine that was lost is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crdt_sync.errors import StoreCorrupted
from crdt_sync.limits import Limits
from crdt_sync.stores.update_log import Loaded, UpdateLog
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.withheld import outline_of, serve_without
from server.rooms.history import History
from server.storage.quarantine import SetAside, Ward, digest_of

QUARANTINE_MARK: Final = "quarantine"
"""Mark of a document's log: the quarantine's own log of this document goes at least so far."""
POISONED_MARK: Final = "poisoned-snapshot"
"""Mark of a document's log: the snapshot through this number ends what loads it; the one before it is read (L8)."""


async def load_log(update_log: UpdateLog, ward: Ward) -> Loaded:
    """The log as it may be loaded, not from a snapshot that is known to be poisoned.

    Raises :class:`StoreCorrupted` when the quarantine is not the one that belongs to it, and other StoreErrors."""
    loaded = await update_log.load()
    if loaded.marks.get(QUARANTINE_MARK, 0) > ward.seq:
        raise StoreCorrupted(
            f"what was set aside is not all there: {ward.seq} changes instead of {loaded.marks[QUARANTINE_MARK]}"
        )
    if loaded.snapshot is not None and loaded.marks.get(POISONED_MARK) == loaded.snapshot.through:
        return await update_log.load_from_previous()
    return loaded


def serve(loaded: Loaded, ward: Ward, limits: Limits, *, document: str) -> History:
    """The document without what was set aside. Raises :class:`StoreCorrupted`."""
    state, through, ledger = b"", 0, b""
    if loaded.snapshot is not None:
        state, through, ledger = loaded.snapshot.state, loaded.snapshot.through, loaded.snapshot.ledger
    tail = [record.update for record in loaded.tail]
    history = History.load(
        state, through, ledger, tail, limits, document=document, set_aside=set_aside_of(loaded, through, ward)
    )
    for one in ward.in_force:
        history.withheld.add(one.outline, history.ledger)
    return history


def set_aside_of(loaded: Loaded, through: int, ward: Ward) -> Mapping[int, bool]:
    """The numbers of the tail that are not served as they stand, and whether they only build on others."""
    found: dict[int, bool] = {}
    for one in ward.kept:
        place = one.number - through - 1
        if 0 <= place < len(loaded.tail) and digest_of(loaded.tail[place].update) == one.digest:
            found[one.number] = one.builds_on_others
    return found


def name_all(
    loaded: Loaded, ward: Ward, culprits: Mapping[int, bytes], reason: str, found_ms: int, limits: Limits
) -> list[SetAside]:
    """``culprits`` (numbers, each with the deletes that it comes to), and the records that build on them.

    What was set aside before is not named again, but for a culprit that only built on others so far."""
    snapshot = loaded.snapshot
    through = 0 if snapshot is None else snapshot.through
    before = set_aside_of(loaded, through, ward)
    ledger = Ledger() if snapshot is None else Ledger.decode(snapshot.ledger)
    stored = limits.for_stored()
    whole_ones = {number - through - 1 for number, builds in before.items() if not builds}
    places = {number - through - 1 for number in culprits}
    served = serve_without(ledger, [record.update for record in loaded.tail], whole_ones | places, stored)
    named = []
    for number, (record, part) in enumerate(zip(loaded.tail, served, strict=True), through + 1):
        if number in culprits:
            outline = outline_of(decode_update(record.update, stored), decode_update(culprits[number], stored).deletes)
            named.append(SetAside.of(number, record, reason, outline, found_ms, builds=False))
        elif part.missing is not None and number not in before:
            why = f"it builds on what was set aside with number {min(culprits)}"
            named.append(SetAside.of(number, record, why, part.missing, found_ms, builds=True))
    return named
