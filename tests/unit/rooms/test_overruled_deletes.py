"""A page deletes a field that another page writes at the same time: in Yjs the delete is without effect, and unseen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pycrdt import Doc, Map

from crdt_sync.documents.catalog.siblings import VAULT
from crdt_sync.documents.schema import ATTRIBUTES
from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol.messages import NewUpdate
from server.rooms.keeper import CatalogKeeper
from server.rooms.room import Room
from tests.unit.documents.branches import Branch, the_only
from tests.unit.rooms.members import absorb, arrive, empty_history, kept, said

RELAY = 2**53 - 5
KEY = "tea/price"


class Page:
    """A plain Yjs page; what it does is sent as the bytes of one transaction."""

    def __init__(self, client: int, *seen: bytes) -> None:
        self._doc: Doc[Map] = Doc(client_id=client)
        self._attributes = self._doc.get(ATTRIBUTES, type=Map)
        for update in seen:
            self._doc.apply_update(update)
        self._sent: list[bytes] = []
        self._watching = self._doc.observe(lambda event: self._sent.append(bytes(event.update)))

    def set(self, **entries: object) -> bytes:
        with self._doc.transaction():
            for key, value in entries.items():
                self._attributes[key.replace("__", "/").replace("life", "$life")] = value
        return self._sent[-1]

    def delete(self) -> bytes:
        del self._attributes[KEY]
        return self._sent[-1]


def through_a_room(updates: Sequence[bytes]) -> list[bytes]:
    room = Room(empty_history(), DEFAULT_LIMITS, CatalogKeeper(RELAY))
    arrive(room, 1)
    return [update for sent in updates for update in kept(absorb(room, said(1, NewUpdate(sent))))]


def reader_of(updates: Sequence[bytes]) -> Branch:
    reader = Branch("office")
    for update in updates:
        reader.hear(update)
    return reader


def test_a_delete_that_met_a_write_is_listed_as_an_update_against_a_delete_until_somebody_decides() -> None:
    first = Page(7).set(tea__life="active", tea__price=450)
    deleted, written = Page(8, first).delete(), Page(9, first).set(tea__price=500)
    reader = reader_of(through_a_room([first, deleted, written]))
    conflict = the_only(reader.look.conflicts())
    assert (conflict.key, conflict.kind, conflict.current) == (KEY, "update_delete", 500)
    assert sorted((sibling.value for sibling in conflict.siblings), key=str) == [500, None]
    with reader.edit() as inventory:
        the_only(inventory.conflicts()).resolve(value=None)
    assert reader.look.conflicts() == []
    assert reader.look.attribute("tea", "price") is None
    assert reader.look.faults() == []


@pytest.mark.parametrize("knows", ["the delete", "everything, later"])
def test_who_writes_after_it_saw_the_delete_is_in_no_conflict(knows: str) -> None:
    first = Page(7).set(tea__life="active", tea__price=450)
    deleted = Page(8, first).delete()
    written = Page(9, first, deleted).set(tea__price=500)
    updates = [first, deleted, written]
    if knows == "everything, later":
        updates.append(Page(10, *updates).set(tea__price=550))
    updates = through_a_room(updates)
    assert reader_of(updates).look.conflicts() == []
    assert reader_of(updates).catalog.entries(VAULT) == {}


def test_a_delete_that_comes_after_the_write_that_it_met_is_not_told() -> None:
    """Nothing in the bytes tells it from a delete of what was overwritten anyway; this is written down as a limit."""
    first = Page(7).set(tea__life="active", tea__price=450)
    deleted, written = Page(8, first).delete(), Page(9, first).set(tea__price=500)
    assert reader_of(through_a_room([first, written, deleted])).look.conflicts() == []
