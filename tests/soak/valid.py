"""Does the gate refuse anything that an honest client writes?"""

from __future__ import annotations

import sys

from tests.interop.node_clients import need_node
from tests.interop.valid_histories import by_pycrdt, by_yjs, refusals
from tests.soak.report import Soak, soak

UPDATES = 1_000_000
BATCH_HISTORIES = 200


def run(it: Soak) -> None:
    """Histories by pycrdt and by Yjs in turn."""
    need_node()
    wanted, seed = it.times(UPDATES), it.seed
    while it.reached["valid updates"] < wanted:
        for write in (by_pycrdt, by_yjs):
            for updates in write(seed, BATCH_HISTORIES):
                it.reached["histories"] += 1
                for refusal in refusals(updates, it.reached):
                    it.broken(f"seed {seed}, {write.__name__}: {refusal}")
            it.progress()
        seed += BATCH_HISTORIES


if __name__ == "__main__":
    sys.exit(soak(run))
