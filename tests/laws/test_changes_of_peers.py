"""The law of changes: who starts from what there is, and follows what it is told, has what the documents hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crdt_sync.documents.catalog.siblings import readable
from crdt_sync.documents.names import CATALOG
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.errors import CannotUndo, NothingToUndo
from crdt_sync.peer import Changes, ConflictClosed, ConflictOpened, FieldChanged, Missed, MovementAdded, OfflinePeer
from crdt_sync.peer.changes import ChangeFeed
from crdt_sync.peer.local_document import LocalDocument
from tests.laws.test_undo_of_peers import ACTS, MOVEMENTS, Act, edit, exchange, opening, peer_named

Step = tuple[str, int, Sequence[Act]]

STEPS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, 1), st.lists(ACTS, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(("undo", "exchange", "take")), st.integers(0, 1), st.just([])),
)


class Follower:
    """What a reader knows: fields, movements and open conflicts."""

    def __init__(self, peer: OfflinePeer, changes: Changes) -> None:
        self._peer = peer
        self._changes = changes
        self.known: dict[str, dict[str, object]] = {}
        self.gaps = 0

    async def look(self, document: str) -> dict[str, object]:
        opened = await self._peer._shelf.open(document)
        if document == CATALOG:
            fields = {key: readable(value)[1] for key, value in opened.replica.entries(ATTRIBUTES).items()}
            async with self._peer.read() as docs:
                found = docs.inventory._arbitration.conflicts()
            conflicts: dict[str, object] = {f"conflict {found.product}/{found.field}": True for found in found}
            return {**fields, **conflicts}
        return dict.fromkeys(opened.replica.keys("mv"), True)

    async def begin(self) -> None:
        for document in (CATALOG, MOVEMENTS):
            self.known[document] = await self.look(document)

    async def take(self) -> None:
        """Follow everything that waits."""
        while self._changes._buffer:
            match await anext(self._changes):
                case Missed(documents):
                    self.gaps += 1
                    for document in documents & self.known.keys():
                        self.known[document] = await self.look(document)
                case FieldChanged(document, _, _, product, location, field, _, new):
                    name = product if location is None else f"@{location}"
                    self.known[document][f"{name}/{field}"] = new
                case MovementAdded(document, _, _, movement):
                    self.known[document][movement.mid] = True
                case ConflictOpened(document, _, _, product, _, field):
                    self.known[document][f"conflict {product}/{field}"] = True
                case ConflictClosed(document, _, _, product, _, field):
                    self.known[document].pop(f"conflict {product}/{field}", None)


def check_followers_know_all(steps: Sequence[Step], buffer_max: int) -> int:
    """Returns how many gaps there were."""

    async def run() -> int:
        async with peer_named("ann") as ann, peer_named("bob") as bob:
            await opening(ann, None)
            await exchange(ann, bob)
            async with ann.changes(buffer_max=buffer_max) as changes:
                follower = Follower(ann, changes)
                await follower.begin()
                for what, who, acts in steps:
                    if what == "edit":
                        await edit((ann, bob)[who], acts)
                    elif what == "exchange":
                        await exchange(ann, bob)
                    elif what == "take":
                        await follower.take()
                    elif ann._history._done:
                        await undone(ann)
                await follower.take()
                for document, known in follower.known.items():
                    assert known == await follower.look(document), "a follower knows something else"
                return follower.gaps

    return asyncio.run(run())


async def undone(peer: OfflinePeer) -> None:
    try:
        await peer.undo()
    except (CannotUndo, NothingToUndo):
        return


CONFLICT: Sequence[Step] = [
    ("edit", 0, [("set", "tea", 2)]),
    ("edit", 1, [("set", "tea", 3)]),
    ("exchange", 0, []),
    ("take", 0, []),
    ("edit", 0, [("sell", "tea", 1)]),
]
BURST: Sequence[Step] = [("edit", 0, [("set", "tea", 2), ("name", "tea", "x"), ("sell", "tea", 1)])]


@example(CONFLICT, 50)
@example(BURST, 1)
@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=14), st.sampled_from((1, 3, 50)))
def test_who_follows_the_changes_knows_what_the_documents_hold(steps: Sequence[Step], buffer_max: int) -> None:
    check_followers_know_all(steps, buffer_max)


def test_the_histories_reach_gaps() -> None:
    assert check_followers_know_all(BURST, 1) > 0
    assert check_followers_know_all(BURST, 50) == 0


PLANT = pytest.MonkeyPatch


def drop_what_there_is_no_room_for(patch: PLANT) -> None:
    patch.setattr(Changes, "miss", lambda self, document, changes: None)


def tell_own_edits_only(patch: PLANT) -> None:
    committed = ChangeFeed.committed

    def own(self: ChangeFeed, document: LocalDocument, *, is_local: bool) -> None:
        if is_local:
            committed(self, document, is_local=is_local)
        else:
            document.replica.take_changes()

    patch.setattr(ChangeFeed, "committed", own)


def look_for_no_conflicts(patch: PLANT) -> None:
    patch.setattr("crdt_sync.peer.changes._may_concern", lambda document, changes, before: False)


@pytest.mark.parametrize(
    ("plant", "law"),
    [
        (drop_what_there_is_no_room_for, lambda: check_followers_know_all(BURST, 1)),
        (tell_own_edits_only, lambda: check_followers_know_all(CONFLICT, 50)),
        (look_for_no_conflicts, lambda: check_followers_know_all(CONFLICT, 50)),
    ],
)
def test_the_law_notices_planted_bugs(
    plant: Callable[[PLANT], None], law: Callable[[], int], monkeypatch: PLANT
) -> None:
    law()
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        law()
