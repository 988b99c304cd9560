"""What roles may do, and what the patterns of the claims mean."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import InvalidName
from server.auth.grants import CredentialRefused, Grant
from server.auth.keys import KeyRing, secret_key
from server.auth.patterns import DocumentPattern, PathPattern, WritePattern
from server.auth.rights import PERMISSIONS, Permission, Role, least_writer
from server.auth.tokens import TokenVerifier
from tests.unit.server.tokens import NOW_S, SECRET, with_claims

VERIFIER = TokenVerifier(KeyRing([secret_key(SECRET)]))
DOCUMENTS = ("inventory/catalog", "inventory/2026-11", "metrics/2026-11", "pii/ada", "notes", "inventory", "shop/a")
parts = st.sampled_from(["a", "b", "*"])
paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=5).map(tuple)
patterns = st.lists(parts, min_size=1, max_size=4).map(lambda found: PathPattern(tuple(found)))


def grant(role: Role, *write: str, locations: tuple[str, ...] = (), documents: tuple[str, ...] = ("*",)) -> Grant:
    return Grant(
        "ada",
        "acme",
        tuple(map(DocumentPattern.parse, documents)),
        role,
        1_000,
        "token-1",
        write=tuple(map(WritePattern.parse, write)) or None,
        locations=locations,
    )


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [
        (Role.ADMIN, "1111111", "1111111"),
        (Role.MANAGER, "1111111", "1111111"),
        (Role.OPERATOR, "1110111", "1100111"),
        (Role.VIEWER, "1110111", "0000000"),
    ],
)
def test_P29_each_role_has_its_areas(role: Role, reads: str, writes: str) -> None:
    holder = grant(role)
    assert "".join(str(int(holder.may_read(document))) for document in DOCUMENTS) == reads
    assert "".join(str(int(holder.may_write(document))) for document in DOCUMENTS) == writes
    assert all(holder.path_rights(document) is None for document in DOCUMENTS if holder.may_write(document))


def test_P29_a_greater_role_has_all_of_a_smaller_one() -> None:
    ranks = [PERMISSIONS[role] for role in Role]
    assert all(greater > smaller for greater, smaller in pairwise(ranks))
    assert PERMISSIONS[Role.ADMIN] == set(Permission)
    assert [least_writer(document) for document in DOCUMENTS[:5]] == [
        Role.OPERATOR,
        Role.OPERATOR,
        Role.MANAGER,
        Role.MANAGER,
        Role.OPERATOR,
    ]


@given(st.sampled_from(Role), st.sets(st.sampled_from(DOCUMENTS)), st.sets(st.sampled_from(DOCUMENTS), min_size=1))
def test_P29_nobody_writes_what_it_may_not_read_and_a_viewer_nothing(
    role: Role, documents: set[str], write: set[str]
) -> None:
    holder = grant(role, *write, documents=tuple(documents))
    for document in DOCUMENTS:
        assert not holder.may_write(document) or (holder.may_read(document) and role is not Role.VIEWER)


def test_P29_what_a_token_may_write_takes_the_place_of_its_roles() -> None:
    sensor = grant(Role.OPERATOR, "metrics/*#s/temperature/*")
    assert sensor.may_write("metrics/2026-11")
    assert not sensor.may_write("notes")
    assert not sensor.may_write("inventory/2026-11")
    rights, books = sensor.path_rights("metrics/2026-11"), sensor.path_rights("inventory/catalog")
    assert rights is not None
    assert rights.allows(("s", "temperature", "cellar", "w", "1"))
    assert not rights.allows(("s", "humidity", "cellar", "w", "1"))
    # Only to note that there are samples of a period.
    assert books is not None
    assert (books.patterns, books.keeps_books) == ((), True)
    assert not grant(Role.ADMIN, "notes").may_write("inventory/catalog")
    assert grant(Role.ADMIN, "notes", "notes#a").path_rights("notes") is None


def test_P29_a_location_bounds_the_inventory_and_nothing_else() -> None:
    shop = grant(Role.OPERATOR, locations=("Saint-Denis/1",), documents=("notes",))
    assert [shop.may_read(document) for document in DOCUMENTS[:5]] == [True, True, False, False, True]
    assert shop.may_write("notes")
    assert shop.path_rights("notes") is None
    catalog, movements = shop.path_rights("inventory/catalog"), shop.path_rights("inventory/2026-11")
    assert catalog is not None
    assert catalog.allows(("attr", "@Saint-Denis%2F1", "phone"))
    assert not catalog.allows(("attr", "@Paris", "phone"))
    assert movements is not None
    assert (movements.patterns, movements.locations) == ((), ("Saint-Denis/1",))


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("attr/*/quantity", "attr/tea/quantity", True),
        ("attr/*/quantity", "attr/tea/price", False),
        ("attr/*/quantity", "attr/tea/x/quantity", False),
        ("attr/*", "attr/tea/quantity", True),
        ("attr/*", "attr", False),
        ("notes", "notes", True),
        ("notes", "notes/a", False),
        ("*", "notes", True),
        ("*", "a/b/c", True),
        ("a/*/*", "a/b", False),
        ("a/*/*", "a/b/c/d", True),
    ],
)
def test_P29_a_wildcard_is_one_segment_and_at_the_end_one_or_more(pattern: str, path: str, matches: bool) -> None:
    assert PathPattern.parse(pattern).matches(tuple(path.split("/"))) == matches


@pytest.mark.parametrize("text", ["", "/", "a//b", "/a", "a/", "a\nb", "a" * 513])
def test_a_path_pattern_has_segments(text: str) -> None:
    with pytest.raises(InvalidName, match="path pattern"):
        PathPattern.parse(text)


@pytest.mark.parametrize("text", ["", "#a", "A#b", "notes#", "inv*#a", "location:", "location:a\x07", "../x"])
def test_a_write_pattern_is_of_one_of_three_forms(text: str) -> None:
    with pytest.raises(InvalidName):
        WritePattern.parse(text)


@given(patterns, patterns, paths)
def test_P28_who_covers_a_pattern_matches_all_that_it_matches(
    one: PathPattern, other: PathPattern, path: tuple[str, ...]
) -> None:
    assert not one.covers(other) or not other.matches(path) or one.matches(path)


@given(patterns, patterns)
def test_P28_who_matches_all_that_a_pattern_matches_covers_it(one: PathPattern, other: PathPattern) -> None:
    # A letter that stands in neither pattern keeps a wildcard from passing for what it happens to match.
    possible = [path for length in range(1, 7) for path in product("abc", repeat=length)]
    assert one.covers(other) == all(one.matches(path) for path in possible if other.matches(path))


@given(*[st.sampled_from(["*", "a", "a/*", "a/b", "a/b/*", "b", "inventory/catalog", "inventory/catalog.2"])] * 2)
def test_P28_a_document_pattern_covers_what_it_matches(one: str, other: str) -> None:
    wide, narrow = DocumentPattern.parse(one), DocumentPattern.parse(other)
    names = ("a", "a/b", "a/b/c", "a/c", "b", "c", "b/a", "inventory/catalog", "inventory/catalog.2", "inventory/x")
    assert wide.covers(narrow) == all(wide.matches(name) for name in names if narrow.matches(name))


def test_P28_a_location_covers_only_itself() -> None:
    paris, lyon, inventory = map(WritePattern.parse, ("location:paris", "location:lyon", "inventory/*"))
    assert paris.covers(WritePattern.parse("location:paris"))
    assert not paris.covers(lyon)
    assert inventory.covers(paris)
    assert not paris.covers(inventory)
    assert not WritePattern.parse("inventory/*#mv/*").covers(paris)


def test_P29_a_token_may_say_what_it_writes_and_where() -> None:
    grant = VERIFIER.verify(
        with_claims(docs=["notes", "location:Paris 2"], write=["notes#a/*", "location:lyon"]), now_s=NOW_S
    )
    assert ([str(one) for one in grant.documents], grant.locations) == (["notes"], ("Paris 2",))
    assert grant.write is not None
    assert [one.text for one in grant.write] == ["notes#a/*", "location:lyon"]
    assert VERIFIER.verify(with_claims(), now_s=NOW_S).write is None
    assert VERIFIER.verify(with_claims(write=[]), now_s=NOW_S).write == ()


@pytest.mark.parametrize(
    "claims",
    [
        {"write": "notes"},
        {"write": [1]},
        {"write": ["notes#"]},
        {"write": ["*/a"]},
        {"write": ["notes"] * 101},
        {"docs": ["location:"]},
        {"write": {"notes": 1}},
    ],
)
def test_P29_what_is_no_pattern_to_write_makes_no_token(claims: dict[str, object]) -> None:
    with pytest.raises(CredentialRefused) as caught:
        VERIFIER.verify(with_claims(**claims), now_s=NOW_S)
    assert caught.value.reason == "claims"
