"""Frames that a hostile client may send, in every dialect: made from a seed, structure and all, by cheap code.

Most are nearly right, for what is plainly wrong is refused by the first check: updates of real histories with an
accident, updates written from random fields that know where the document's clocks are, and among them every repro of
what is known to crash, hang or poison a process which loads documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from crdt_sync.protocol.wire import blob, uint
from tests.laws.mutants import mutant

CLIENTS: Final = (1, 130, 70_000, 2**31, 2**53 - 1, 0, 7, 2**53)
CLOCKS: Final = (0, 0, 0, 1, 2, 3, 5, 127, 128, 2**31 - 2, 2**31 - 1, 2**32 - 1)
LENGTHS: Final = (1, 1, 1, 2, 3, 7, 0, 127, 128, 2**14, 2**27, 2**31 - 1, 2**32, 2**53)
TEXTS: Final = (
    b"m",
    b"t",
    b"l",
    b"a",
    b"price",
    b"",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"x" * 300,
    b"\x00",
)
JSONS: Final = (
    b"1", b"{}", b'{"a":[1]}', b'"\\ud800"', b"NaN", b"1e999", b"-", b"", b"{", b'{"a":1,"a":2}', b"[" * 60 + b"]" * 60,
    b"9" * 5_000, b'"\xff"',
)  # fmt: skip
NUMBERS: Final = (
    b"\x7a" + b"\xff" * 8,
    b"\x7b" + b"\x7f\xf8" + bytes(6),
    b"\x7c" + bytes(4),
    b"\x7d\x7f",
    b"\x7d" + b"\xff" * 9,
)

REPROS: Final[Mapping[str, str]] = {
    "F1, an item whose origin is inside itself": "01010101a401030361626300",
    "F1, what follows it": "01010103000100",
    "F2": "020301030a0204010174016108010174037e7e7e030100410108038101010344010602616200",
    "F4": "0100010000",
    "F5": "01010101000000",
    "F6": "01020100040101740161000000",
    "F7": "010102010201016d0201310131013100",
    "F7, as Yjs wrote it": "0101070002010161030131052274776f22077b2278223a337d00",
    "F8, a map": "010101000401016d016100",
    "F8, its child": "0201010047010700010105000100",
    "F8, two sections": "020101000001010100000200",
    "F9": "010103000401016106c3a9f09f988000",
    "F10, 2^28 clients": "8080808001",
    "F10, 2^27 clients": "80808020",
    "F13": "0101070000ffffffff0f00",
    "F13, in a deletion": "0001070100ffffffff0f",
    "F14, the payment": "0101070004010174075041592031303000",
    "F14, another one": "0101070004010174075041592039393900",
    "F15": "01010105000100",
    "an element that is no type": "0101070004010174017800",
    "a child of that": "0101080004000700017900",
    "a hook": "010107000701017805016800",
    "half of a surrogate pair in an embed": "010107000501017408225c75643830302200",
    "a number beyond a double in an embed": "010107000501017405316539393900",
    "a whole number that no integer of yrs holds": "010107000501017414313030303030303030303030303030303030303000",
}

NEST: Final = (
    b"\x01"
    + uint(50_001)
    + b"\x01\x00\x07\x01\x01r\x00"
    + b"".join(b"\x07\x00\x01" + uint(clock) + b"\x00" for clock in range(50_000))
    + b"\x00"
)
"""Arrays, each in the one before it. Harmless until one is deleted: then yrs overflows its stack (containment.md)."""


def deep(tag: bytes, depth: int) -> bytes:
    """One element whose value is nested ``depth`` deep."""
    return b"\x01\x01\x01\x00\x08\x01\x01r\x01" + tag * depth + b"\x7e\x00"


def bombs() -> Sequence[bytes]:
    """Updates that are large, or say so: F3, F11, F12 and F15 of the hazards."""
    sections = b"".join(b"\x00" + uint(client) + b"\x00" for client in range(87_500))
    sets = b"".join(b"\x01" + uint(client) + b"\x00\x28\x01\x01m\x01k\x01\x7e" for client in range(1, 10_002))
    deletes = b"".join(uint(client) + b"\x01\x00\x01" for client in range(50_000))
    return (
        deep(b"\x75\x01", 26_268),
        deep(b"\x76\x01\x01k", 26_268),
        uint(87_500) + sections + b"\x00",
        NEST,
        uint(10_001) + sets + b"\x00",
        b"\x00" + uint(50_000) + deletes,
        b"\xff" * 400_000,
        b"\x01" + uint(100_000) + b"\x01\x00" + b"\x00\x01" * 100_000 + b"\x00",
    )


class Inputs:
    """An endless source of frames. ``corpus`` are updates of real histories."""

    def __init__(self, random: Random, corpus: Sequence[bytes], bomb_chance: float = 1 / 4_000) -> None:
        self._random = random
        self._corpus = corpus
        self._repros = [bytes.fromhex(one) for one in REPROS.values()]
        self._bombs = bombs()
        self._bomb_chance = bomb_chance
        self.clocks: Mapping[int, int] = {}
        """Where the clients of the attacked document are; what is written there gets furthest."""

    def update(self) -> bytes:
        """Bytes where an update should be."""
        random = self._random
        chance = random.random()
        if chance < self._bomb_chance:
            return random.choice(self._bombs)
        if chance < 0.04:
            return random.choice(self._repros)
        if chance < 0.08:
            return mutant(random.choice(self._repros), self._corpus, random)
        if chance < 0.45:
            return mutant(random.choice(self._corpus), self._corpus, random)
        if chance < 0.55:
            # A valid update of some history: known, next or early where it comes.
            return random.choice(self._corpus)
        return self._written()

    def frame(self, dialect: str) -> bytes:
        """One frame of ``dialect``, with something wrong in it more often than not."""
        random = self._random
        frame = self._address(dialect) + self._body(dialect)
        chance = random.random()
        if chance < 0.05:
            return frame[: random.randrange(len(frame) + 1)]
        if chance < 0.1:
            return mutant(frame, self._corpus, random)
        return frame

    def _address(self, dialect: str) -> bytes:
        if dialect not in ("hocuspocus", "multiplexed"):
            return b""
        name = self._random.choice(
            (b"storm/one",) * 12 + (b"", b"storm/one\x00tab", b"\x00", b"../x", b"x" * 2_000, b"\xff")
        )
        return blob(name)

    def _body(self, dialect: str) -> bytes:
        random = self._random
        chance = random.random()
        if chance < 0.7:
            return b"\x00" + random.choice((b"\x01", b"\x02", b"\x02", b"\x02")) + blob(self.update())
        if chance < 0.8:
            return b"\x00\x00" + blob(self._state_vector())
        if chance < 0.92:
            return b"\x01" + blob(self._presence())
        if chance < 0.96:
            return (
                b"\x02"
                + random.choice((b"\x00", b"\x01", b"\x02", b"\x09"))
                + blob(random.choice(TEXTS)) * random.randint(0, 3)
            )
        kind = random.choice((3, 5, 6, 7, 8, 9, 10, 100, 101, 102, 127, 255, random.randrange(256)))
        return bytes((kind,)) + random.choice(
            (b"", blob(uint(random.choice(LENGTHS))), b"\x00", b"\x01\x05", blob(random.choice(JSONS)))
        )

    def _state_vector(self) -> bytes:
        random = self._random
        count = random.choice((0, 1, 2, 3, random.choice(LENGTHS)))
        entries = (uint(random.choice(CLIENTS)) + uint(random.choice(CLOCKS)) for _ in range(min(count, 4)))
        return uint(count) + b"".join(entries)

    def _presence(self) -> bytes:
        random = self._random
        count = random.choice((0, 1, 1, 1, 2, 3, random.choice(LENGTHS)))
        entries = (
            uint(random.choice(CLIENTS)) + uint(random.choice(CLOCKS)) + self._lying_blob(random.choice(JSONS))
            for _ in range(min(count, 4))
        )
        return uint(count) + b"".join(entries)

    def _lying_blob(self, data: bytes) -> bytes:
        """The data with its length, which is wrong sometimes."""
        if self._random.random() < 0.06:
            return uint(self._random.choice(LENGTHS)) + data
        return blob(data)

    def _written(self) -> bytes:
        """An update from random fields, in the right order."""
        random = self._random
        sections = random.choice((0, 1, 1, 1, 1, 2))
        parts = [uint(sections if random.random() < 0.97 else random.choice(LENGTHS))]
        for _ in range(sections):
            structs = random.choice((1, 1, 1, 2, 3))
            parts.append(uint(structs if random.random() < 0.97 else random.choice(LENGTHS)))
            client = random.choice(CLIENTS[:6])
            clock = self.clocks.get(client, 0) if random.random() < 0.8 else random.choice(CLOCKS[:8])
            parts += (uint(client), uint(clock), *(self._struct(client, clock) for _ in range(structs)))
        deletes = random.choice((0, 0, 0, 1, 2))
        parts.append(uint(deletes))
        for _ in range(deletes):
            parts += (
                uint(random.choice(CLIENTS[:6])),
                b"\x01",
                uint(random.choice(CLOCKS)),
                uint(random.choice(LENGTHS)),
            )
        return b"".join(parts)

    def _id(self, client: int, clock: int) -> bytes:
        random = self._random
        if random.random() < 0.6:
            known = random.choice(CLIENTS[:5])
            return uint(known) + uint(random.randrange(self.clocks.get(known, 0) + 1))
        return uint(client) + uint(max(0, clock + random.choice((-1, 0, 1))))

    def _struct(self, client: int, clock: int) -> bytes:
        random = self._random
        kind = random.choice((0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 7, 8, 8, 8, 9, 10, 11, 31))
        if kind in (0, 10):
            return bytes((kind,)) + uint(random.choice(LENGTHS))
        flags = random.choice((0, 0, 32, 32, 64, 128, 192))
        head = [bytes((kind | flags,))]
        head += [self._id(client, clock) for flag in (128, 64) if flags & flag]
        if flags < 64:
            named = random.random() < 0.7
            head.append(
                b"\x01" + self._lying_blob(random.choice(TEXTS)) if named else b"\x00" + self._id(client, clock)
            )
            if flags & 32:
                head.append(self._lying_blob(random.choice(TEXTS)))
        return b"".join(head) + self._content(kind)

    def _content(self, kind: int) -> bytes:
        random = self._random
        match kind:
            case 1:
                return uint(random.choice(LENGTHS))
            case 2:
                return b"\x02" + self._lying_blob(random.choice(JSONS)) * 2
            case 6:
                return self._lying_blob(random.choice(TEXTS)) + self._lying_blob(random.choice(JSONS))
            case 5:
                return self._lying_blob(random.choice(JSONS))
            case 7:
                type_ref = random.randrange(9)
                return bytes((type_ref,)) + (self._lying_blob(random.choice(TEXTS)) if type_ref in (3, 5) else b"")
            case 8:
                count = random.choice((1, 1, 2, 3))
                values = b"".join(self._any(0) for _ in range(count))
                return uint(count if random.random() < 0.95 else random.choice(LENGTHS)) + values
            case 9:
                return self._lying_blob(random.choice(TEXTS)) + self._any(0)
            case _:
                return self._lying_blob(random.choice(TEXTS))

    def _any(self, depth: int) -> bytes:
        random = self._random
        chance = random.random()
        if chance < 0.15 and depth < 4:
            return b"\x75" + uint(2) + self._any(depth + 1) + self._any(depth + 1)
        if chance < 0.25:
            return b"\x76\x01" + self._lying_blob(random.choice(TEXTS)) + self._any(depth + 1)
        if chance < 0.3:
            return random.choice((b"\x75\x01", b"\x76\x01\x01k")) * random.randint(20, 60) + b"\x7e"
        if chance < 0.6:
            return random.choice(NUMBERS)
        if chance < 0.8:
            return random.choice((b"\x77", b"\x74")) + self._lying_blob(random.choice(TEXTS))
        return random.choice((b"\x78", b"\x79", b"\x7e", b"\x7f", b"\x00", b"\x73"))
