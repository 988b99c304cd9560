"""Undo of movements: by movements that make up for them, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.errors import CannotUndo, NothingToUndo
from tests.unit.undo_shop import AT_MS, CELL, edited, exchange, field, opened, setting, shop, stock


@pytest.mark.parametrize("escrow", [None, "refuse"])
@pytest.mark.parametrize(
    ("act", "kinds"),
    [
        (lambda inventory: inventory.receive("tea", 3, at="shop"), ["adj"]),
        (lambda inventory: inventory.sell("tea", 3, at="shop", ref="invoice"), ["adj"]),
        (lambda inventory: inventory.adjust("tea", -3, at="shop"), ["adj"]),
        (lambda inventory: inventory.hold("tea", 3, at="shop", until_ms=AT_MS), ["rel"]),
        (lambda inventory: inventory.transfer("tea", 3, source="shop", to="store"), ["recv", "ship"]),
        (lambda inventory: inventory.confirm(inventory.hold("tea", 3, at="shop")), ["adj", "hold", "rel"]),
        (lambda inventory: inventory.release(inventory.hold("tea", 3, at="shop")), ["hold", "rel"]),
    ],
)
async def test_movements_are_made_up_for_by_movements_that_name_them(
    tmp_path: Path, escrow: str | None, act: Callable[[InventoryDocument], object], kinds: list[str]
) -> None:
    async with shop(tmp_path, escrow) as peer:
        before = await stock(peer), await stock(peer, "store")
        await edited(peer, act)
        after = await stock(peer), await stock(peer, "store")
        async with peer.read() as docs:
            written = {movement.mid for movement in docs.inventory.movements()}
        undone = await peer.undo()
        assert (await stock(peer), await stock(peer, "store")) == before
        async with peer.read() as docs:
            everything = {movement.mid: movement for movement in docs.inventory.movements()}
            assert written < everything.keys()
            made = [everything[mid] for mid in undone.movements]
            assert sorted(movement.kind for movement in made) == kinds
            assert all(movement.ref in everything for movement in made)
            assert not docs.inventory.faults()
            assert not docs.inventory.oversold()
        for step, expected in ((peer.redo, after), (peer.undo, before), (peer.redo, after), (peer.undo, before)):
            await step()
            assert (await stock(peer), await stock(peer, "store")) == expected


async def test_a_redone_sale_is_a_sale_and_a_redone_hold_can_be_confirmed(tmp_path: Path) -> None:
    async with shop(tmp_path, "refuse") as peer:
        await edited(peer, lambda inventory: inventory.sell("tea", 2, at="shop"))
        await peer.undo()
        (sale,) = (await peer.redo()).movements
        await edited(peer, lambda inventory: inventory.hold("tea", 3, at="shop"))
        await peer.undo()
        (hold,) = (await peer.redo()).movements
        async with peer.edit() as docs:
            found = docs.inventory.find(sale)
            assert found is not None
            assert found.kind == "sale"
            docs.inventory.confirm(hold)
        assert await stock(peer) == (5, 5)


async def test_a_confirmed_hold_is_held_again_and_then_given_back(tmp_path: Path) -> None:
    async with shop(tmp_path, "refuse") as peer:
        async with peer.edit() as docs:
            hold = docs.inventory.hold("tea", 3, at="shop")
        async with peer.edit() as docs:
            docs.inventory.confirm(hold)
        seen = []
        for step in (peer.undo, peer.undo, peer.redo, peer.redo, peer.undo, peer.undo):
            await step()
            async with peer.read() as docs:
                seen.append((docs.inventory.stock(*CELL), docs.inventory.on_hand(*CELL)))
        assert seen == [(7, 10), (10, 10), (7, 10), (7, 7), (7, 10), (10, 10)]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda inventory: inventory.give("tea", 3, at="shop", to="till-2"), "somebody else's now"),
        (lambda inventory: inventory.count("tea", 9, at="shop"), "count again"),
        (lambda inventory: inventory.ship("tea", 3, source="shop", to="store"), "under way"),
        (lambda inventory: inventory.sell("tea", 30, at="shop", short="back-order"), "until a sale serves it"),
    ],
)
async def test_what_can_not_be_taken_back_says_why_writes_nothing_and_gives_way_to_the_edit_before(
    tmp_path: Path, act: Callable[[InventoryDocument], object], reason: str
) -> None:
    async with shop(tmp_path, "refuse") as peer:
        await edited(peer, setting("price", 475))
        async with peer.edit() as docs:
            docs.inventory.set_attribute("tea", "unit", "packet")
            act(docs.inventory)
        unsynced = peer.status().unsynced
        with pytest.raises(CannotUndo, match=reason) as refused:
            await peer.undo()
        assert refused.value.is_final
        assert peer.status().unsynced == unsynced
        assert await field(peer, "unit") == "packet"
        assert (await peer.undo()).restored == ("tea/price",)


async def test_rights_that_are_lacking_now_leave_the_edit_to_be_undone_later(tmp_path: Path) -> None:
    async with shop(tmp_path, "refuse") as one, opened(tmp_path, "till-2") as two:
        await exchange(one, two)
        await edited(one, lambda inventory: inventory.receive("tea", 5, at="shop"))
        await exchange(one, two)
        # Rights to all of it are reclaimed, as from a device that was given up.
        await edited(two, lambda inventory: inventory.reclaim("tea", 15, at="shop", of="till-1"))
        await exchange(one, two)
        with pytest.raises(CannotUndo, match="rights") as refused:
            await one.undo()
        assert not refused.value.is_final
        await edited(two, lambda inventory: inventory.give("tea", 15, at="shop", to="till-1"))
        await exchange(one, two)
        await one.undo()
        assert await stock(one) == (10, 10)


async def test_rights_that_a_peer_hands_over_by_itself_are_no_edit_to_be_taken_back(tmp_path: Path) -> None:
    async with shop(tmp_path, "refuse") as one, opened(tmp_path, "till-2") as two:
        await exchange(one, two)
        await edited(one, setting("price", 475))
        await edited(two, lambda inventory: inventory.request("tea", 3, at="shop"))
        await exchange(one, two)
        assert await one.answer_requests()
        assert (await one.undo()).restored == ("tea/price",)
        with pytest.raises(NothingToUndo):
            await two.undo()
