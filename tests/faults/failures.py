"""Lets calls of a store's process fail, and counts what that cost."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

from tests.faults.kills import Nursery, Toll, assess, calls_of, count_losses, session
from tests.faults.nursery import EXIT_REFUSED
from tests.faults.power import Disk, put
from tests.faults.scratch import emptied
from tests.faults.shim import ANY, Action, Op, Shim
from tests.faults.workload import Acked

KINDS = (
    ("EIO once at a sync", Action.FAIL_ONCE, Op.SYNC, errno.EIO),
    ("EIO for ever from a sync on", Action.FAIL_ALWAYS, Op.SYNC, errno.EIO),
    ("EIO once at any call", Action.FAIL_ONCE, ANY, errno.EIO),
    ("EIO for ever from any call on", Action.FAIL_ALWAYS, ANY, errno.EIO),
    ("ENOSPC once at a write", Action.FAIL_ONCE, Op.WRITE | Op.CREATE, errno.ENOSPC),
    ("ENOSPC for ever from a write on", Action.FAIL_ALWAYS, Op.WRITE | Op.CREATE, errno.ENOSPC),
)


async def fail(shim: Shim, nursery: Nursery, count: int, random: Random) -> Toll:
    """Let ``count`` sessions meet an error. After each, read what is on the disk, and what would be if it had forgotten
    all that was not synced, as Linux may after a sync that failed; then work on with it."""
    toll = Toll()
    store, copy = shim.folder / "store", shim.folder.parent / "copy"
    calls = calls_of(session(shim, nursery, emptied(store)))
    while toll.tried < count:
        name, action, ops, code = KINDS[toll.tried % len(KINDS)]
        shim.forget_trace()
        emptied(store)
        reachable = sum(bool(ops & Op[call.split()[0].upper()]) for call in calls)
        shim.arm(action, after=random.randrange(1, reachable), ops=ops, errno=code)
        ended = nursery.run(store)
        what = f"{name} ({shim.fired_at}, call {shim.calls})"
        if not shim.fired:
            continue
        toll.tried += 1
        toll.boundaries[f"{name}: {'refused' if ended == EXIT_REFUSED else f'{shim.fired_at} not missed'}"] += 1
        if ended not in (0, EXIT_REFUSED):
            toll.lost.append(f"{what}: the session ended with {ended}")
        shim.disarm()
        await assess(store, copy, toll, what)
        await forgotten(shim, store, copy, toll, what)
        if nursery.run(store) != 0:
            toll.lost.append(f"{what}: the next session did not work")
        await assess(store, copy, toll, f"{what}, and a session later")
    return toll


async def forgotten(shim: Shim, store: Path, copy: Path, toll: Toll, what: str) -> None:
    disk = Disk(store)
    for event in shim.trace():
        disk.take(event)
    put(disk.sure(), emptied(copy))
    await count_losses(copy, Acked.read(disk.acks()), toll, f"{what}, and what was not synced was forgotten")
