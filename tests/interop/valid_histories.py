"""What honest clients write, in an order in which it can arrive: the gate must take every bit of it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from crdt_sync.errors import ProtocolError
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import EMPTY_UPDATE
from tests.interop.node_clients import NODE_FOLDER
from tests.laws.histories import write_history

STEPS = 40


def by_pycrdt(seed: int, histories: int) -> Iterator[Sequence[bytes]]:
    random = Random(seed)
    for _ in range(histories):
        yield write_history(random, steps=STEPS).updates


def by_yjs(seed: int, histories: int) -> Iterator[Sequence[bytes]]:
    """Needs Node."""
    command = ["node", "histories.mjs", "write", str(seed), str(histories), str(STEPS)]
    with subprocess.Popen(command, cwd=NODE_FOLDER, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield [base64.b64decode(update) for update in json.loads(line)["updates"]]
    assert process.returncode == 0


def refusals(updates: Sequence[bytes], reached: Counter[str]) -> list[str]:
    """What the gate has against a history, one sentence for each update that it does not take whole."""
    ledger, found = Ledger(remembers=True), []
    for number, raw in enumerate(updates):
        reached["valid updates"] += 1
        try:
            verdict = judge(decode_update(raw), ledger, DEFAULT_LIMITS)
        except ProtocolError as error:
            found.append(f"update {number} is refused: {error}: {raw.hex()}")
            continue
        if verdict.gap:
            found.append(f"update {number} is said to have a gap: {raw.hex()}")
        elif verdict.fresh is not None:
            ledger.admit(verdict.fresh)
        elif raw != EMPTY_UPDATE:
            # A transaction may insert and delete the same; what is left of it may be known.
            reached["known"] += 1
    return found
