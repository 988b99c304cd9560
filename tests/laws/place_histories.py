"""Random histories of documents in which every value is a character of its own, so that it can be found again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any, TypeAlias

from pycrdt import Array, Doc, Map, Text, TransactionEvent

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.content import elements
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.places import Path, PlaceIndex, Spot
from crdt_sync.values import Id

KEYS = ("a", "b", "tea/price", "a//", "")
CLIENTS = (1, 130, 70_000, 2**31, 2**53 - 1)
_FIRST = 0x4E00
Kind: TypeAlias = type[Map[Any]] | type[Array[Any]] | type[Text]
KINDS: tuple[Kind, ...] = (Map, Array, Text)
ROOTS: Mapping[str, Kind] = {"m": Map, "l": Array, "t": Text, "m/a": Map}


class Glyphs:
    """Characters, each given out once."""

    def __init__(self) -> None:
        self._next = _FIRST

    def __call__(self) -> str:
        self._next += 1
        return chr(self._next)


class Scribbler:
    """A document that edits anything anywhere, and notes the update of each of its transactions."""

    def __init__(
        self,
        client: int,
        made: list[bytes],
        glyphs: Glyphs,
        roots: Mapping[str, Kind] = ROOTS,
        *,
        top_keys: tuple[str, ...] = KEYS,
    ) -> None:
        """``top_keys`` are those that it sets in maps which are roots."""
        self.doc: Doc[Any] = Doc(client_id=client)
        self._top_keys = top_keys
        self.roots: dict[str, Any] = {name: self.doc.get(name, type=kind) for name, kind in roots.items()}
        self._made = made
        self._glyphs = glyphs
        self._own = False
        self.doc.observe(self._note)

    def _note(self, event: TransactionEvent) -> None:
        if self._own:
            self._made.append(event.update)

    def edit(self, random: Random) -> None:
        self._own = True
        with self.doc.transaction():
            for _ in range(random.choice((1, 1, 1, 2, 5))):
                self._change(random.choice(list(self.roots.values())), random, 0)
        self._own = False

    def learn(self, other: Scribbler) -> None:
        self.doc.apply_update(other.doc.get_update(self.doc.get_state()))

    def _change(self, shared: Any, random: Random, depth: int) -> None:
        nested = [one for one in self._children(shared, depth) if isinstance(one, KINDS)]
        if nested and random.random() < 0.6:
            self._change(random.choice(nested), random, depth + 1)
        elif isinstance(shared, Map):
            self._change_map(shared, random, depth)
        elif len(shared) and random.random() < 0.4:
            # pycrdt counts the bytes of a text: three for each of these characters.
            step = 3 if isinstance(shared, Text) else 1
            start = random.randrange(0, len(shared), step)
            del shared[start : random.randrange(start + step, len(shared) + 1, step)]
        elif isinstance(shared, Array):
            shared.insert(random.randint(0, len(shared)), self._value(random, depth))
        else:
            shared.insert(random.randrange(0, len(shared) + 1, 3), self._glyphs() + self._glyphs())

    def _children(self, shared: Any, depth: int) -> Iterator[Any]:
        if isinstance(shared, Map):
            keys: Iterable[str] = shared.keys()
            yield from (shared[key] for key in keys if depth or key in self._top_keys)
        elif isinstance(shared, Array):
            yield from shared

    def _change_map(self, shared: Map[Any], random: Random, depth: int) -> None:
        key = random.choice(KEYS if depth else self._top_keys)
        if key in shared and random.random() < 0.3:
            del shared[key]
        else:
            shared[key] = self._value(random, depth)

    def _value(self, random: Random, depth: int) -> Any:
        if depth < 3 and random.random() < 0.3:
            return random.choice(KINDS)()
        return self._glyphs()


def scribbled(random: Random, steps: int = 25) -> list[bytes]:
    """All updates of some writers that have met now and then, in the order in which they were made."""
    made: list[bytes] = []
    glyphs = Glyphs()
    writers = [Scribbler(client, made, glyphs) for client in random.sample(CLIENTS, 3)]
    for _ in range(steps):
        writer = random.choice(writers)
        writer.edit(random)
        if random.random() < 0.4:
            writer.learn(random.choice(writers))
    return made


def walked(doc: Doc[Any], roots: Mapping[str, Kind] = ROOTS) -> dict[str, Path]:
    """Every character that a document shows, and where."""
    found: dict[str, Path] = {}
    for name, kind in roots.items():
        found.update(_walk(doc.get(name, type=kind).to_py(), (name,)))
    return found


def _walk(value: Any, path: Path) -> Iterator[tuple[str, Path]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*path, *key.split("/")))
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, path)
    elif isinstance(value, str):
        yield from ((glyph, path) for glyph in value)


class Follower:
    """A ledger and an index that are fed as a room feeds them, and where each character was written."""

    def __init__(self) -> None:
        self.ledger = Ledger(remembers=True)
        self.index = PlaceIndex()
        self.ids: dict[str, Id] = {}

    def hear(self, raw: bytes) -> None:
        update = decode_update(raw)
        verdict = judge(update, self.ledger, DEFAULT_LIMITS, keep_ready_part=True)
        assert not verdict.gap
        for section in update.sections:
            for struct in section.structs:
                for place, content in enumerate(elements(raw, struct)):
                    glyph = chr(content) if type(content) is int else content
                    if isinstance(glyph, str):
                        self.ids[glyph] = (section.client, struct.clock + place)
        self.index.feed(update, verdict.runs)
        if verdict.fresh is not None:
            self.ledger.admit(verdict.fresh)

    def spot(self, glyph: str) -> Spot | None:
        return self.index.spot_of(self.ids[glyph])
