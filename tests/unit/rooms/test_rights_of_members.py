"""What a member that may write some of a document may also note, what it may not, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pycrdt import Doc, Map, TransactionEvent

from crdt_sync.protocol.messages import Ack, Denied, NewUpdate, StateReply, StateRequest
from crdt_sync.updates.encode import write_entries, write_over, write_update
from crdt_sync.updates.pieces import EMPTY_UPDATE
from crdt_sync.values import Id
from server.auth.patterns import PathRights, WritePattern, path_rights
from server.rooms.room import READ_ONLY, Room
from server.rooms.turn import Arrived, Granted, Turn
from tests.unit.rooms.members import NOBODY, absorb, arrive, broadcasts, kept, make_room, replies, said

CATALOG, MOVEMENTS = "inventory/catalog", "inventory/2026-11"
CLERK = 900
TIP = "attr/tea/quantity"
CLERKS_WORK = ("inventory/catalog#attr/*/quantity",)


def rights_of(document: str, *write: str) -> PathRights:
    rights = path_rights(document, [WritePattern.parse(pattern) for pattern in write])
    assert rights is not None
    return rights


def room_of(rights: PathRights, roots: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Room, dict[str, Id]]:
    """A room that member 1 has filled, and the id of each entry; member 2 may write some of it."""
    room = make_room()
    arrive(room, 1)
    ids: dict[str, Id] = {}
    for client, (root, entries) in enumerate((roots or {}).items(), 1):
        absorb(room, said(1, NewUpdate(write_entries(client, 0, root, entries))))
        ids |= {f"{root}/{key}": (client, clock) for clock, key in enumerate(entries)}
    absorb(room, Arrived(2, "clerk", True, wants_echo=True, keeps_pending=True, rights=rights))
    return room, ids


def bring(room: Room, raw: bytes) -> Turn:
    return absorb(room, said(2, NewUpdate(raw)))


def refusal(turn: Turn) -> str | None:
    """Why it was refused; everything else of a refusal is looked at, too."""
    reasons = [one.reason for one in replies(turn, 2) if isinstance(one, Denied)]
    assert bool(kept(turn)) != bool(reasons)
    if not reasons:
        return None
    assert (broadcasts(turn), [type(one) for one in replies(turn, 2)]) == ([], [Denied])
    return reasons[0]


def entry(root: str, key: str, value: Any, client: int = CLERK) -> bytes:
    return write_entries(client, 0, root, {key: value})


FULL: Mapping[str, Mapping[str, Any]] = {
    "attr": {"tea/price": 450, "tea/quantity": 3},
    "periods": {"2026-11": 1},
    "metrics": {"2026": 1},
    "conflict": {f"{TIP}|7.7": [3, "till-1", 9, "ada"]},
    "edits": {"7.7": ["till-1", 9]},
    "resolve": {f"{TIP}|7.z": {"tips": ["7.7"]}},
}


@pytest.mark.parametrize(
    ("root", "key", "value"),
    [
        ("attr", "milk/quantity", 3),
        ("periods", "2026-12", 1),
        ("periods", "2026-11", 1),
        ("metrics", "2026-12", 1),
        ("metrics", "2027", 1),
        ("edits", f"{CLERK}.0", ["till-2", 10]),
        ("conflict", f"{TIP}|8.8", [4, "till-1", 10]),
        ("conflict", "tea/price|8.8", [4, None, None]),
        ("conflict", f"{TIP}|7.7", [3, "till-1", 9]),
        ("resolve", "tea/quantity|p0.a", {"tips": ["7.7"], "v": 3}),
    ],
)
def test_P29_what_every_writer_notes_may_be_noted(root: str, key: str, value: Any) -> None:
    room, _ = room_of(rights_of(CATALOG, *CLERKS_WORK), FULL)
    assert refusal(bring(room, entry(root, key, value))) is None


@pytest.mark.parametrize(
    ("root", "key", "value"),
    [
        ("attr", "tea/price", 1),
        ("attr", "quantity", 1),
        ("attr", "a/tea/quantity", 1),
        ("attr/tea", "quantity", 1),
        ("periods", "2026-12", 2),
        ("periods", "2026-13", 1),
        ("periods", "2026", 1),
        ("metrics", "2026-11/folded", 1),
        ("edits", "7.8", ["till-1", 10]),
        ("conflict", f"{TIP}|7.7", [4, "till-1", 9]),
        ("conflict", f"{TIP}|7.7", [3, "till-2", 9]),
        ("conflict", f"{TIP}|9.9", "no entry"),
        ("resolve", "tea/price|p0.a", {"tips": ["7.7"], "v": 3}),
        ("resolve", "tea/quantity|zz.a", {"tips": ["7.7"], "v": 3}),
        ("rules", "merge/quantity", "max"),
        ("meta", "closed", 1),
        ("folds", "2026-10", [1, 2, 3]),
        ("incident", "oversold/tea", [1]),
    ],
)
def test_P29_what_is_not_its_own_is_refused_with_path_and_document(root: str, key: str, value: Any) -> None:
    room, _ = room_of(rights_of(CATALOG, *CLERKS_WORK), FULL)
    assert refusal(bring(room, entry(root, key, value))) == (
        f"this token does not allow to write {root}/{key} in {CATALOG}; the edits stay with you"
    )


@pytest.mark.parametrize("name", [f"conflict/{TIP}|7.7", "edits/7.7", f"resolve/{TIP}|7.z", "attr/tea/price"])
def test_P29_nobody_writes_over_what_another_has_noted_or_deletes_it(name: str) -> None:
    for raw in (write_over(CLERK, 0, [(FULL_IDS[name], [3, "till-1", 9])]), deletion(FULL_IDS[name])):
        room, _ = room_of(rights_of(CATALOG, *CLERKS_WORK), FULL)
        assert f"{name} in {CATALOG}" in (refusal(bring(room, raw)) or "")


FULL_IDS = room_of(rights_of(CATALOG, *CLERKS_WORK), FULL)[1]


def deletion(*ids: Id, entries: bytes = EMPTY_UPDATE) -> bytes:
    """An update that deletes elements, behind the structs of another one."""
    deletes: dict[int, list[tuple[int, int]]] = {}
    for client, clock in ids:
        deletes.setdefault(client, []).append((clock, clock + 1))
    return entries[:-1] + write_update((), deletes)[1:]


@pytest.mark.parametrize(
    ("root", "key", "value"), [("periods", "2026-11", 1), ("conflict", f"{TIP}|7.7", [3, "till-1", 9])]
)
def test_P29_a_note_that_others_have_made_does_not_vanish_by_being_made_again(root: str, key: str, value: Any) -> None:
    held = FULL_IDS[f"{root}/{key}"]
    for doomed in ([(CLERK, 0)], [held, (CLERK, 0)]):
        room, _ = room_of(rights_of(CATALOG, *CLERKS_WORK), FULL)
        assert "does not allow to delete" in (
            refusal(bring(room, deletion(*doomed, entries=entry(root, key, value)))) or ""
        )
    # But what lost, its writer may say so of: a greater id stands behind a smaller one.
    room, _ = room_of(rights_of(CATALOG, *CLERKS_WORK), FULL)
    assert refusal(bring(room, deletion(held, entries=entry(root, key, value)))) is None


def made_by(doc: Doc[Any], change: Any) -> bytes:
    updates: list[bytes] = []

    def keep(event: TransactionEvent) -> None:
        updates.append(event.update)

    subscription = doc.observe(keep)
    with doc.transaction():
        change(doc)
    doc.unobserve(subscription)
    return updates[0]


ROW = ["sale", "tea", "paris", 3, "till-1", 9]


@pytest.mark.parametrize(
    ("root", "key", "value", "is_kept"),
    [
        ("mv", "p0.0", ROW, True),
        ("mv", "p0.0", ["sale", "tea", "lyon", 3, "till-1", 9], False),
        ("mv", "p0.0", ["sale", "tea"], False),
        ("mv", "p0.0", "paris", False),
        ("mv", "old.1", ROW, False),
        ("orig", "p0.0", ROW, False),
        ("meta", "closed", 1, False),
        ("home", "p0.0", "2026-10", False),
    ],
)
def test_P29_a_shop_brings_new_movements_of_its_own(root: str, key: str, value: Any, is_kept: bool) -> None:
    rights = rights_of(MOVEMENTS, "location:paris")
    room, ids = room_of(rights, {"mv": {"old.1": ROW}})
    assert (refusal(bring(room, entry(root, key, value))) is None) == is_kept
    for raw in (write_over(CLERK, 0, [(ids["mv/old.1"], ROW)]), deletion(ids["mv/old.1"])):
        assert refusal(bring(room_of(rights, {"mv": {"old.1": ROW}})[0], raw)) is not None


def test_P29_a_late_movement_moves_on_with_a_note_where_it_was() -> None:
    room, _ = room_of(rights_of(MOVEMENTS, "location:paris"))

    def move_on(doc: Doc[Any]) -> None:
        doc.get("home", type=Map)["x.1"] = "2026-10"
        doc.get("mv", type=Map)["x.1"] = ROW

    assert refusal(bring(room, made_by(Doc(client_id=CLERK), move_on))) is None


def test_P29_a_nested_type_goes_with_the_one_that_holds_it() -> None:
    rights = rights_of("shop", "shop#products/tea")
    doc: Doc[Any] = Doc(client_id=1)
    first = made_by(
        doc, lambda doc: doc.get("products", type=Map).update({"tea": Map({"price": 3, "more": Map({"a": 1})})})
    )
    clerk: Doc[Any] = Doc(client_id=CLERK)
    clerk.apply_update(first)
    deeper = made_by(clerk, lambda doc: doc.get("products", type=Map)["tea"].pop("price"))
    over = made_by(clerk, lambda doc: doc.get("products", type=Map).update({"tea": 7}))
    for raw, is_kept in ((deeper, False), (over, True)):
        room, _ = room_of(rights)
        absorb(room, said(1, NewUpdate(first)))
        assert (refusal(bring(room, raw)) is None) == is_kept


def test_P29_a_refusal_is_told_once_without_an_ack_and_lifted_by_another_token() -> None:
    rights = rights_of(CATALOG, *CLERKS_WORK)
    room, _ = room_of(rights, FULL)
    absorb(room, said(2, StateRequest(NOBODY)), said(2, StateReply(EMPTY_UPDATE)))
    assert "attr/tea/price" in (refusal(bring(room, entry("attr", "tea/price", 1))) or "")
    assert replies(bring(room, entry("attr", "milk/price", 1, 901)), 2) == []
    turn = bring(room, entry("attr", "milk/quantity", 1, 902))
    assert (len(kept(turn)), [one for one in replies(turn, 2) if isinstance(one, Ack)]) == (1, [])
    assert [type(one) for one in replies(absorb(room, Granted(2, True, None)), 2)] == [StateRequest]
    turn = absorb(room, said(2, StateReply(entry("attr", "tea/price", 1))))
    assert len(kept(turn)) == 1
    turn = absorb(room, Granted(2, False, None), said(2, NewUpdate(entry("attr", "x/y", 1, 903))))
    assert [one.reason for one in replies(turn, 2) if isinstance(one, Denied)] == [READ_ONLY]


def test_P29_a_new_token_may_bound_who_was_not() -> None:
    room = make_room()
    arrive(room, 2)
    absorb(room, said(2, NewUpdate(entry("attr", "tea/price", 1, 7))))
    assert not room.knows_places
    absorb(room, Granted(2, True, rights_of(CATALOG, *CLERKS_WORK)))
    assert "attr/tea/price" in (refusal(bring(room, write_over(CLERK, 0, [((7, 0), 2)]))) or "")
    assert room.knows_places


def test_P29_what_others_wrote_meanwhile_has_a_place() -> None:
    room, _ = room_of(rights_of(CATALOG, *CLERKS_WORK), FULL)
    bring(room, entry("attr", "tea/quantity", 1))
    absorb(room, said(1, NewUpdate(entry("attr", "milk/price", 1, 7))))
    assert "attr/milk/price" in (refusal(bring(room, write_over(901, 0, [((7, 0), 2)]))) or "")


@pytest.mark.parametrize("root", ["periods", "metrics"])
def test_P29_notes_of_the_catalog_are_made_in_the_catalog(root: str) -> None:
    room, _ = room_of(rights_of("shop", "shop#products/*/stock"))
    assert f"{root}/2026-12 in shop" in (refusal(bring(room, entry(root, "2026-12", 1))) or "")
