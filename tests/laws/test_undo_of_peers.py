"""Laws of undo: it changes nothing that somebody else wrote, and undo and redo lead through the very same states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.names import CATALOG
from crdt_sync.errors import CannotUndo, DocumentError, NothingToUndo
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.peer import OfflinePeer, compensation, deeds, undo
from crdt_sync.peer.desk import Writer
from crdt_sync.peer.shelf import Shelf
from crdt_sync.stores.memory import open_memory_store

AT_MS = 1_795_000_000_000
PERIOD = "2026-11"
MOVEMENTS = f"inventory/{PERIOD}"
NAMES = ("ann", "bob")

Act: TypeAlias = tuple[str, Any, Any]
"""What an edit does, to what, and with which value."""
Step: TypeAlias = tuple[str, int, Sequence[Act]]
"""Edit, undo, redo or exchange; by whom; and what an edit does."""


class Seen(NamedTuple):
    """A document's inventory as its reader has it."""

    products: dict[str, dict[str, object]]
    stock: dict[tuple[str, str], int]
    on_hand: dict[str, int]
    rights: dict[str, int]


@asynccontextmanager
async def peer_named(name: str) -> AsyncIterator[OfflinePeer]:
    async with open_memory_store() as store:
        writer = Writer(name, f"{name}.1", HybridClock(), lambda: AT_MS)
        yield OfflinePeer(Shelf(store, name, DEFAULT_LIMITS), None, writer, follow="all", limits=DEFAULT_LIMITS)


async def exchange(one: OfflinePeer, other: OfflinePeer) -> None:
    for source, target in ((one, other), (other, one)):
        for name in (CATALOG, MOVEMENTS):
            theirs, ours = await source._shelf.open(name), await target._shelf.open(name)
            async with ours.lock:
                fresh = ours.replica.merge(theirs.replica.since(ours.replica.state)).fresh
                if fresh is not None:
                    await ours.keep([fresh], AT_MS)


def perform(inventory: InventoryDocument, act: Act) -> None:
    what, sku, value = act
    match what:
        case "set":
            inventory.set_attribute(sku, "price", value)
        case "name":
            inventory.set_attribute(sku, "name", value)
        case "add":
            inventory.add_product(sku, unit="packet")
        case "delete":
            inventory.delete_product(sku)
        case "receive":
            inventory.receive(sku, value, at="shop")
        case "sell":
            inventory.sell(sku, value, at="shop")
        case "adjust":
            inventory.adjust(sku, -value, at="shop")
        case "hold":
            inventory.hold(sku, value, at="shop")
        case "transfer":
            inventory.transfer(sku, value, source="shop", to="store")
        case "end":
            held = [hold for hold in inventory.holds() if hold.ended_by is None and hold.movement.sku == sku]
            for hold in held[:1]:
                (inventory.confirm if value % 2 else inventory.release)(hold.movement.mid)


async def edit(peer: OfflinePeer, acts: Sequence[Act]) -> None:
    """What makes no sense is left out."""
    async with peer.edit(period=PERIOD) as docs:
        for act in acts:
            try:
                perform(docs.inventory, act)
            except DocumentError:
                continue


def without_ephemera(acts: Sequence[Act]) -> Sequence[Act]:
    """Without the deletion of what the same edit has added: such an edit has nothing that could be taken back."""
    added = {sku for what, sku, _ in acts if what == "add"}
    return [act for act in acts if act[0] != "delete" or act[1] not in added]


async def look(peer: OfflinePeer) -> Seen:
    async with peer.read() as docs:
        inventory = docs.inventory
        skus = ("tea", "coffee")
        on_hand = {sku: inventory.on_hand(sku, "shop") for sku in skus}
        rights = {sku: inventory.rights(sku, "shop").of.get(peer._writer.rid, 0) for sku in skus}
        table = {cell: units for cell, units in inventory.stock_table().items() if units}
        return Seen({sku: dict(fields) for sku, fields in inventory.products().items()}, table, on_hand, rights)


async def opening(peer: OfflinePeer, escrow: str | None) -> None:
    async with peer.edit(period=PERIOD) as docs:
        docs.inventory.add_product("tea", price=1)
        for place in ("shop", "store"):
            docs.inventory.add_location(place, escrow=escrow)
        docs.inventory.receive("tea", 20, at="shop")
    peer._history._done.clear()


