"""L14: an error of the disk costs nothing that was acked, and a store that can't be sure any more says so."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.faults.failures import KINDS, fail
from tests.faults.kills import Nursery
from tests.faults.shim import Shim

SEED = 20261120
FAILURES = 42


async def test_L14_no_failing_call_loses_what_was_acked_or_is_hidden(library: Path, scratch: Path) -> None:
    shim = Shim(library, scratch / "stores", scratch / "words", traced=True)
    with Nursery.opened(shim) as nursery:
        toll = await fail(shim, nursery, FAILURES, Random(SEED))
    print(toll)
    assert toll.lost == []
    assert (toll.tried, toll.acks > 20 * FAILURES) == (FAILURES, True)
    for name, *_ in KINDS:
        assert toll.boundaries[f"{name}: refused"] > FAILURES // len(KINDS) // 2
