"""Every dialect's stock clients, alone and mixed, in bad weather: nobody loses an edit, and nobody is lied to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.node_clients import need_node
from tests.interop.storms import KINDS, run_storm

pytestmark = pytest.mark.interop

ALONE = [(kind, kind) for kind in KINDS]
MIXED = [KINDS]


@pytest.mark.parametrize("seed", [20261120])
@pytest.mark.parametrize("rooms", [ALONE, MIXED], ids=["alone", "mixed"])
async def test_P1_P2_what_was_called_saved_survives_bad_weather_and_kills(
    tmp_path: Path, rooms: list[tuple[str, ...]], seed: int
) -> None:
    need_node()
    reached = await run_storm(tmp_path, seed, rooms, kills=2, messages=1_200)
    assert reached["edits claimed saved"]
    assert reached["edits seen"]
    assert all(reached[f"ended: {how}"] for how in ("cut", "up", "down", "both ways"))
    assert all(reached[f"{what} {way}"] for what in ("repeated", "missing") for way in ("up", "down"))
    assert reached["kills"] > 2