ACTS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(("tea", "coffee")), st.integers(1, 3)),
    st.tuples(st.just("name"), st.sampled_from(("tea", "coffee")), st.sampled_from(("x", "y", None))),
    st.tuples(st.sampled_from(("add", "delete")), st.sampled_from(("tea", "coffee")), st.none()),
    st.tuples(
        st.sampled_from(("receive", "sell", "adjust", "hold", "transfer", "end")),
        st.sampled_from(("tea", "tea", "coffee")),
        st.integers(1, 4),
    ),
)
EDITS = st.lists(ACTS, min_size=1, max_size=3)
STEPS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, 1), EDITS),
    st.tuples(st.sampled_from(("undo", "redo", "exchange")), st.integers(0, 1), st.just([])),
)


async def foreign_to(peer: OfflinePeer, own: set[int]) -> dict[str, tuple[Sequence[str], object]]:
    """By attribute what this peer reads, where somebody else's write stands there: the heads, and the value."""
    replica = (await peer._shelf.open(CATALOG)).replica
    found: dict[str, tuple[Sequence[str], object]] = {}
    for key in replica.keys("attr"):
        heads = replica.heads("attr", key)
        if any(head.client not in own for head in heads):
            found[key] = ([head.dot for head in heads], replica.get("attr", key))
    return found


async def own_clients(peer: OfflinePeer) -> set[int]:
    return {(await peer._shelf.open(CATALOG)).replica.client_id}


def check_undo_spares_others(steps: Sequence[Step], escrow: str | None = None) -> int:
    """Returns how many undos and redos went through."""

    async def run() -> int:
        went_through = 0
        async with peer_named(NAMES[0]) as ann, peer_named(NAMES[1]) as bob:
            peers = ann, bob
            await opening(ann, escrow)
            await exchange(ann, bob)
            for what, who, acts in steps:
                peer = peers[who]
                if what == "edit":
                    await edit(peer, acts)
                elif what == "exchange":
                    await exchange(ann, bob)
                else:
                    before = await foreign_to(peer, await own_clients(peer))
                    rows = dict((await peer._shelf.open(MOVEMENTS)).replica.entries("mv"))
                    try:
                        await (peer.undo() if what == "undo" else peer.redo())
                        went_through += 1
                    except (NothingToUndo, CannotUndo):
                        pass
                    after = await foreign_to(peer, await own_clients(peer))
                    assert after == before, "somebody else's write was changed"
                    rows_after = (await peer._shelf.open(MOVEMENTS)).replica.entries("mv")
                    assert rows.items() <= dict(rows_after).items(), "a movement was changed or taken away"
            await exchange(ann, bob)
            await exchange(ann, bob)
            one, other = await look(ann), await look(bob)
            assert one[:3] == other[:3], "the peers do not agree"
        return went_through

    return asyncio.run(run())


def check_undo_and_redo_lead_through_the_same_states(edits: Sequence[Sequence[Act]], escrow: str | None) -> int:
    """Returns how many edits were taken back."""

    async def run() -> int:
        async with peer_named("ann") as ann:
            await opening(ann, escrow)
            states = [await look(ann)]
            for acts in edits:
                kept = len(ann._history._done)
                await edit(ann, without_ephemera(acts))
                if len(ann._history._done) > kept:
                    states.append(await look(ann))
            for _ in range(2):
                for state in reversed(states[:-1]):
                    await ann.undo()
                    assert await look(ann) == state, "an undo did not bring back what was there before"
                with pytest.raises(NothingToUndo):
                    await ann.undo()
                for state in states[1:]:
                    await ann.redo()
                    assert await look(ann) == state, "a redo did not bring back what was undone"
        return len(states) - 1

    return asyncio.run(run())


