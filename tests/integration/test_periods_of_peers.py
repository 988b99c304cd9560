"""Periods with real peers, their files and a relay: folds, what comes late, restarts, and documents that are full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crdt_sync.documents.names import movements_document
from crdt_sync.documents.stock.books import FoldStep
from crdt_sync.documents.stock.escrow import Rights
from crdt_sync.errors import FoldRefused, InsufficientRights, NothingToUndo, PeriodClosed, PeriodsMissing
from crdt_sync.limits import Limits
from crdt_sync.peer import OfflinePeer
from crdt_sync.replica import Write, replay

NOW_MS = 1_795_000_000_000  # 2026-11-18
OCTOBER, NOVEMBER = "2026-10", "2026-11"


@asynccontextmanager
async def open_till(path: Path, name: str, limits: Limits | None = None) -> AsyncIterator[OfflinePeer]:
    async with OfflinePeer.open(
        path / f"{name}.db", tenant="acme", name=name, now_ms=lambda: NOW_MS, limits=limits or Limits()
    ) as peer:
        yield peer


async def hand_over(source: OfflinePeer, to: OfflinePeer, *documents: str) -> None:
    """What a sync of these documents comes to."""
    for name in documents:
        theirs, ours = await source._shelf.open(name), await to._shelf.open(name)
        async with ours.lock:
            fresh = ours.replica.merge(theirs.replica.since(ours.replica.state)).fresh
            if fresh is not None:
                await ours.keep([fresh], NOW_MS)


async def stock_up(peer: OfflinePeer) -> None:
    async with peer.edit(period=OCTOBER) as docs:
        docs.inventory.add_product("shirt", escrow="refuse")
        docs.inventory.add_location("A")
        docs.inventory.receive("shirt", 10, at="A")
        docs.inventory.give("shirt", 4, at="A", to="till-2")


async def close_and_fold(peer: OfflinePeer, period: str) -> None:
    async with peer.edit(period=period) as docs:
        assert docs.inventory.books.close()
    for step in (FoldStep.WRITTEN, FoldStep.FOLDED):
        async with peer.edit() as docs:
            assert docs.inventory.books.fold(period) is step


async def test_a_late_sale_of_ones_own_counts_at_once_and_for_all_once_it_has_moved_on(tmp_path: Path) -> None:
    october, november = movements_document(OCTOBER), movements_document(NOVEMBER)
    async with open_till(tmp_path, "till-1") as one, open_till(tmp_path, "till-2") as two:
        await stock_up(one)
        await hand_over(one, two, "inventory/catalog", october)
        async with two.edit(period=OCTOBER) as docs:
            docs.inventory.sell("shirt", 3, at="A")
        # The sale has not come to the relay when October is closed.
        await close_and_fold(one, OCTOBER)
        await hand_over(one, two, "inventory/catalog")
        async with two.read() as docs:
            assert docs.inventory.stock("shirt", "A") == 7
    # The document has not said yet what the fold counts, and the till was switched off and on.
    async with open_till(tmp_path, "till-1") as one, open_till(tmp_path, "till-2") as two:
        with pytest.raises(InsufficientRights):
            async with two.edit() as docs:
                docs.inventory.sell("shirt", 2, at="A")
        await hand_over(one, two, october)
        with pytest.raises(InsufficientRights):
            async with two.edit() as docs:
                docs.inventory.sell("shirt", 2, at="A")
        async with two.edit() as docs:
            assert docs.inventory.rights("shirt", "A") == Rights({"till-1": 6, "till-2": 1}, 0)
        assert [late async for late in moved_into(two, NOVEMBER)] == [OCTOBER]
        with pytest.raises(NothingToUndo):
            await two.undo()
        await hand_over(two, one, "inventory/catalog", november)
        async with one.read() as docs:
            assert docs.inventory.stock("shirt", "A") == 7
            assert docs.inventory.rights("shirt", "A") == Rights({"till-1": 6, "till-2": 1}, 0)
    async with open_till(tmp_path, "till-2") as two:
        async with two.edit() as docs:
            docs.inventory.sell("shirt", 1, at="A")
            with pytest.raises(InsufficientRights):
                docs.inventory.sell("shirt", 1, at="A")
        assert two._shelf.get(october) is None, "nothing is late in it any more, so it is not opened"
        async with two.read(periods=[OCTOBER]) as docs:
            assert [m.kind for m in docs.inventory.movements()][:2] == ["rcv", "xfer"]
            assert docs.inventory.stock("shirt", "A") == 6


async def moved_into(peer: OfflinePeer, period: str) -> AsyncIterator[object]:
    document = await peer._shelf.open(movements_document(period))
    for home in document.replica.entries("home").values():
        yield home


async def test_a_closed_month_takes_nothing_and_edits_go_into_the_day(tmp_path: Path) -> None:
    async with open_till(tmp_path, "till-1") as peer:
        await stock_up(peer)
        async with peer.edit() as docs:
            docs.inventory.sell("shirt", 1, at="A")
        async with peer.edit(period=NOVEMBER) as docs:
            docs.inventory.books.close()
        with pytest.raises(PeriodClosed):
            async with peer.edit(period=NOVEMBER) as docs:
                docs.inventory.sell("shirt", 1, at="A")
        async with peer.edit() as docs:
            docs.inventory.sell("shirt", 1, at="A")
            assert docs.inventory.periods() == [OCTOBER, NOVEMBER, "2026-11-18"]
            assert docs.inventory.stock("shirt", "A") == 8


async def test_a_full_month_goes_on_in_days_and_a_full_day_is_reported(tmp_path: Path) -> None:
    async with open_till(tmp_path, "till-1", Limits(movements_max=3)) as peer:
        async with peer.edit() as docs:
            docs.inventory.add_product("shirt")
            docs.inventory.add_location("A")
            for _ in range(3):
                docs.inventory.receive("shirt", 1, at="A")
        for _ in range(4):
            async with peer.edit() as docs:
                docs.inventory.receive("shirt", 1, at="A")
        async with peer.read() as docs:
            assert docs.inventory.stock("shirt", "A") == 7
            [fault] = docs.inventory.faults()
            assert (fault.key, fault.reason) == ("2026-11-18", "holds 4 movements, more than 3")
        async with peer.edit() as docs:
            docs.metrics.count("sales", "A")
        month = await peer._shelf.open("metrics/2026-11")
        assert list(month.replica.entries("c").values()) == [1], "movements fill up, metrics do not"


async def test_a_month_of_too_many_sessions_goes_on_in_days(tmp_path: Path) -> None:
    for number in range(3):
        async with open_till(tmp_path, "till-1", Limits(movement_clients_max=2)) as peer:
            async with peer.edit() as docs:
                if number == 0:
                    docs.inventory.add_product("shirt")
                    docs.inventory.add_location("A")
                docs.inventory.receive("shirt", 1, at="A")
            async with peer.read() as docs:
                assert docs.inventory.stock("shirt", "A") == number + 1
    async with open_till(tmp_path, "till-1") as peer, peer.edit() as docs:
        assert docs.inventory.periods() == [NOVEMBER, "2026-11-18"]


async def test_a_fold_is_refused_out_of_order_unclosed_or_from_half_a_document(tmp_path: Path) -> None:
    async with open_till(tmp_path, "till-1") as one, open_till(tmp_path, "till-2") as two:
        await stock_up(one)
        async with one.edit() as docs:
            docs.inventory.receive("shirt", 1, at="A")
            with pytest.raises(FoldRefused, match="2026-10 comes first"):
                docs.inventory.books.fold(NOVEMBER)
            with pytest.raises(FoldRefused, match="it is not closed"):
                docs.inventory.books.fold(OCTOBER)
        async with one.edit(period=OCTOBER) as docs:
            assert docs.inventory.books.close()
            assert not docs.inventory.books.close()
        await hand_over(one, two, "inventory/catalog")
        closed = (await one._shelf.open(movements_document(OCTOBER))).replica
        # Of the document nothing but what its closing wrote.
        half = await two._shelf.open(movements_document(OCTOBER))
        covers, at = closed.get("meta", "covers"), closed.get("meta", "closed")
        async with half.lock:
            update = replay([]).write([Write("meta", "covers", covers), Write("meta", "closed", at)])
            assert update is not None
            await half.keep([half.replica.merge(update).fresh or b""], NOW_MS)
        async with two.edit() as docs:
            with pytest.raises(FoldRefused, match="have not arrived here"):
                docs.inventory.books.fold(OCTOBER)


async def test_rights_are_not_decided_when_what_may_be_late_in_a_folded_period_is_damaged(tmp_path: Path) -> None:
    october = movements_document(OCTOBER)
    async with open_till(tmp_path, "till-1") as one, open_till(tmp_path, "till-2") as two:
        await stock_up(one)
        await hand_over(one, two, "inventory/catalog", october)
        async with two.edit(period=OCTOBER) as docs:
            docs.inventory.sell("shirt", 3, at="A", ref="written while offline")
        await close_and_fold(one, OCTOBER)
        await hand_over(one, two, "inventory/catalog")
    file = tmp_path / "till-2.db"
    content = bytearray(file.read_bytes())
    place = content.index(b"written while offline")
    content[place] ^= 1
    file.write_bytes(content)
    async with open_till(tmp_path, "till-2") as two:
        with pytest.raises(PeriodsMissing) as missing:
            async with two.edit() as docs:
                docs.inventory.sell("shirt", 4, at="A")
        assert missing.value.periods == [OCTOBER]
        async with two.edit() as docs:
            docs.inventory.receive("shirt", 1, at="A")


async def test_a_till_whose_clock_lags_goes_on_selling_when_its_day_is_closed_too(tmp_path: Path) -> None:
    async with open_till(tmp_path, "till-1") as till:
        async with till.edit() as docs:
            docs.inventory.add_product("shirt", escrow="refuse")
            docs.inventory.add_location("A")
            docs.inventory.receive("shirt", 10, at="A")
        # By the clock of who closes it is December already.
        for written in ("2026-11-18", "2026-12", "2027-01"):
            async with till.read() as docs:
                (open_now,) = docs.inventory.books.unfolded()
            async with till.edit(period=open_now) as docs:
                assert docs.inventory.books.close()
            async with till.edit() as docs:
                docs.inventory.sell("shirt", 1, at="A")
                assert docs.inventory.books.unfolded() == [open_now, written]
            await fold(till, open_now)
        async with till.read() as docs:
            assert docs.inventory.stock("shirt", "A") == 7


async def fold(peer: OfflinePeer, period: str) -> None:
    for step in (FoldStep.WRITTEN, FoldStep.FOLDED):
        async with peer.edit(also=[period]) as docs:
            assert docs.inventory.books.fold(period) is step
