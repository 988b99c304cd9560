"""Escrow with a real peer and its file: rights outlive restarts and aborted edits, and are never judged by half."""

from pathlib import Path

import pytest

from crdt_sync.documents.stock.escrow import Rights
from crdt_sync.errors import InsufficientRights, PeriodsMissing
from crdt_sync.peer import OfflinePeer
from crdt_sync.replica import Write, replay


async def sell(peer: OfflinePeer, *quantities: int) -> None:
    async with peer.edit() as docs:
        for quantity in quantities:
            docs.inventory.sell("shirt", quantity, at="A")


async def test_rights_and_holds_outlive_restarts_and_edits_that_were_given_up(tmp_path: Path) -> None:
    async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till-1") as peer:
        async with peer.edit() as docs:
            docs.inventory.add_product("shirt", escrow="refuse")
            docs.inventory.add_location("A")
            docs.inventory.receive("shirt", 10, at="A")
            hold = docs.inventory.hold("shirt", 4, at="A")
        with pytest.raises(InsufficientRights):
            await sell(peer, 6, 1)
        async with peer.edit() as docs:
            assert docs.inventory.rights("shirt", "A") == Rights({"till-1": 6}, 0)
    async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till-1") as peer:
        async with peer.edit() as docs:
            docs.inventory.release(hold)
            docs.inventory.sell("shirt", 10, at="A")
        async with peer.read() as docs:
            assert docs.inventory.stock("shirt", "A") == 0
            assert docs.inventory.oversold() == []


async def test_rights_of_earlier_periods_count_without_anybody_opening_them(tmp_path: Path) -> None:
    async with (
        OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till-1") as peer,
        peer.edit(period="2026-10") as docs,
    ):
        docs.inventory.add_product("shirt", escrow="refuse")
        docs.inventory.add_location("A")
        docs.inventory.receive("shirt", 10, at="A")
    async with (
        OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till-1") as peer,
        peer.edit(period="2026-11") as docs,
    ):
        docs.inventory.sell("shirt", 10, at="A")
        with pytest.raises(InsufficientRights):
            docs.inventory.sell("shirt", 1, at="A")


async def test_rights_are_not_decided_while_a_noted_period_is_not_in_the_file(tmp_path: Path) -> None:
    async with OfflinePeer.open(tmp_path / "till.db", tenant="acme", name="till-1") as peer:
        async with peer.edit(period="2026-11") as docs:
            docs.inventory.add_product("shirt", escrow="refuse")
            docs.inventory.add_location("A")
            docs.inventory.receive("shirt", 10, at="A")
        # As a sync brings it that has got no further than the catalog.
        await hear_of(peer, "periods", "2026-09", 1)
        with pytest.raises(PeriodsMissing):
            await sell(peer, 1)


async def hear_of(peer: OfflinePeer, root: str, key: str, value: object) -> None:
    """An entry of the catalog that somebody else has written."""
    catalog = await peer._shelf.open("inventory/catalog")
    async with catalog.lock:
        other = replay([catalog.replica.snapshot()])
        update = other.write([Write(root, key, value)])
        assert update is not None
        catalog.replica.merge(update)
        await catalog.keep([update], 0)