EQUAL_WRITE: Sequence[Step] = [
    ("edit", 0, [("set", "tea", 2)]),
    ("exchange", 0, []),
    ("edit", 1, [("set", "tea", 2)]),
    ("exchange", 0, []),
    ("undo", 0, []),
]
EQUAL_WRITE_BETWEEN: Sequence[Step] = [
    ("edit", 0, [("set", "tea", 2)]),
    ("exchange", 0, []),
    ("edit", 1, [("set", "tea", 2)]),
    ("exchange", 0, []),
    ("edit", 0, [("set", "tea", 3)]),
    ("undo", 0, []),
    ("undo", 0, []),
]
CONCURRENT: Sequence[Step] = [
    ("edit", 0, [("set", "tea", 2)]),
    ("edit", 1, [("set", "tea", 3)]),
    ("exchange", 0, []),
    ("undo", 0, []),
    ("undo", 1, []),
]
ADDED_AND_USED: Sequence[Step] = [
    ("edit", 0, [("add", "coffee", None)]),
    ("exchange", 0, []),
    ("edit", 1, [("set", "coffee", 2)]),
    ("exchange", 0, []),
    ("undo", 0, []),
]
TWICE_ONE_FIELD: Sequence[Sequence[Act]] = [[("set", "tea", 2)], [("set", "tea", 3)], [("set", "tea", 2)]]
HOLDS: Sequence[Sequence[Act]] = [[("hold", "tea", 3)], [("end", "tea", 1)], [("hold", "tea", 2)], [("end", "tea", 2)]]
SALES: Sequence[Sequence[Act]] = [[("sell", "tea", 2)], [("receive", "tea", 1), ("transfer", "tea", 3)]]


@example(EQUAL_WRITE_BETWEEN, None)
@example(CONCURRENT, None)
@example(ADDED_AND_USED, None)
@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=14), st.sampled_from((None, "refuse")))
def test_undo_never_changes_what_somebody_else_wrote(steps: Sequence[Step], escrow: str | None) -> None:
    check_undo_spares_others(steps, escrow)


@example(TWICE_ONE_FIELD, None)
@example(HOLDS, "refuse")
@example(SALES, "refuse")
@settings(max_examples=60, deadline=None)
@given(st.lists(EDITS, max_size=6), st.sampled_from((None, "refuse")))
def test_undo_and_redo_lead_through_the_same_states_where_nobody_interferes(
    edits: Sequence[Sequence[Act]], escrow: str | None
) -> None:
    check_undo_and_redo_lead_through_the_same_states(edits, escrow)


def test_the_histories_reach_undo() -> None:
    assert check_undo_spares_others(EQUAL_WRITE_BETWEEN) == 1
    assert check_undo_and_redo_lead_through_the_same_states(HOLDS, "refuse") == 4


PLANT = pytest.MonkeyPatch


def compare_values_only(patch: PLANT) -> None:
    def is_ours(self: undo._Reversal, write: deeds.FieldWrite) -> bool:
        return bool(self._replica.get("attr", write.key) == write.new)

    patch.setattr(undo._Reversal, "_is_ours", is_ours)


def ask_nobody(patch: PLANT) -> None:
    patch.setattr(undo._Reversal, "_is_ours", lambda self, write: True)


def follow_no_tips(patch: PLANT) -> None:
    patch.setattr(deeds.Deed, "retip", lambda self, tips: None)


def follow_no_holds(patch: PLANT) -> None:
    patch.setattr(deeds.Deed, "rehold", lambda self, holds: None)


def give_back_twice(patch: PLANT) -> None:
    adjust = compensation.Compensation._adjust
    patch.setattr(compensation.Compensation, "_adjust", lambda self, m, delta: adjust(self, m, 2 * delta))


@pytest.mark.parametrize(
    ("plant", "law"),
    [
        (compare_values_only, lambda: check_undo_spares_others(EQUAL_WRITE)),
        (ask_nobody, lambda: check_undo_spares_others(CONCURRENT)),
        (follow_no_tips, lambda: check_undo_and_redo_lead_through_the_same_states(TWICE_ONE_FIELD, None)),
        (follow_no_holds, lambda: check_undo_and_redo_lead_through_the_same_states(HOLDS, "refuse")),
        (give_back_twice, lambda: check_undo_and_redo_lead_through_the_same_states(SALES, None)),
    ],
)
def test_the_laws_notice_planted_bugs(
    plant: Callable[[PLANT], None], law: Callable[[], int], monkeypatch: PLANT
) -> None:
    law()
    plant(monkeypatch)
    with pytest.raises((AssertionError, DocumentError)):
        law()
