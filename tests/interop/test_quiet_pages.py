"""A stock page leaves after half a minute without a message; the relay's signs of life keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.relay_process import RelayProcess, eventually
from tests.interop.node_clients import need_node, open_pages

pytestmark = pytest.mark.interop
SPEED = 60
"""Half a minute passes in half a second."""
SIGNS = 12
"""At one every quarter of a second or less, several of the client's half minutes."""


@pytest.mark.parametrize("version", [1, 2, 3, 4], ids=["1.5", "2.1", "3.1", "@y 4.0"])
async def test_P16_a_page_without_presence_stays_connected_while_nothing_happens(tmp_path: Path, version: int) -> None:
    need_node()
    async with (
        RelayProcess(tmp_path, liveness_s=0.2, free_space_bytes_min=0) as relay,
        open_pages(speed=SPEED) as pages,
    ):
        page = await pages.open("quiet", relay, "quiet", version=version)
        await page.call("setState", None)
        await eventually(page.state, lambda state: state["empties"] >= SIGNS)
        state = await page.state()
        assert (state["opens"], state["closes"], state["connected"]) == (1, [], True)


async def test_P16_a_quiet_hocuspocus_page_without_presence_stays_connected(tmp_path: Path) -> None:
    need_node()
    async with (
        RelayProcess(tmp_path, liveness_s=0.2, free_space_bytes_min=0) as relay,
        open_pages(speed=SPEED) as pages,
    ):
        page = await pages.open_hocuspocus("quiet", relay, "quiet", awareness=None)
        await eventually(page.state, lambda state: state["empties"] >= SIGNS)
        state = await page.state()
        assert (state["opens"], state["closes"], state["connected"]) == (1, [], True)


async def test_without_signs_of_life_it_would_come_back_again_and_again(tmp_path: Path) -> None:
    """What makes the test above one that can fail."""
    need_node()
    async with (
        RelayProcess(tmp_path, liveness_s=15, free_space_bytes_min=0) as relay,
        open_pages(speed=SPEED) as pages,
    ):
        page = await pages.open("quiet", relay, "quiet")
        await page.call("setState", None)
        await eventually(page.state, lambda state: state["opens"] >= 3)
