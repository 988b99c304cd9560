"""An edit is collected first and applied as a whole."""

import pytest

from crdt_sync.documents.roots import Draft
from crdt_sync.errors import DocumentError, UnknownProduct
from tests.unit.documents.replicas import DocRoots, shop


def test_reads_of_a_draft_see_what_it_stages_and_the_document_does_not() -> None:
    under = DocRoots()
    under.put("attr", "old", "1")
    draft = Draft(under)
    draft.put("attr", "old", "2")
    draft.put("attr", "new", "3")
    assert draft.get("attr", "old") == "2"
    assert draft.entries("attr") == {"old": "2", "new": "3"}
    assert draft.client_id == under.client_id
    assert under.entries("attr") == {"old": "1"}


def test_a_key_that_is_written_twice_is_applied_once() -> None:
    draft = Draft(DocRoots())
    draft.put("c", "k", 1)
    draft.put("mv", "m", [])
    draft.put("c", "k", 2)
    assert draft.writes == [("c", "k", 2), ("mv", "m", [])]


def test_a_staged_null_hides_what_is_below() -> None:
    under = DocRoots()
    under.put("attr", "k", "old")
    draft = Draft(under)
    draft.put("attr", "k", None)
    assert draft.get("attr", "k") is None


def test_an_edit_that_fails_half_way_leaves_nothing() -> None:
    replica = shop()
    before = replica.catalog.doc.get_update(), replica.movements.doc.get_update()

    def edit() -> None:
        with replica.edit() as docs:
            docs.inventory.add_product("sock")
            docs.inventory.receive("sock", 5, at="A")
            docs.inventory.receive("hat", 5, at="A")

    with pytest.raises(UnknownProduct):
        edit()
    assert (replica.catalog.doc.get_update(), replica.movements.doc.get_update()) == before


def test_an_edit_is_one_transaction_of_each_document() -> None:
    replica = shop()
    seen: list[object] = []
    subscription = replica.movements.doc.observe(seen.append)
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 5, at="A")
        docs.inventory.transfer("shirt", 2, source="A", to="B")
    replica.movements.doc.unobserve(subscription)
    assert len(seen) == 1


def test_a_facade_kept_beyond_its_edit_says_so_instead_of_losing_the_write() -> None:
    replica = shop()
    with replica.edit() as docs:
        docs.inventory.receive("shirt", 5, at="A")
    with pytest.raises(DocumentError, match="ended"):
        docs.inventory.sell("shirt", 1, at="A")
    assert replica.inventory.stock("shirt", "A") == 5
