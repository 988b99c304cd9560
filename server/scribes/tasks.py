"""What a worker does with a stored document. Everything here runs in a process that may die of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from crdt_sync.errors import ProtocolError, ReplicaBroken, SnapshotMismatch
from crdt_sync.protocol import state_vector
from crdt_sync.replica import Replica, replay
from server.scribes.deep import prove
from server.scribes.frames import CHECK, COMPACT, DIFF, EXAMINE, PROVE, REACH, VIEW
from server.scribes.history import STORED_LIMITS, History
from server.scribes.reach import reach
from server.scribes.verification import check_snapshot


def perform(task: int, parts: Sequence[bytes]) -> Sequence[bytes]:
    """Do one task. Raises :class:`SnapshotMismatch`, :class:`ReplicaBroken`, or dies."""
    if task == COMPACT:
        return compact(parts)
    if task == DIFF:
        return (_replica(parts[1:]).since(state_vector.decode(parts[0], STORED_LIMITS.clients_max)),)
    if task == VIEW:
        return (json.dumps(_replica(parts).view(), separators=(",", ":")).encode(),)
    if task == CHECK:
        check_snapshot(History(parts[1:]), parts[0])
        return ()
    if task == EXAMINE:
        examine(parts[1:], reads=bool(parts[0][0]), proves=bool(parts[0][1]))
        return ()
    if task == REACH:
        return (reach(parts[0], parts[1:]),)
    if task == PROVE:
        prove(parts[0].decode(), parts[1], parts[2:])
        return ()
    raise ValueError(f"there is no task {task}")


def compact(updates: Sequence[bytes]) -> Sequence[bytes]:
    """The document of ``updates`` as one update, proven to say the same, and its ledger."""
    state = _replica(updates).snapshot()
    ledger = check_snapshot(History(updates), state)
    _check_loads(state)
    return state, ledger.encode()


def examine(updates: Sequence[bytes], *, reads: bool, proves: bool) -> None:
    """Give native code what compaction gives it, and with ``proves`` all the rest of compaction; or die of it."""
    if proves:
        compact(updates)
    else:
        _replica([_replica(updates).snapshot()]).snapshot()
    if reads:
        _replica(updates).view()


def _check_loads(state: bytes) -> None:
    """A replica that begins with ``state``, as every newcomer will, must hold it and say it again (S7)."""
    try:
        check_snapshot(History([state]), _replica([state]).snapshot())
    except SnapshotMismatch as error:
        raise SnapshotMismatch(f"S7: loaded and saved again, the snapshot changes: {error}") from error


def _replica(updates: Sequence[bytes]) -> Replica:
    try:
        return replay(updates, STORED_LIMITS)
    except ProtocolError as error:
        raise ReplicaBroken(f"an update of the log does not pass the gate: {error}") from error
