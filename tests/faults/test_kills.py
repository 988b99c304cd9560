"""Acked means durable (P1, P2), proven against kills at every boundary of a store's calls and against power cuts."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.faults.kills import Nursery, Toll, kill, lose_power, session
from tests.faults.power import Disk
from tests.faults.scratch import emptied
from tests.faults.shim import Shim

SEED = 20261120
KILLS = 190
"""With those of relays in test_relay_kills.py, 200."""
IMAGES = 300
MUST_REACH = {
    "write of -wal",
    "sync of -wal",
    "truncate of -wal",
    "write of the file",
    "sync of the file",
    "truncate of the file",
    "write of .lock",
    "rename of .identity.new",
    "sync of its folder",
}


def told(toll: Toll) -> None:
    print(toll)
    assert toll.lost == []


async def test_P1_no_kill_at_any_call_loses_what_was_acked_or_seen(library: Path, scratch: Path) -> None:
    shim = Shim(library, scratch / "stores", scratch / "words", traced=True)
    with Nursery.opened(shim) as nursery:
        toll = await kill(shim, nursery, KILLS, Random(SEED))
    told(toll)
    assert (toll.tried, toll.acks > 20 * KILLS) == (KILLS, True)
    assert {name.partition(" ")[2] for name in toll.boundaries} >= MUST_REACH


async def test_P1_no_power_cut_loses_what_was_acked_or_seen(library: Path, scratch: Path) -> None:
    shim = Shim(library, scratch / "stores", scratch / "words", traced=True)
    with Nursery.opened(shim) as nursery:
        toll = await lose_power(shim, nursery, IMAGES, Random(SEED))
    told(toll)
    assert (toll.tried, toll.acks > 20 * IMAGES) == (IMAGES, True)
    assert toll.boundaries["after write of acks"] >= IMAGES // 2
    assert toll.boundaries["after unlink of -wal"]


async def test_a_store_that_does_not_wait_for_its_disk_is_found_out(library: Path, scratch: Path) -> None:
    """Else the images above would prove nothing."""
    shim = Shim(library, scratch / "stores", scratch / "words", traced=True)
    with Nursery.opened(shim, "careless") as nursery:
        toll = await lose_power(shim, nursery, 60, Random(SEED))
    assert len(toll.lost) > 20


async def test_the_model_of_a_disk_agrees_with_the_disk(library: Path, scratch: Path) -> None:
    shim = Shim(library, scratch / "stores", scratch / "words", traced=True)
    store = emptied(shim.folder / "store")
    disk = Disk(store)
    with Nursery.opened(shim) as nursery:
        for event in session(shim, nursery, store):
            disk.take(event)
    there = {path.name: path.read_bytes() for path in store.iterdir() if path.name != "acks"}
    assert disk.unsure
    assert disk.content() == there
