"""The documents of a simulated world: under which ids they are written, and what a reader sees in them."""

from __future__ import annotations

import json
from typing import Any, Final

from pycrdt import Array, Doc, Map, Text

from crdt_sync.limits import Limits
from crdt_sync.replica import Replica
from tests.simulation.bounds import LIMITS

ROOTS: Final = {"products": Map, "mv": Map, "orig": Map, "queue": Array, "notes": Text}


def seeded(client_id: int) -> type[Replica]:
    """Replicas whose client id comes from the world's seed, so that a run can be repeated byte by byte.

    The library has no such parameter on purpose: a client id that a caller may choose is one that it may reuse.
    """

    class SeededReplica(Replica):
        def __init__(self, limits: Limits = LIMITS) -> None:
            super().__init__(limits)
            self._doc = Doc(client_id=client_id)

    return SeededReplica


def content_of(doc: Doc[Any]) -> dict[str, Any]:
    """What a reader of ``doc`` sees."""
    return {
        name: str(doc.get(name, type=kind)) if kind is Text else json.loads(str(doc.get(name, type=kind)))
        for name, kind in ROOTS.items()
    }
