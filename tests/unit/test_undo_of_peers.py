"""Undo of a peer's own edits: what comes back, what is left as it is, and what stays for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from crdt_sync.documents.catalog.money import Money
from crdt_sync.errors import CannotUndo, NothingToUndo, UnknownProduct
from crdt_sync.peer import Left
from crdt_sync.peer.undo import BYTES_MAX, DEEDS_MAX
from tests.unit.undo_shop import edited, exchange, field, opened, setting, shop, stock


async def test_an_attribute_goes_back_to_what_it_was_and_forth_again(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        async with peer.edit() as docs:
            tea = docs.inventory.product("tea")
            tea.price, tea.unit = Money(475, "GBP"), "packet"
        undone = await peer.undo()
        assert set(undone.restored) == {"tea/price", "tea/unit"}
        assert (undone.movements, undone.left) == ((), ())
        assert (await field(peer, "price"), await field(peer, "unit")) == (450, None)
        redone = await peer.redo()
        assert set(redone.restored) == {"tea/price", "tea/unit"}
        assert (await field(peer, "price"), await field(peer, "unit")) == ([475, "GBP"], "packet")


async def test_edits_are_taken_back_one_by_one_and_redone_one_by_one(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        for price in (1, 2, 3):
            await edited(peer, setting("price", price))
        seen = []
        for step in (peer.undo, peer.undo, peer.redo, peer.undo, peer.undo, peer.redo, peer.redo, peer.redo):
            await step()
            seen.append(await field(peer, "price"))
        assert seen == [2, 1, 2, 1, 450, 1, 2, 3]
        with pytest.raises(NothingToUndo):
            await peer.redo()


async def test_another_edit_ends_what_can_be_redone(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        await edited(peer, setting("price", 1))
        await peer.undo()
        await edited(peer, setting("unit", "packet"))
        with pytest.raises(NothingToUndo):
            await peer.redo()


async def test_a_field_that_somebody_else_has_written_since_is_left_alone_and_told(tmp_path: Path) -> None:
    async with shop(tmp_path) as one, opened(tmp_path, "till-2") as two:
        await exchange(one, two)
        async with one.edit() as docs:
            docs.inventory.set_attribute("tea", "price", 475)
            docs.inventory.set_attribute("tea", "unit", "packet")
        await exchange(one, two)
        # An equal value is a write of theirs all the same.
        await edited(two, setting("price", 475))
        await exchange(one, two)
        undone = await one.undo()
        assert undone.restored == ("tea/unit",)
        assert undone.left == (Left("tea/price", "somebody has written it since"),)
        assert (await field(one, "price"), await field(one, "unit")) == (475, None)


async def test_a_field_in_conflict_is_left_alone_whoever_has_won(tmp_path: Path) -> None:
    async with shop(tmp_path) as one, opened(tmp_path, "till-2") as two:
        await exchange(one, two)
        for peer, price in ((one, 475), (two, 500)):
            await edited(peer, setting("price", price))
        await exchange(one, two)
        for peer in (one, two):
            with pytest.raises(CannotUndo, match="somebody has written it since") as refused:
                await peer.undo()
            assert refused.value.is_final
        async with one.read() as docs:
            assert len(docs.inventory.conflicts()) == 1


async def test_an_older_edit_is_left_alone_when_somebody_has_written_between_two_of_ours(tmp_path: Path) -> None:
    async with shop(tmp_path) as one, opened(tmp_path, "till-2") as two:
        await exchange(one, two)
        await edited(one, setting("price", 475))
        await exchange(one, two)
        await edited(two, setting("price", 475))
        await exchange(one, two)
        await edited(one, setting("price", 500))
        await one.undo()
        assert await field(one, "price") == 475
        with pytest.raises(CannotUndo):
            await one.undo()
        assert await field(one, "price") == 475


async def test_a_product_that_was_added_goes_and_comes_back_with_what_it_had(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        async with peer.edit() as docs:
            docs.inventory.add_product("coffee", name="Coffee", price=900)
            docs.inventory.receive("coffee", 4, at="shop")
        await peer.undo()
        async with peer.read() as docs:
            with pytest.raises(UnknownProduct):
                docs.inventory.product("coffee")
            assert docs.inventory.conflicts() == []
        await peer.redo()
        async with peer.read() as docs:
            assert docs.inventory.product("coffee") == {"name": "Coffee", "price": 900}
            assert docs.inventory.stock("coffee", "shop") == 4
        await peer.undo()
        async with peer.read() as docs:
            assert "coffee" not in docs.inventory.products()


async def test_a_product_that_was_deleted_comes_back(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        await edited(peer, lambda inventory: inventory.product("tea").delete())
        assert (await peer.undo()).restored == ("tea/$life",)
        async with peer.read() as docs:
            assert docs.inventory.product("tea") == {"name": "Tea", "price": 450}
            assert docs.inventory.conflicts() == []
        await peer.redo()
        async with peer.read() as docs:
            assert docs.inventory.products() == {}


async def test_a_product_that_others_use_by_now_stays_with_all_its_fields(tmp_path: Path) -> None:
    async with shop(tmp_path) as one, opened(tmp_path, "till-2") as two:
        await edited(one, lambda inventory: inventory.add_product("coffee", name="Coffee"))
        await exchange(one, two)
        await edited(two, lambda inventory: inventory.receive("coffee", 4, at="shop"))
        await exchange(one, two)
        with pytest.raises(CannotUndo, match="others use the product by now"):
            await one.undo()
        async with one.read() as docs:
            assert docs.inventory.product("coffee") == {"name": "Coffee"}


async def test_metrics_stay_and_are_told(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        async with peer.edit() as docs:
            docs.metrics.count("sales", "shop")
            docs.inventory.sell("tea", 1, at="shop")
        undone = await peer.undo()
        assert len(undone.movements) == 1
        assert [left.why for left in undone.left] == ["what was measured or counted stays"]
        async with peer.edit() as docs:
            docs.metrics.count("sales", "shop")
        with pytest.raises(CannotUndo, match="measured or counted") as refused:
            await peer.undo()
        assert refused.value.is_final


async def test_a_resolution_stays_part_of_the_record(tmp_path: Path) -> None:
    async with shop(tmp_path) as one, opened(tmp_path, "till-2") as two:
        await exchange(one, two)
        for peer, price in ((one, 475), (two, 500)):
            await edited(peer, setting("price", price))
        await exchange(one, two)
        await edited(one, lambda inventory: inventory.conflicts()[0].resolve(value=490))
        with pytest.raises(CannotUndo) as refused:
            await one.undo()
        assert any("part of the record" in reason for reason in refused.value.reasons)
        assert any("settled a conflict" in reason for reason in refused.value.reasons)
        async with one.read() as docs:
            assert docs.inventory.conflicts() == []
            assert docs.inventory.attribute("tea", "price") == 490


async def test_a_field_whose_conflict_is_settled_can_be_undone_like_any_other(tmp_path: Path) -> None:
    async with shop(tmp_path) as one, opened(tmp_path, "till-2") as two:
        await exchange(one, two)
        for peer, price in ((one, 475), (two, 500)):
            await edited(peer, setting("price", price))
        await exchange(one, two)
        await edited(two, lambda inventory: inventory.conflicts()[0].resolve(value=490))
        await exchange(one, two)
        await edited(one, setting("price", 510))
        assert (await one.undo()).restored == ("tea/price",)
        assert await field(one, "price") == 490
        # The edit before was one side of the conflict, and somebody has chosen since.
        with pytest.raises(CannotUndo, match="written it since"):
            await one.undo()


async def test_nothing_is_undone_before_the_first_edit_nor_of_a_run_before(tmp_path: Path) -> None:
    async with shop(tmp_path):
        pass
    async with opened(tmp_path) as peer:
        for step in (peer.undo, peer.redo):
            with pytest.raises(NothingToUndo):
                await step()


async def test_an_undo_survives_a_restart_as_any_edit_does(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        await edited(peer, lambda inventory: inventory.sell("tea", 4, at="shop"))
        await peer.undo()
    async with opened(tmp_path) as peer:
        assert await stock(peer) == (10, 10)


async def test_only_so_many_edits_are_remembered(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        for number in range(DEEDS_MAX + 1):
            await edited(peer, setting("price", number))
        await exhaust(peer.undo, DEEDS_MAX)
        assert await field(peer, "price") == 0


async def exhaust(step: Callable[[], Awaitable[object]], times: int) -> None:
    for _ in range(times):
        await step()
    with pytest.raises(NothingToUndo):
        await step()


async def test_an_edit_too_large_to_be_remembered_is_not_mistaken_for_the_one_before(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        async with peer.edit() as docs:
            for number in range(BYTES_MAX // 60_000 + 1):
                docs.inventory.set_attribute("tea", f"text {number}", "x" * 60_000)
        with pytest.raises(CannotUndo, match="too large"):
            await peer.undo()


async def test_the_audit_trail_names_who_undid(tmp_path: Path) -> None:
    async with shop(tmp_path) as peer:
        await edited(peer, setting("price", 1))
        catalog = await peer._shelf.open("inventory/catalog")
        signed = len(catalog.replica.entries("edits"))
        await peer.undo()
        assert len(catalog.replica.entries("edits")) == signed + 1
