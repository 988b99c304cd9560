"""I16: a run of array elements is cut before a document takes it, so that its cost stays linear."""

import json
import subprocess
import sys

import pytest

from crdt_sync.protocol.wire import uint
from crdt_sync.updates.decode import decode_update

ELEMENTS = 6_000
GROWTH_BYTES_MAX = 100 << 20

APPLY = """
import json, resource, sys
from pathlib import Path
from crdt_sync.replica import Replica

def peak_bytes():
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The kernel lets a child's ru_maxrss begin at what its parent had needed, which hides all growth below that.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

raw = bytes.fromhex(sys.stdin.read())
replica = Replica()
before = peak_bytes()
replica.merge(raw)
print(json.dumps({"growth": peak_bytes() - before, "elements": len(replica.view()["l"])}))
"""


@pytest.mark.parametrize("clients", [1, 2])
def test_I16_thousands_of_adjacent_array_elements_are_taken_in_little_memory(clients: int) -> None:
    raw = run_of_elements(ELEMENTS // clients, clients)
    assert sum(len(section.structs) for section in decode_update(raw).sections) == ELEMENTS
    outcome = subprocess.run(
        [sys.executable, "-c", APPLY], input=raw.hex(), capture_output=True, text=True, timeout=120, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    told = json.loads(outcome.stdout)
    assert told["elements"] == ELEMENTS
    assert told["growth"] < GROWTH_BYTES_MAX


def test_I16_kills_a_replica_that_does_not_cut() -> None:
    uncut = APPLY.replace("replica.merge(raw)", "replica._doc.apply_update(raw)")
    assert uncut != APPLY
    raw = run_of_elements(ELEMENTS, 1)
    outcome = subprocess.run(
        [sys.executable, "-c", uncut], input=raw.hex(), capture_output=True, text=True, timeout=120, check=False
    )
    assert outcome.returncode != 0 or json.loads(outcome.stdout)["growth"] > GROWTH_BYTES_MAX


def run_of_elements(elements: int, clients: int) -> bytes:
    """Each client appends its elements one by one: as many structs, each behind the one before it."""
    sections = []
    for client in range(1, clients + 1):
        behind = [b"\x88" + uint(client) + uint(clock) + b"\x01\x7d\x01" for clock in range(elements - 1)]
        sections.append(uint(elements) + uint(client) + b"\x00\x08\x01\x01l\x01\x7d\x01" + b"".join(behind))
    return uint(clients) + b"".join(sections) + b"\x00"
