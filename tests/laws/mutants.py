"""Bytes that are nearly updates: flipped, cut short, spliced, repeated."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x27, 0x84, 0x28, 0xC4, 0x76, 0x75)


def mutant(raw: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """``raw`` after one to three accidents; ``others`` lend bytes for splices."""
    changed = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice((flip, replace, cut_out, insert, repeat, splice))(changed, others, random)
    return bytes(changed)


def place(changed: bytearray, random: Random) -> int:
    return random.randrange(len(changed)) if changed else 0


def flip(changed: bytearray, others: Sequence[bytes], random: Random) -> None:
    if changed:
        changed[place(changed, random)] ^= 1 << random.randrange(8)


def replace(changed: bytearray, others: Sequence[bytes], random: Random) -> None:
    if changed:
        changed[place(changed, random)] = random.choice((*EDGES, random.randrange(256)))


def cut_out(changed: bytearray, others: Sequence[bytes], random: Random) -> None:
    start = place(changed, random)
    del changed[start : start + random.choice((1, 1, 2, 8, len(changed)))]


def insert(changed: bytearray, others: Sequence[bytes], random: Random) -> None:
    start = place(changed, random)
    changed[start:start] = bytes(random.choice(EDGES) for _ in range(random.choice((1, 1, 2, 5))))


def repeat(changed: bytearray, others: Sequence[bytes], random: Random) -> None:
    start = place(changed, random)
    run = changed[start : start + random.randint(1, 12)]
    changed[start:start] = run * random.choice((1, 1, 3))


def splice(changed: bytearray, others: Sequence[bytes], random: Random) -> None:
    other = random.choice(others)
    start = random.randrange(len(other))
    changed[place(changed, random) :] = other[start:]
