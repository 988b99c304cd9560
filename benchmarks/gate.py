"""What does the gate cost for each update, when every byte from the network passes through pure Python?

Prediction: a small map update is decoded and judged in about 8 µs, so that one core takes 100,000 of them a second and
the gate is never what a relay waits for; a struct of a large update costs less than a small update, because what is
paid once an update is shared; a whole state of 100,000 entries takes about half a second, which is why a relay sends
states but rarely receives them.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from pycrdt import Doc, Map, Text, TransactionEvent

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger

MOVEMENTS = 1_114
"""The largest invoice minute of the UCI Online Retail data."""
STATE_ENTRIES = 100_000
REPEATS = 5


def movement(number: int) -> list[object]:
    return ["sale", "85123A", "United Kingdom", 6, 1_790_000_000_000 + number]


def updates_of(write: Callable[[Doc], None]) -> list[bytes]:
    """One update for each transaction that ``write`` makes."""
    doc: Doc = Doc()
    made: list[bytes] = []

    def keep(event: TransactionEvent) -> None:
        made.append(event.update)

    doc.observe(keep)
    write(doc)
    return made


def small_map_updates(doc: Doc) -> None:
    movements = doc.get("mv", type=Map)
    for number in range(100):
        movements[f"{doc.client_id:x}.{number:x}"] = movement(number)


def one_large_transaction(doc: Doc) -> None:
    movements = doc.get("mv", type=Map)
    with doc.transaction():
        for number in range(MOVEMENTS):
            movements[f"{doc.client_id:x}.{number:x}"] = movement(number)


def overwrites(doc: Doc) -> None:
    prices = doc.get("attr", type=Map)
    for number in range(100):
        prices["85123A/price"] = number


def keystrokes(doc: Doc) -> None:
    text = doc.get("t", type=Text)
    for number in range(100):
        text.insert(number, "x")


def large_state(doc: Doc) -> None:
    movements = doc.get("mv", type=Map)
    with doc.transaction():
        for number in range(STATE_ENTRIES):
            movements[f"{number:x}"] = movement(number)


def best_us(work: Callable[[], object], times: int) -> float:
    """Microseconds of one run of ``work``: the best of several, so that other processes count little."""
    return min(timeit.repeat(work, number=times, repeat=REPEATS)) / times * 1e6


def row(name: str, made: list[bytes], *, per: int = 1, times: int = 5_000) -> None:
    """Print the cost of the last of ``made``, once those before it are known."""
    ledger = Ledger()
    *known, last = made
    for raw in known:
        fresh = judge(decode_update(raw), ledger, DEFAULT_LIMITS).fresh
        assert fresh is not None
        ledger.admit(fresh)
    update = decode_update(last)
    decoding = best_us(lambda: decode_update(last), times)
    judging = best_us(lambda: judge(update, ledger, DEFAULT_LIMITS), times)
    figures = [value / per for value in (decoding, judging, decoding + judging)]
    print(f"{name:44}{len(last):>11,}" + "".join(f"{value:>10.2f}" for value in figures))


def main() -> None:
    print(f"{'':44}{'bytes':>11}{'decode':>10}{'judge':>10}{'both µs':>10}")
    row("small map update", updates_of(small_map_updates))
    row("map overwrite (an update with a delete)", updates_of(overwrites))
    row("text keystroke", updates_of(keystrokes))
    large = updates_of(one_large_transaction)
    row(f"transaction of {MOVEMENTS:,} movements, a struct", large, per=MOVEMENTS, times=5)
    row(f"state of {STATE_ENTRIES:,} map entries, a struct", updates_of(large_state), per=STATE_ENTRIES, times=1)


if __name__ == "__main__":
    main()
