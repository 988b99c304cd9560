"""Who may write some of a document changes nothing else of it; and who keeps to that is never refused."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from crdt_sync.errors import SyncError
from crdt_sync.protocol.messages import Denied, NewUpdate, StateReply, StateRequest
from crdt_sync.protocol.wire import text, uint
from crdt_sync.updates.encode import write_deletes
from crdt_sync.updates.places import Path
from crdt_sync.values import Id
from server.auth.patterns import PathPattern, PathRights
from server.rooms.room import Room
from server.rooms.turn import Arrived
from tests.laws.place_histories import ROOTS, Glyphs, Scribbler, scribbled
from tests.unit.rooms.members import absorb, arrive, kept, make_room, replies, said

seeds = st.integers(0, 2**32 - 1).map(Random)
PATTERNS = ("m/a", "m/a/*", "m/*", "m/tea/price", "l", "l/*", "l/a", "t", "*/a", "*/*/b", "m/a/b/*")
MEMBER = 2


def bounded(patterns: tuple[str, ...]) -> PathRights:
    return PathRights("notes", tuple(map(PathPattern.parse, patterns)))


def enter(room: Room, rights: PathRights, member: int = MEMBER) -> None:
    absorb(room, Arrived(member, "ada", True, wants_echo=False, keeps_pending=True, rights=rights))


def outside(doc: Doc[Any], rights: PathRights) -> list[Any]:
    """What a document shows but for what is at these paths, or within something that is."""
    return [
        (path, one)
        for name, kind in sorted(ROOTS.items())
        for path, one in _visible(doc.get(name, type=kind), (name,), rights)
    ]


def _visible(shared: Any, path: Path, rights: PathRights) -> Iterator[tuple[Path, Any]]:
    if isinstance(shared, Map):
        for key in sorted(shared.keys()):
            yield from _element(shared[key], (*path, *key.split("/")), rights)
    elif isinstance(shared, Array):
        for one in shared:
            yield from _element(one, path, rights)
    elif isinstance(shared, Text) and not rights.allows(path):
        yield path, str(shared)


def _element(one: Any, path: Path, rights: PathRights) -> Iterator[tuple[Path, Any]]:
    if rights.allows(path):
        return
    is_type = isinstance(one, Map | Array | Text)
    yield path, type(one).__name__ if is_type else one
    if is_type:
        yield from _visible(one, path, rights)


class World:
    """A room, and a document of everything that it has kept."""

    def __init__(self, updates: list[bytes]) -> None:
        self.room = make_room()
        arrive(self.room, 1)
        self.doc: Doc[Any] = Doc()
        self.made: list[bytes] = []
        for raw in updates:
            self.tell(raw)

    def tell(self, raw: bytes, member: int = 1) -> bool:
        """Whether it was kept."""
        turn = absorb(self.room, said(member, NewUpdate(raw)))
        for update in kept(turn):
            self.doc.apply_update(update)
        return bool(kept(turn))

    def writer(self, client: int, **options: Any) -> Scribbler:
        """One that knows everything, and whose updates land in ``made``."""
        writer = Scribbler(client, self.made, Glyphs(), **options)
        writer.doc.apply_update(self.doc.get_update())
        return writer


@given(seeds, st.sets(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(tuple))
def test_P29_what_is_kept_of_a_bounded_member_changes_nothing_else(random: Random, patterns: tuple[str, ...]) -> None:
    world, rights = World(scribbled(random)), bounded(patterns)
    for attempt in range(8):
        member = MEMBER + attempt
        enter(world.room, rights, member)
        before = outside(world.doc, rights)
        writer = world.writer(1_000 + attempt)
        writer.edit(random)
        for raw in world.made:
            world.tell(raw, member)
        world.made.clear()
        assert outside(world.doc, rights) == before


def ids_of(room: Room) -> list[Id]:
    return [(client, at) for client, clock in room.history.ledger.clocks.items() for at in range(clock)]


def hostile(random: Random, known: list[Id], client: int) -> bytes:
    """Bytes that no library makes: any element as an origin, on either side, or as a parent, and any delete."""
    parts: list[bytes] = []
    count = random.randint(0, 3)
    for _ in range(count):
        info, where = 8, b""
        if known and random.random() < 0.5:
            info, where = info | 128, where + _id(random.choice(known))
        if known and random.random() < 0.3:
            info, where = info | 64, where + _id(random.choice(known))
        if info == 8:
            if known and random.random() < 0.5:
                where = uint(0) + _id(random.choice(known))
            else:
                where = uint(1) + text(random.choice(list(ROOTS)))
            if random.random() < 0.7:
                info, where = info | 32, where + text(random.choice(("a", "b", "tea/price")))
        content = b"\x01\x77" + text(chr(random.randrange(0x7000, 0x9000)))
        if random.random() < 0.2:
            info, content = info - 1, uint(random.choice((0, 1, 2)))
        parts.append(bytes((info,)) + where + content)
    deletes: dict[int, list[tuple[int, int]]] = {}
    for owner, clock in random.sample(known, min(len(known), random.choice((0, 0, 1, 2)))):
        deletes.setdefault(owner, []).append((clock, clock + 1))
    head = [uint(1), uint(count), uint(client), uint(0)] if count else [uint(0)]
    return b"".join((*head, *parts, write_deletes(deletes)))


def _id(id_: Id) -> bytes:
    return uint(id_[0]) + uint(id_[1])


@given(seeds, st.sets(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(tuple))
def test_P29_bytes_that_nobody_writes_open_no_other_place(random: Random, patterns: tuple[str, ...]) -> None:
    world, rights = World(scribbled(random, steps=12)), bounded(patterns)
    known = ids_of(world.room)
    for attempt in range(40):
        member = MEMBER + attempt
        enter(world.room, rights, member)
        before = outside(world.doc, rights)
        try:
            world.tell(hostile(random, known, 2_000 + attempt), member)
        except (SyncError, RuntimeError):
            # A parent that is no type: pycrdt takes in nothing of it, nor of what follows.
            return
        assert outside(world.doc, rights) == before


@given(seeds, st.sampled_from([({"l": Array, "t": Text}, ("l", "l/*", "t")), ({"m": Map}, ("m/a", "m/a/*"))]))
def test_P29_who_keeps_to_its_rights_is_never_refused(random: Random, allowed: tuple[Any, tuple[str, ...]]) -> None:
    roots, patterns = allowed
    world = World(scribbled(random, steps=8))
    enter(world.room, bounded(patterns))
    everybody = [world.writer(client) for client in random.sample((1_000, 1_001, 2**40), 2)]
    clerk = world.writer(random.choice((900, 2**45)), roots=roots, top_keys=("a",))
    for _ in range(25):
        writer = random.choice([*everybody, clerk, clerk])
        writer.edit(random)
        updates, turns = list(world.made), []
        world.made.clear()
        if writer is clerk and random.random() < 0.3:
            # What others deleted by writing over it is in its state, too, and nobody has told the relay.
            state = clerk.doc.get_update(_state_vector(world.room))
            turns.append(absorb(world.room, said(MEMBER, StateRequest({})), said(MEMBER, StateReply(state))))
        else:
            member = MEMBER if writer is clerk else 1
            turns += [absorb(world.room, said(member, NewUpdate(raw))) for raw in updates]
        for turn in turns:
            assert [one.reason for one in replies(turn, MEMBER) if isinstance(one, Denied)] == []
            for update in kept(turn):
                world.doc.apply_update(update)
        if random.random() < 0.4:
            random.choice([*everybody, clerk]).doc.apply_update(world.doc.get_update())


def _state_vector(room: Room) -> bytes:
    clocks = room.history.ledger.clocks
    return uint(len(clocks)) + b"".join(uint(client) + uint(clock) for client, clock in clocks.items())
