"""Random histories: some documents, edited and partly synced, and every update in the order in which it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from pycrdt import Array, Doc, Map, Text, TransactionEvent

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.gate import Verdict, judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import Piece

KEYS = ("a", "b", "price", "")
WORDS = ("x", "till", "warehouse 7", "\n")
VALUES = (None, True, 3, -1, 2.5, 1 << 40, "€ 5", "😀", [1, "two", None], {"k": {"deep": [0.5]}}, b"\x00\xff")


class Writer:
    """A document that notes the updates that its own edits make."""

    def __init__(self, client: int, made: list[bytes]) -> None:
        self.doc: Doc[Any] = Doc(client_id=client)
        self.map: Map[Any] = self.doc.get("m", type=Map)
        self.array: Array[Any] = self.doc.get("l", type=Array)
        self.text: Text = self.doc.get("t", type=Text)
        self._made = made
        self._own = False
        self.doc.observe(self._note)

    def _note(self, event: TransactionEvent) -> None:
        if self._own:
            self._made.append(event.update)

    def edit(self, random: Random) -> None:
        self._own = True
        with self.doc.transaction():
            for _ in range(random.choice((1, 1, 1, 2, 5))):
                random.choice((edit_map, edit_map, edit_array, edit_text, edit_nested))(self, random)
        self._own = False

    def learn(self, other: Writer) -> None:
        self.doc.apply_update(other.doc.get_update(self.doc.get_state()))

    def content(self) -> Any:
        return content(self.doc)


def edit_map(writer: Writer, random: Random) -> None:
    key = random.choice(KEYS)
    if key in writer.map and random.random() < 0.3:
        del writer.map[key]
    else:
        writer.map[key] = random.choice(VALUES)


def edit_array(writer: Writer, random: Random) -> None:
    change_array(writer.array, random)


def change_array(array: Array[Any], random: Random) -> None:
    if len(array) and random.random() < 0.4:
        start = random.randrange(len(array))
        del array[start : random.randint(start + 1, len(array))]
    else:
        array.insert(random.randint(0, len(array)), random.choice(VALUES))


def edit_text(writer: Writer, random: Random) -> None:
    change_text(writer.text, random)


def change_text(text: Text, random: Random) -> None:
    # pycrdt's Text counts bytes where Yjs counts UTF-16 units, so only ASCII is safe here.
    if len(text) and random.random() < 0.4:
        start = random.randrange(len(text))
        del text[start : random.randint(start + 1, len(text))]
    else:
        text.insert(random.randint(0, len(text)), random.choice(WORDS))


def edit_nested(writer: Writer, random: Random) -> None:
    key = random.choice(("map", "list", "text"))
    nested = writer.map.get(key)
    if nested is None or random.random() < 0.1:
        writer.map[key] = {"map": Map, "list": Array, "text": Text}[key]()
    elif isinstance(nested, Map):
        nested[random.choice(KEYS)] = random.choice(VALUES)
    elif isinstance(nested, Array):
        change_array(nested, random)
    else:
        change_text(nested, random)


def content(doc: Doc[Any]) -> Any:
    roots = (doc.get("m", type=Map), doc.get("l", type=Array), doc.get("t", type=Text))
    return [root.to_py() for root in roots]


@dataclass
class History:
    """What was written, and by whom."""

    writers: list[Writer]
    updates: list[bytes] = field(default_factory=list)

    @property
    def end(self) -> Writer:
        """A writer that has learned everything."""
        for writer in self.writers[1:]:
            self.writers[0].learn(writer)
        return self.writers[0]


def write_history(random: Random, steps: int = 25) -> History:
    made: list[bytes] = []
    writers = [Writer(client, made) for client in random.sample((1, 130, 70_000, 2**31, 2**53 - 1), 3)]
    for _ in range(steps):
        writer = random.choice(writers)
        writer.edit(random)
        if random.random() < 0.4:
            writer.learn(random.choice(writers))
    return History(writers, made)


def judged(raw: bytes, ledger: Ledger, limits: Limits = DEFAULT_LIMITS, *, keep_ready_part: bool = False) -> Verdict:
    return judge(decode_update(raw, limits), ledger, limits, keep_ready_part=keep_ready_part)


def admit(raw: bytes, ledger: Ledger, *, keep_ready_part: bool = False) -> Piece | None:
    """What of ``raw`` was new; the ledger has moved on."""
    fresh = judged(raw, ledger, keep_ready_part=keep_ready_part).fresh
    if fresh is not None:
        ledger.admit(fresh)
    return fresh


def ledger_of(state: bytes) -> Ledger:
    ledger = Ledger()
    admit(state, ledger)
    return ledger


def replayed(updates: list[bytes]) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc
