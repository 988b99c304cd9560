"""Logs as a relay would hold them: written by several Docs that now and then hear of each other."""

import random
from collections.abc import Sequence
from itertools import accumulate

from pycrdt import Array, Doc, Map, Text, TransactionEvent, XmlElement, XmlFragment

WORDS = ("tea", "ä", "nail\n", "€", "😀")


class Writer:
    """One pycrdt Doc; what it writes goes into the shared log, what it hears does not."""

    def __init__(self, client_id: int, log: list[bytes]) -> None:
        self.doc: Doc = Doc(client_id=client_id)
        self._log = log
        self._hears = False
        self._subscription = self.doc.observe(self._keep)

    def _keep(self, event: TransactionEvent) -> None:
        if not self._hears:
            self._log.append(event.update)

    def hear(self, other: "Writer") -> None:
        self._hears = True
        self.doc.apply_update(other.doc.get_update(self.doc.get_state()))
        self._hears = False

    def write(self, rng: random.Random) -> None:
        with self.doc.transaction():
            for _ in range(rng.randint(1, 3)):
                rng.choice(
                    (self._set, self._set, self._drop, self._nest, self._type, self._mark, self._list, self._xml)
                )(rng)

    def _map(self, rng: random.Random) -> Map:
        root = self.doc.get("stock", type=Map)
        nested = [value for value in (root.get(key) for key in sorted(root.keys())) if isinstance(value, Map)]
        return rng.choice([root, root, *nested])

    def _set(self, rng: random.Random) -> None:
        value = rng.choice(
            (rng.randint(-9, 9), 0.5, "ä😀" * rng.randint(0, 3), None, True, b"\x00\xff", {"a": [1, {}]})
        )
        self._map(rng)[rng.choice("abc")] = value

    def _drop(self, rng: random.Random) -> None:
        target = self._map(rng)
        if keys := sorted(target.keys()):
            del target[rng.choice(keys)]

    def _nest(self, rng: random.Random) -> None:
        self._map(rng)[rng.choice("abc")] = rng.choice((Map({"in": 1}), Array([1, "two"]), Text("three")))

    def _type(self, rng: random.Random) -> None:
        text, bounds = self._notes()
        if len(bounds) > 1 and rng.random() < 0.4:
            start, end = sorted(rng.sample(bounds, 2))
            del text[start:end]
        else:
            text.insert(rng.choice(bounds), rng.choice(WORDS))

    def _mark(self, rng: random.Random) -> None:
        text, bounds = self._notes()
        if len(bounds) > 1:
            start, end = sorted(rng.sample(bounds, 2))
            text.format(start, end, {"bold": rng.choice((True, None))})

    def _notes(self) -> tuple[Text, list[int]]:
        """The text and where its letters begin and end: pycrdt counts in UTF-8 bytes."""
        text = self.doc.get("notes", type=Text)
        return text, list(accumulate((len(letter.encode()) for letter in str(text)), initial=0))

    def _list(self, rng: random.Random) -> None:
        array = self.doc.get("lines", type=Array)
        if len(array) and rng.random() < 0.4:
            del array[rng.randrange(len(array))]
        else:
            array.insert(rng.randint(0, len(array)), rng.choice((1, "two", [3.5], Map({"n": 4}))))

    def _xml(self, rng: random.Random) -> None:
        fragment = self.doc.get("page", type=XmlFragment)
        if len(fragment.children) and rng.random() < 0.4:
            del fragment.children[rng.randrange(len(fragment.children))]
        else:
            fragment.children.append(XmlElement("p", {"class": "wide"}))


def random_log(seed: int, *, writers: int = 3, steps: int = 40) -> list[bytes]:
    """Updates in an order in which a relay may have received them: each after all that it builds on."""
    rng = random.Random(seed)
    log: list[bytes] = []
    docs = [Writer(client_id, log) for client_id in rng.sample(range(1, 2**32), writers)]
    for _ in range(steps):
        writer = rng.choice(docs)
        if rng.random() < 0.25:
            writer.hear(rng.choice(docs))
        else:
            writer.write(rng)
    return log


def shown(updates: Sequence[bytes]) -> dict[str, object]:
    """What a stock Doc shows of ``updates``, applied one by one."""
    doc: Doc = Doc()
    for update in updates:
        doc.apply_update(update)
    return {
        "stock": doc.get("stock", type=Map).to_py(),
        "notes": doc.get("notes", type=Text).diff(),
        "lines": doc.get("lines", type=Array).to_py(),
        "page": str(doc.get("page", type=XmlFragment)),
    }


def map_log(keys: int, updates: int, *, client_id: int = 7) -> list[bytes]:
    """``updates`` writes of one client to ``keys`` entries of one map."""
    log: list[bytes] = []
    writer = Writer(client_id, log)
    entries = writer.doc.get("stock", type=Map)
    for number in range(updates):
        entries[f"sku-{number % keys}"] = number
    return log
